from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfe_eval.errors import UsageError
from selfe_eval.pipeline.generate import generate
from selfe_eval.pipeline.opening import existing_run, planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.score import Scorer, score
from selfe_eval.records import Prompt
from selfe_eval.runs.journal import read_journal
from selfe_eval.score.detectors.protocol import RgbImages
from tests.fakes import FakeGenerator, FakeJudgement, FakeScorer, small_record, small_suite

SUITE = small_suite()
RECORD = small_record(SUITE)
PER_STEP_COUNT = 12 * 2
"""12 prompts, 2 images."""


IN_FIVES = 5
"""Five batches for each step count: 5, 5, 5, 5 and 4 images."""


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A run folder with images and no scores."""
    with planned_run(tmp_path / "run", RECORD) as run:
        generate(run, SUITE, FakeGenerator, Silence())
    return tmp_path / "run"


@dataclass(kw_only=True)
class BatchScorer(FakeScorer):
    """Like a real one, its numbers depend on what is judged together; remembers what that was."""

    batch_size: int = IN_FIVES
    batches: list[tuple[int, ...]] = field(default_factory=list)

    def score(self, images: RgbImages, prompts: Sequence[Prompt]) -> list[FakeJudgement]:
        self.batches.append(tuple(prompt.prompt_id for prompt in prompts))
        rounding = int(images.pixels.astype(np.int64).sum() % 1000)
        return [
            FakeJudgement(
                correct=judged.correct, reason=f"{judged.reason} {rounding}", objects=judged.objects
            )
            for judged in super().score(images, prompts)
        ]


def judge(folder: Path, scorer: Scorer) -> list[dict[str, Any]]:
    """The score journal after scoring what is missing."""
    with existing_run(folder) as run:
        score(run, SUITE, scorer, Silence())
    return read_journal(folder / "scores/geneval.jsonl")


def test_scores_do_not_depend_on_what_was_missing(drawn: Path) -> None:
    """A batch of which any score is missing is judged again whole, and the journal ends as it was."""
    scorer = BatchScorer()
    whole = judge(drawn, scorer)
    assert [len(batch) for batch in scorer.batches] == [5, 5, 5, 5, 4] * 2
    lost = {0, 3, 4, 11, PER_STEP_COUNT + 23}
    journal = drawn / "scores/geneval.jsonl"
    journal.write_text("".join(json.dumps(line) + "\n" for at, line in enumerate(whole) if at not in lost))

    again = BatchScorer()
    lines = judge(drawn, again)

    assert [scorer.batches[at] for at in (0, 2, 9)] == again.batches
    assert lines == whole


def test_the_scores_of_another_scorer_are_kept_beside_the_journal(drawn: Path) -> None:
    """Judging a run anew with another scorer loses nothing: the former scores lie under that scorer's name."""
    first = judge(drawn, BatchScorer())
    second = judge(drawn, BatchScorer(threshold=60))
    (former,) = (drawn / "scores").glob("geneval.former-*.jsonl")
    assert read_journal(former) == first
    assert {line["scorer"] for line in second}.isdisjoint(line["scorer"] for line in first)


class OnAnotherDevice(BatchScorer):
    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "device": "cuda:1"}


def test_another_device_makes_no_score_stale(drawn: Path) -> None:
    """The machine is no part of what scores are identified by: a run goes on elsewhere."""
    first = judge(drawn, BatchScorer())
    elsewhere = OnAnotherDevice()
    assert judge(drawn, elsewhere) == first
    assert elsewhere.batches == []


def test_no_batch_mixes_step_counts(drawn: Path) -> None:
    """The scores of one step count are the same in any company."""
    scorer = BatchScorer()
    judge(drawn, scorer)
    assert scorer.batches[:5] == scorer.batches[5:]


def test_pixels_are_gone_once_they_are_judged(drawn: Path) -> None:
    """However many batches there are, the pixels of one are handed over when those before are gone."""
    handed: list[weakref.ref[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]] = []
    most = 0

    class Watching(BatchScorer):
        def score(self, images: RgbImages, prompts: Sequence[Prompt]) -> list[FakeJudgement]:
            nonlocal most
            handed.append(weakref.ref(images.pixels))
            gc.collect()
            most = max(most, sum(reference() is not None for reference in handed))
            return super().score(images, prompts)

    judge(drawn, Watching())
    assert len(handed) == 10
    assert most == 1


def test_an_error_of_the_scorer_keeps_whole_batches(drawn: Path) -> None:
    """What was judged before stays; going on judges the rest, and the journal is that of an undisturbed run."""

    class Failing(BatchScorer):
        def score(self, images: RgbImages, prompts: Sequence[Prompt]) -> list[FakeJudgement]:
            if len(self.batches) == 3:
                raise UsageError("no such size")
            return super().score(images, prompts)

    with pytest.raises(UsageError, match="no such size"):
        judge(drawn, Failing())
    kept = read_journal(drawn / "scores/geneval.jsonl")
    assert len(kept) == 15

    whole = judge(drawn, BatchScorer())

    assert whole[:15] == kept
    (drawn / "scores/geneval.jsonl").unlink()
    assert judge(drawn, BatchScorer()) == whole
