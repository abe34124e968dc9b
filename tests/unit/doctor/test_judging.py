from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from selfe_eval.doctor.findings import Finding
from selfe_eval.doctor.judging import Bound, content_finding, repeat_findings
from selfe_eval.doctor.known_images import KnownImages
from selfe_eval.pipeline.score import Scorer
from selfe_eval.records import Prompt
from selfe_eval.score.detectors.protocol import RgbImages
from tests.fakes import FakeJudgement, FakeScorer, small_suite

BOUND = Bound(least=0.75, origin="chosen", advice="mend it")


def known(*, num_wrong: int = 0) -> KnownImages:
    """Twelve blue images, the first few of them red too: the fake scorer says "correct" where red is low."""
    prompts = small_suite(2).prompts
    pixels = np.zeros((len(prompts), 8, 8, 3), np.uint8)
    pixels[..., 2] = 255
    pixels[:num_wrong, ..., 0] = 255
    return KnownImages(images=RgbImages(pixels=pixels), prompts=prompts)


def content(scorer: Scorer, *, num_wrong: int = 0) -> Finding:
    return content_finding("openmoji", "drawings", scorer, known(num_wrong=num_wrong), BOUND)


@dataclass(kw_only=True)
class Changed:
    """The fake scorer behind something that is broken."""

    images: Callable[[RgbImages], RgbImages] = lambda images: images
    """What reaches the scorer."""
    verdict: Callable[[FakeJudgement, int], FakeJudgement] = lambda judgement, _size: judgement
    """What comes out, given the number of images beside it."""
    inner: FakeScorer = field(default_factory=FakeScorer)
    batch_size: int = 64

    def score(self, images: RgbImages, prompts: Sequence[Prompt]) -> list[FakeJudgement]:
        judged = self.inner.score(self.images(images), prompts)
        return [self.verdict(judgement, len(prompts)) for judgement in judged]

    def describe(self) -> dict[str, Any]:
        return {}


def exchanged(images: RgbImages) -> RgbImages:
    return RgbImages(pixels=np.ascontiguousarray(images.pixels[..., ::-1]))


def raised(judgement: FakeJudgement, by: float) -> FakeJudgement:
    """The same verdict with other scores."""
    objects = {
        name: [replace(thing, score=thing.score + by) for thing in found]
        for name, found in judgement.objects.items()
    }
    return replace(judgement, objects=objects)


def flipped(judgement: FakeJudgement) -> FakeJudgement:
    return replace(judgement, correct=not judgement.correct)


def repeated(scorer: Changed) -> dict[str, Finding]:
    return {finding.name: finding for finding in repeat_findings("openmoji", scorer, known(), 3)}


@pytest.mark.parametrize(("num_wrong", "status"), [(0, "ok"), (3, "ok"), (4, "fail")])
def test_the_bound_is_met_at_its_value(num_wrong: int, status: str) -> None:
    """Three in four: of twelve images nine right ones pass and eight fail; the count is in the finding."""
    finding = content(FakeScorer(), num_wrong=num_wrong)
    assert finding.status == status
    assert finding.found == f"{12 - num_wrong} of 12 judged right; at least 75% must be (chosen)"


def test_exchanged_channels_fail() -> None:
    """A judge that gets BGR for RGB is wrong about coloured things, and the advice is the bound's."""
    finding = content(Changed(images=exchanged))
    assert (finding.status, finding.advice) == ("fail", "mend it")
    assert finding.found.startswith("0 of 12")


def test_random_answers_fail_content_and_repetition() -> None:
    """A judge that tosses a coin is wrong too often, and says other things the second time."""
    rng = np.random.default_rng(0)
    tossed = Changed(verdict=lambda judgement, _: flipped(judgement) if rng.random() < 0.5 else judgement)

    assert content(tossed).status == "fail"
    assert repeated(tossed)["same images twice"].status == "fail"


def test_a_steady_judge_repeats_itself_to_the_bit() -> None:
    """Same verdicts and bits twice, the same alone as in a batch, and a time is reported."""
    findings = repeated(Changed())
    assert [finding.status for finding in findings.values()] == ["ok", "ok", "ok"]
    assert findings["same images twice"].found == "same verdicts and same bits on 12 images"
    assert findings["speed"].found.endswith("s an image")


@pytest.mark.parametrize(("step", "status"), [(1e-5, "warn"), (0.02, "fail")])
def test_drifting_scores_are_found_before_verdicts_change(step: float, status: str) -> None:
    """Scores that move by rounding are a warning, by more a failure, though every verdict stays."""
    calls = iter(range(10**6))
    drifting = Changed(verdict=lambda judgement, _: raised(judgement, step * (next(calls) // 12 % 2)))
    assert repeated(drifting)["same images twice"].status == status


def test_a_verdict_that_depends_on_its_neighbours_fails() -> None:
    """An image that is judged otherwise, or scored otherwise, when alone: the batch is mixed somewhere."""
    verdicts = Changed(verdict=lambda judgement, size: judgement if size > 1 else flipped(judgement))
    scores = Changed(verdict=lambda judgement, size: raised(judgement, 0.1 if size == 1 else 0.0))
    for mixing in (verdicts, scores):
        findings = repeated(mixing)
        assert findings["same images twice"].status == "ok"
        assert findings["alone and in a batch"].status == "fail"
