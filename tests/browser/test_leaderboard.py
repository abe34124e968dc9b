from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from selfe_eval.report.entry import read_entry
from selfe_eval.report.leaderboard_html import leaderboard_html
from selfe_eval.report.published import published_rows
from selfe_eval.report.published_ablations import published_ablations
from tests.repository import ROOT

pytestmark = pytest.mark.browser


@pytest.fixture(params=[(1200, "light"), (390, "dark")], ids=["desk", "phone"])
def board(request: pytest.FixtureRequest, browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The page of the bundled models' results, with ranks; any message in the console fails the test."""
    width, scheme = request.param
    folders = [ROOT / "results" / "openmoji" / model for model in ("flow-tiny", "selfe-tiny")]
    entries = [replace(read_entry(folder), ranks={1: "ab", 8: "a"}) for folder in folders]
    path = tmp_path / "leaderboard.html"
    path.write_text(leaderboard_html(entries, published_rows(), published_ablations()), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: faults.append(asked.url) if asked.url != path.as_uri() else None)
    page.goto(path.as_uri())
    yield page
    context.close()
    assert faults == []


def column(page: Page, heading: str, section: int = 1) -> list[str]:
    """The cells below a heading, from top to bottom."""
    table = page.locator(f"section:nth-of-type({section}) table")
    place = table.locator("th").all_inner_texts().index(heading) + 1
    return table.locator(f"tbody td:nth-child({place})").all_inner_texts()


def click(page: Page, heading: str, section: int = 1) -> None:
    """Click on a heading of a table."""
    page.locator(f"section:nth-of-type({section}) th button", has_text=heading).first.click()


def test_a_click_on_a_heading_sorts_numbers(board: Page) -> None:
    """First from high to low, then from low to high; rows stay whole."""
    before = set(zip(column(board, "steps"), column(board, "GenEval"), strict=True))
    click(board, "GenEval")
    down = [float(cell.split()[0]) for cell in column(board, "GenEval")]
    click(board, "GenEval")
    up = [float(cell.split()[0]) for cell in column(board, "GenEval")]

    heading = board.locator("section:nth-of-type(1) th", has_text="GenEval")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert down == sorted(down, reverse=True)
    assert up == sorted(up)
    assert set(zip(column(board, "steps"), column(board, "GenEval"), strict=True)) == before


def test_text_is_sorted_from_a_to_z_and_what_is_missing_stays_last(board: Page) -> None:
    """A dash is no letter and no number, in whichever direction."""
    click(board, "rank")
    letters = column(board, "rank")
    click(board, "rank")

    assert letters == ["a", "a", "ab", "ab", *["-"] * 6]
    assert column(board, "rank") == ["ab", "ab", "a", "a", *["-"] * 6]
    click(board, "steps", section=2)
    assert column(board, "steps", section=2)[-2:] == ["-", "-"]


def test_the_page_is_no_wider_than_the_screen(board: Page) -> None:
    """Wide tables scroll inside themselves."""
    assert board.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_axe_finds_no_serious_fault(board: Page) -> None:
    """Contrast, names and roles hold in light and dark."""
    found = Axe().run(board).response["violations"]

    assert [fault["id"] for fault in found if fault["impact"] in {"serious", "critical"}] == []
