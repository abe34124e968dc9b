from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.report import make_page
from selfe_eval.suites.registry import load_suite
from tests.fakes import FakeGenerator, FakeScorer, run_stages, small_record

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

Open = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The chromium of this machine; that there is none is a fault, since browser tests run only when asked for."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, f"no browser: expected one of {', '.join(BROWSERS)} on the PATH; `apt-get install chromium`"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same 24 prompts with two images each at 1 and 4 steps, from other noise."""
    folder = tmp_path_factory.mktemp("runs")
    suite = load_suite("openmoji")
    for name, seed in (("before", 0), ("after", 1)):
        with planned_run(folder / name, small_record(suite, limit=24, model=name, seed=seed)) as run:
            run_stages(run, suite, FakeGenerator, FakeScorer(), Silence())
    return folder / "before", folder / "after"


@pytest.fixture(scope="session")
def one_run(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one run."""
    return _written(tmp_path_factory, runs[0])


@pytest.fixture(scope="session")
def two_runs(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of both."""
    return _written(tmp_path_factory, *runs)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a file: (path, address behind it, width, colour scheme) -> page at the gallery; faults fail the test."""
    contexts, faults = [], []

    def opened(path: Path, hash_state: str = "", *, width: int = 1200, scheme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: _note_request(request.url, path, faults))
        page.goto(path.as_uri() + hash_state)
        page.evaluate("document.getElementById('filters').scrollIntoView()")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def _note_request(url: str, path: Path, faults: list[str]) -> None:
    if not url.startswith(("data:", path.as_uri())):
        faults.append(f"loads {url}")


def _written(tmp_path_factory: pytest.TempPathFactory, *runs: Path) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(make_page(runs, max_mb=40, with_pictures=True, progress=Silence()).content)
    return path
