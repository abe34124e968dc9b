from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from selfe_eval.report.html.page import report_page
from tests.browser.conftest import Open
from tests.unit.report.conftest import make_run, suite
from tests.unit.report.html.conftest import other
from tests.unit.report.html.shown import EVIL, evil

__all__ = ["make_run", "other", "suite"]

pytestmark = pytest.mark.browser

Prompt = dict[str, Any]


def prompts_of(page: Page) -> list[Prompt]:
    found: list[Prompt] = json.loads(page.locator("#data").text_content() or "")["prompts"]
    return found


def verdicts(prompt: Prompt, run: int, place: int) -> list[int]:
    """Of the images of a prompt, at the first or second step count."""
    return [image[1] for image in prompt["runs"][run][place]]


def shown_prompts(page: Page) -> list[str]:
    return page.locator("article h3").all_text_contents()


def assert_shown(page: Page, is_shown: Callable[[Prompt], bool]) -> None:
    """The page shows these prompts, some but not all, and says how many they are."""
    prompts = prompts_of(page)
    expected = [prompt["text"] for prompt in prompts if is_shown(prompt)]

    assert 0 < len(expected) < len(prompts)
    assert shown_prompts(page) == expected
    assert (page.locator("#shown").text_content() or "").startswith(
        f"{len(expected)} of {len(prompts)} prompts"
    )


def test_it_opens_without_a_fault(open_page: Open, one_run: Path, two_runs: Path) -> None:
    """Pages of one run and of two open without an error on the console and without a request."""
    for path in (one_run, two_runs):
        page = open_page(path)

        expect(page.locator("#shown")).to_have_text("24 of 24 prompts")
        expect(page.locator("article").first.locator("img").first).to_be_visible()


def test_pictures_are_made_when_they_are_seen(open_page: Open, one_run: Path) -> None:
    """Far below the fold there are no pictures until one scrolls there; then they are decoded."""
    page = open_page(one_run)
    last = page.locator("article").last

    assert last.locator("img").count() == 0
    last.scroll_into_view_if_needed()
    expect(last.locator("img")).to_have_count(4)
    expect(last.locator("img").first).to_have_js_property("naturalWidth", 8)


def test_a_task_can_be_chosen(open_page: Open, one_run: Path) -> None:
    """Only prompts of the task remain, and the number is said."""
    page = open_page(one_run)
    page.get_by_role("combobox", name="Task").select_option("counting")

    assert_shown(page, lambda prompt: prompt["task"] == "counting")


def test_words_can_be_searched(open_page: Open, one_run: Path) -> None:
    """Every word must be in the prompt, in any order and any case."""
    page = open_page(one_run)
    word = prompts_of(page)[5]["text"].split()[-1]
    page.get_by_label("Words in the prompt").fill(f"{word.upper()} photo")

    assert_shown(page, lambda prompt: word in prompt["text"] and "photo" in prompt["text"])


@pytest.mark.parametrize(
    ("label", "is_shown"),
    [
        ("right at 1", lambda p: 1 in verdicts(p, 0, 0)),
        ("wrong at 4", lambda p: 0 in verdicts(p, 0, 1)),
        (
            "right at 1 but wrong at 4",
            lambda p: (1, 0) in zip(verdicts(p, 0, 0), verdicts(p, 0, 1), strict=True),
        ),
        (
            "wrong at 1 but right at 4",
            lambda p: (0, 1) in zip(verdicts(p, 0, 0), verdicts(p, 0, 1), strict=True),
        ),
    ],
)
def test_right_and_wrong_can_be_chosen(
    open_page: Open, one_run: Path, label: str, is_shown: Callable[[Prompt], bool]
) -> None:
    """Prompts remain with an image that is right or wrong at a step count, or that more steps changed."""
    page = open_page(one_run)
    page.get_by_role("combobox", name="Pictures").select_option(label=label)

    assert_shown(page, is_shown)


def test_held_out_combinations_can_be_chosen(open_page: Open, one_run: Path) -> None:
    """Only prompts whose combination was held out remain."""
    page = open_page(one_run)
    page.get_by_label("Combination").select_option("unseen")

    assert_shown(page, lambda prompt: prompt["unseen"] == 1)


def test_two_runs_stand_side_by_side(open_page: Open, two_runs: Path) -> None:
    """At one step count the columns of a prompt are the runs, and prompts they agree on can be left out."""
    page = open_page(two_runs)
    page.get_by_role("combobox", name="Steps").select_option("4")
    page.get_by_label("differs between runs").check()
    headings = page.locator("article").first.locator("thead th")

    expect(headings).to_have_text(["before", "after"])
    assert_shown(page, lambda prompt: verdicts(prompt, 0, 1) != verdicts(prompt, 1, 1))


