from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.records import Suite
from selfe_eval.report.html.content import ShownRun
from selfe_eval.report.html.drawing import draw
from selfe_eval.report.html.page import _resource, report_page
from tests.unit.report.html.shown import EVIL, evil

VOID = {"meta", "img", "input", "link", "br", "hr"}


class Reader(HTMLParser):
    """Elements with their attributes, the text of each, and whether all that opens is closed in order."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def text_of(self, tag: str) -> str:
        return "".join(text for own, text in self.texts if own == tag)


def page(*runs: ShownRun, **changes: Any) -> Reader:
    return Reader(report_page(runs, **{"with_pictures": True, **changes}))


def test_equal_runs_have_equal_pages(shown: ShownRun, other: ShownRun) -> None:
    """The page of the same runs is the same to the byte."""
    first = report_page([shown, other], with_pictures=True)
    draw.cache_clear()

    assert report_page([shown, other], with_pictures=True) == first


def test_elements_close_in_order(shown: ShownRun, other: ShownRun) -> None:
    """Every element that opens is closed where it should be, of one run and of two."""
    for read in (page(shown), page(shown, other), page(other, with_pictures=False), page(evil(shown))):
        assert read.faults == []
        assert read.open == []


def test_markup_in_a_run_stays_text(shown: ShownRun) -> None:
    """A prompt, name, reason, key or command that is a script adds no element and is shown as it is."""
    read, plain = page(evil(shown)), page(shown)
    tags = [tag for tag, _ in read.elements]

    assert tags.count("script") == [tag for tag, _ in plain.elements].count("script") == 3
    assert not any(name.startswith("on") for _, attributes in read.elements for name in attributes)
    assert EVIL in read.text_of("h1")
    (data,) = [text for own, text in read.texts if own == "script" and text.startswith("{")]
    assert {prompt["text"] for prompt in json.loads(data)["prompts"]} == {EVIL}


def test_the_page_loads_nothing(shown: ShownRun, other: ShownRun) -> None:
    """No element has an address but places in the page; the style asks for nothing; the policy allows no network."""
    read = page(shown, other)
    addresses = [
        value
        for _, attributes in read.elements
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "action", "data", "poster"}
    ]
    (policy,) = [
        attributes["content"] or ""
        for _, attributes in read.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]

    assert all(value and value.startswith("#") for value in addresses)
    assert not {tag for tag, _ in read.elements} & {"link", "iframe", "object", "embed", "base"}
    assert "url(" not in read.text_of("style")
    assert "@import" not in read.text_of("style")
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    assert "http" not in re.sub(r"http-equiv", "", report_page([shown], with_pictures=True).decode())


def test_the_policy_names_the_script_and_the_style_that_are_there(shown: ShownRun) -> None:
    """The hashes in the policy are those of the page's own script and style, so that no other runs."""
    content = report_page([shown], with_pictures=True).decode()
    for kind in ("script", "style"):
        (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", content, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src &#39;sha256-{digest}&#39;" in content


def test_the_script_neither_writes_markup_nor_runs_text() -> None:
    """The one script uses none of the functions through which data could become markup or code."""
    script = _resource("report.js")
    forbidden = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "fetch(",
        "</",
    )

    assert [name for name in forbidden if name in script] == []


def test_controls_and_tables_are_labelled(shown: ShownRun, other: ShownRun) -> None:
    """Each field stands in a label, each heading of a table has a scope, each picture a text, each name is unique."""
    content = report_page([shown, other], with_pictures=True).decode()
    read = Reader(content.encode())
    names = [attributes["id"] for _, attributes in read.elements if "id" in attributes]

    assert (
        len(re.findall(r"<label[^>]*>[^<]*<(?:select|input)", content))
        + content.count('<label class="check">')
        == len(re.findall(r"<(?:select|input)\b", content)) + 1
    )
    assert all("scope" in attributes for tag, attributes in read.elements if tag == "th")
    assert all("alt" in attributes for tag, attributes in read.elements if tag == "img")
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("with_pictures", "words"), [(True, "1 of 144 images"), (False, "made without pictures")]
)
def test_what_is_missing_is_said_at_the_top(shown: ShownRun, with_pictures: bool, words: str) -> None:  # noqa: FBT001
    """Pictures that cannot be shown are counted; a page without pictures says so and counts none."""
    content = report_page([shown], with_pictures=with_pictures).decode()

    assert words in content
    assert ('id="faults"' in content) is with_pictures


def test_a_partial_run_is_stamped(shown: ShownRun, suite: Suite) -> None:
    """The stamp stands where prompts were left out, and only there."""
    summary = shown.entry.summary
    assert summary is not None
    whole = replace(
        shown, entry=replace(shown.entry, summary=replace(summary, partial=False), measures=None), suite=suite
    )

    assert "PARTIAL" in page(shown).text_of("strong")
    assert "PARTIAL" not in page(whole).text_of("strong")


def test_filters_fit_the_runs(shown: ShownRun, other: ShownRun) -> None:
    """Step counts and changes between neighbours can be chosen, and two runs can be asked where they differ."""
    one, two = page(shown), page(shown, other)
    values = [attributes.get("value") for tag, attributes in one.elements if tag == "option"]

    assert {"right-2", "wrong-50", "lost-2-8", "won-8-50", "unseen"} <= set(values)
    assert "lost-2-50" not in values
    assert not any(attributes.get("name") == "differs" for _, attributes in one.elements)
    assert any(attributes.get("name") == "differs" for _, attributes in two.elements)


def test_runs_of_one_model_are_told_apart(shown: ShownRun) -> None:
    """Two runs of one model have their number behind its name; the title names the model once."""
    read = page(shown, shown)

    assert "selfe-tiny (2) PARTIAL" in read.text_of("th")
    assert read.text_of("h1") == "selfe-tiny on openmoji"


def test_no_path_of_a_home_folder_is_told(shown: ShownRun, other: ShownRun) -> None:
    """Folders and commands below the home folder begin with a tilde wherever the page names them."""
    home = Path.home()
    attempt = {"argv": ["selfe-eval", "sweep", "--out", f"{home}/runs/a"]}
    at_home = replace(
        shown,
        entry=replace(shown.entry, run=f"{home}/runs/a"),
        record=replace(shown.record, attempts=(attempt,)),
    )
    content = report_page([at_home, other], with_pictures=False).decode()

    assert f"{home}/runs" not in content
    assert content.count("~/runs/a") == 3
