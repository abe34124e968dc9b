from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.report import Page, make_page
from selfe_eval.report.comparison import compare
from selfe_eval.report.run_evidence import read_evidence
from selfe_eval.runs.journal import read_journal, rewrite_journal
from selfe_eval.suites.registry import load_suite
from tests.fakes import FakeGenerator, FakeScorer, run_stages, small_record


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """12 prompts, two images of each at 1 and 4 steps; about half of the images are right."""
    suite = load_suite("openmoji")
    with planned_run(tmp_path / "run", small_record(suite, limit=12)) as opened:
        run_stages(opened, suite, FakeGenerator, FakeScorer(), Silence())
    return tmp_path / "run"


def made(*folders: Path, **changes: Any) -> Page:
    options: dict[str, Any] = {"max_mb": 40, "with_pictures": True, "progress": Silence()}
    return make_page(folders, **{**options, **changes})


def data_of(page: Page) -> dict[str, Any]:
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.content.decode())
    document: dict[str, Any] = json.loads(data)
    return document


def faults_of(page: Page) -> list[str]:
    document = data_of(page)
    images = [image for prompt in document["prompts"] for run in prompt["runs"] for at in run for image in at]
    return [document["texts"][image[3]] for image in images if image[3] >= 0]


def test_verdicts_and_boxes_are_those_of_the_run(run: Path) -> None:
    """Each image has the verdict and the boxes that the journal of scores has for it."""
    document = data_of(made(run))
    entries = {prompt["id"]: prompt["runs"][0] for prompt in document["prompts"]}

    for line in read_journal(run / "scores/geneval.jsonl"):
        packed = entries[line["prompt_id"]][[1, 4].index(line["steps"])][line["image_index"]]
        (name,) = line["objects"]
        assert packed[1] == line["correct"]
        assert document["texts"][packed[4][0]] == name
        assert packed[4][1:6] == [0, 0, 4, 4, 0.5]


def test_pages_of_one_run_are_equal(run: Path) -> None:
    """Threads make the pictures in any order; the page is the same to the byte."""
    assert made(run).content == made(run).content


def test_images_that_are_gone_damaged_or_changed_are_shown_as_such(run: Path) -> None:
    """Each has a sentence in its place, and all are counted; the rest of the page is there."""
    gone, changed, broken, unmade = sorted(run.glob("images/steps-001/*/samples/0000.png"))[:4]
    gone.unlink()
    changed.write_bytes(changed.read_bytes() + b"\0")
    broken.write_bytes(b"no image")
    records = [line for line in read_journal(run / "images.jsonl") if not unmade.match(line["path"])]
    rewrite_journal(run / "images.jsonl", records)
    page = made(run)

    assert page.num_faults == 4
    assert sorted(faults_of(page)) == [
        "missing: its file is gone",
        "missing: not made or not found",
        "not shown: its bytes are not those that were judged",
        "not shown: its bytes are not those that were judged",
    ]


def test_a_page_without_pictures_opens_no_image(run: Path) -> None:
    """Without pictures no image is missed, though all are gone; verdicts stay."""
    for path in run.glob("images/*/*/samples/*.png"):
        path.unlink()
    page = made(run, with_pictures=False)
    document = data_of(page)

    assert (page.num_faults, document["pictures"]) == (0, [])
    assert {image[1] for prompt in document["prompts"] for at in prompt["runs"][0] for image in at} == {0, 1}


def test_the_file_keeps_to_its_size_or_is_refused(run: Path) -> None:
    """What is made is no larger than was allowed; what cannot be made so small says what to do."""
    bare = len(made(run, with_pictures=False).content)
    limit = (bare + 20_000) / 1e6

    assert len(made(run, max_mb=limit).content) <= 1e6 * limit
    with pytest.raises(UsageError, match=r"48 pictures do not fit .* --no-images"):
        made(run, max_mb=bare / 1e6)


class Uneven(FakeGenerator):
    """Every other image is flat, so that a sample of these says little about the others, which are noise."""

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], num_steps: int) -> NDArray[np.uint8]:
        self.batches_drawn += 1
        rng = np.random.default_rng(list(seeds))
        noise = rng.integers(0, 256, (len(prompts), 64, 64, 3), dtype=np.uint8)
        first = self.images_drawn % 2
        self.images_drawn += len(prompts)
        noise[first::2] = num_steps
        return noise

    images_drawn = 0


def test_pictures_are_made_smaller_until_the_file_keeps_to_its_size(tmp_path: Path) -> None:
    """Where a sample promised too much all pictures are made again, and the page says how."""
    suite = load_suite("openmoji")
    with planned_run(tmp_path / "run", small_record(suite, limit=24)) as opened:
        run_stages(opened, suite, Uneven, FakeScorer(), Silence())
    bare = len(made(tmp_path / "run", with_pictures=False).content)
    roomy = made(tmp_path / "run").content
    limit = bare + (len(roomy) - bare) * 3 // 4
    page = made(tmp_path / "run", max_mb=limit / 1e6)

    assert b"WebP of quality 85" in roomy
    assert len(page.content) <= limit
    assert b"WebP of quality 85" not in page.content


def test_two_runs_are_compared(run: Path, tmp_path: Path) -> None:
    """The page of two runs says what `compare` says of them; pages of one and of three compare nothing."""
    suite = load_suite("openmoji")
    with planned_run(tmp_path / "other", small_record(suite, limit=12, seed=1)) as opened:
        run_stages(opened, suite, FakeGenerator, FakeScorer(), Silence())
    other = tmp_path / "other"
    found = compare(read_evidence(run, allow_partial=True), read_evidence(other, allow_partial=True))
    two = made(run, other, with_pictures=False).content.decode()

    assert f"{found.outcome.upper()}</strong>: {found.reason}" in two
    assert '<caption>B - A <strong class="violated">PARTIAL</strong></caption>' in two
    for folders in ((run,), (run, other, run)):
        assert "comparison-heading" not in made(*folders, with_pictures=False).content.decode()


def test_scores_that_were_changed_after_the_summary_are_refused(run: Path) -> None:
    """A page never shows numbers beside verdicts that they do not rest on."""
    rewrite_journal(run / "scores/geneval.jsonl", read_journal(run / "scores/geneval.jsonl")[:-1])

    with pytest.raises(UntrustworthyError, match="changed after it"):
        made(run)