def test_a_click_shows_what_the_detector_saw(open_page: Open, one_run: Path) -> None:
    """The picture opens large with a box for each object, its class, score and colour, the prompt and the reason."""
    page = open_page(one_run)
    prompt = prompts_of(page)[0]
    page.locator("article").first.locator(".thumb.wrong").first.click()

    expect(page.locator("#viewer")).to_be_visible()
    expect(page.locator("#large-prompt")).to_have_text(prompt["text"])
    expect(page.locator("#large-verdict")).to_have_text("✗ wrong")
    expect(page.locator("#large-reason")).to_have_text("expected less red")
    expect(page.locator("#boxes rect")).to_have_count(1)
    expect(page.locator("#boxes text")).to_contain_text("0.50 red")
    expect(page.locator("#objects tr")).to_contain_text("red0.500yes")
    picture, box = page.locator("#large").bounding_box(), page.locator("#boxes rect").bounding_box()
    assert picture is not None
    assert box is not None
    assert box["width"] == pytest.approx(picture["width"] / 2, abs=4), "the box (0, 0, 4, 4) of 8 x 8 pixels"


def test_the_address_keeps_the_state(open_page: Open, one_run: Path) -> None:
    """Whoever opens the address sees the same prompts and the same picture."""
    page = open_page(one_run)
    page.get_by_role("combobox", name="Task").select_option("colors")
    page.get_by_label("Words in the prompt").fill("photo")
    page.locator(".thumb").nth(1).click()
    heading = page.locator("#viewer-heading").text_content()
    _, _, state = page.url.partition("#")
    again = open_page(one_run, f"#{state}")

    assert shown_prompts(again) == shown_prompts(page)
    expect(again.locator("#viewer-heading")).to_have_text(heading or "")
    expect(again.get_by_role("combobox", name="Task")).to_have_value("colors")


@pytest.mark.parametrize(
    "state", ["#task=nonsense&steps=3&show=lost-9", "#picture=7.7.7.7", "#picture=a.b", "#%zz"]
)
def test_an_address_that_makes_no_sense_shows_everything(open_page: Open, one_run: Path, state: str) -> None:
    """What is no filter and no picture of this page is ignored."""
    page = open_page(one_run, state)

    expect(page.locator("#shown")).to_have_text("24 of 24 prompts")
    expect(page.locator("#viewer")).to_be_hidden()


def test_everything_can_be_reached_with_keys(open_page: Open, one_run: Path) -> None:
    """The first key leads to the pictures; one opens with Enter, arrows change the step count, Escape gives the focus back."""
    page = open_page(one_run)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    first = page.locator(".thumb").first
    expect(first).to_be_visible()
    first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#viewer-heading")).to_contain_text("1 step,")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-heading")).to_contain_text("4 steps,")
    page.keyboard.press("Escape")

    expect(page.locator("#viewer")).to_be_hidden()
    expect(first).to_be_focused()


def test_show_all_shows_all(open_page: Open, one_run: Path) -> None:
    """One button takes every filter back, also from the address."""
    page = open_page(one_run, "#task=colors&q=photo")
    page.get_by_role("button", name="Show all").click()

    expect(page.locator("#shown")).to_have_text("24 of 24 prompts")
    assert page.url.endswith("#")


@pytest.mark.parametrize("state", ["", "#steps=4", "#picture=0.4.0.0"])
def test_a_phone_scrolls_only_down(open_page: Open, two_runs: Path, state: str) -> None:
    """At 360 px nothing is wider than the screen, neither the page nor the open picture."""
    page = open_page(two_runs, state, width=360)
    page.locator("article").nth(3).scroll_into_view_if_needed()

    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("document.getElementById('viewer').scrollWidth") <= 360


def test_light_and_dark(open_page: Open, one_run: Path) -> None:
    """The page follows the system until one chooses, and then what was chosen."""
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = open_page(one_run), open_page(one_run, scheme="dark")

    assert light.evaluate(background) == "rgb(255, 255, 255)"
    assert dark.evaluate(background) == "rgb(20, 22, 26)"
    dark.get_by_role("button", name="Theme: automatic").click()
    assert dark.evaluate(background) == "rgb(255, 255, 255)"
    dark.get_by_role("button", name="Theme: light").click()
    assert dark.evaluate(background) == "rgb(20, 22, 26)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", ["", "#steps=4", "#picture=0.4.0.0"])
def test_axe_finds_no_fault(open_page: Open, two_runs: Path, scheme: str, state: str) -> None:
    """The rules of axe-core hold in light and dark, of the list and of an open picture; unfolded sections too."""
    page = open_page(two_runs, state, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    expect(page.locator("article img").first).to_be_attached()
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]

    assert [(fault["impact"], fault["id"], fault["nodes"][0]["html"]) for fault in found] == []


def test_a_prompt_that_is_a_script_stays_text(open_page: Open, other: Any, tmp_path: Path) -> None:
    """Markup in prompts, names and reasons is shown as it is written, in the list and beside the large picture."""
    path = tmp_path / "evil.html"
    path.write_bytes(report_page([evil(other)], with_pictures=True))
    page = open_page(path)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.locator(".thumb").first.click()

    expect(page.locator("#large-prompt")).to_have_text(EVIL)
    expect(page.locator("#large-reason")).to_have_text(EVIL)
    assert shown_prompts(page)[0] == EVIL
    assert page.locator("script").count() == 3
    assert page.locator("img[src=x]").count() == 0
