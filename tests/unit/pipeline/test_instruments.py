from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfe_eval.errors import UsageError
from selfe_eval.pipeline.instruments import Bench, in_order, instruments_at_hand, named_instruments
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.score import Scorer
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.suites.registry import load_suite
from tests.fakes import FakeScorer


@pytest.fixture(autouse=True)
def _nothing_is_on_this_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights of anybody's cache are found."""
    for name in ("HOME", "HF_HOME", "HF_HUB_CACHE", "TORCH_HOME", "XDG_CACHE_HOME", "SELFE_EVAL_WEIGHTS"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))


def bench(suite: str = "openmoji", **changes: Any) -> Bench:
    """A bench on which nothing was chosen but what a test says."""
    options = MeasureOptions(
        **{
            "metrics": (),
            **{
                k: v
                for k, v in changes.items()
                if k not in {"load_scorer", "num_prompts", "images_per_prompt"}
            },
        }
    )
    return Bench(
        suite=load_suite(suite),
        options=options,
        num_prompts=changes.get("num_prompts", 553),
        images_per_prompt=changes.get("images_per_prompt", 2),
        device="cpu",
        load_scorer=changes.get("load_scorer", FakeScorer),
    )


def no_judge() -> Scorer:
    raise UsageError("The judge's weights are missing.")


def test_the_openmoji_world_has_every_metric_at_hand() -> None:
    """One bundled network serves them all, and nothing is left out."""
    found = instruments_at_hand(bench(), Silence())
    assert found.metrics == (
        *("geneval", "clip-score", "fid", "kid", "cmmd"),
        *("precision", "recall", "density", "coverage", "spread"),
    )
    assert list(found.extractors) == ["openmoji-clip"]
    assert found.weights == {"openmoji-clip": None}
    assert [one.name for one in found.measured[:2]] == ["clip-score[openmoji-clip]", "fid[openmoji-clip]"]
    assert found.not_measured == {}


def test_what_is_left_out_has_a_reason() -> None:
    """One image a prompt has no spread; a judge without weights gives no GenEval; both are said, the rest is measured."""
    found = instruments_at_hand(bench(load_scorer=no_judge, images_per_prompt=1), Silence())
    assert found.not_measured.keys() == {"geneval", "spread[openmoji-clip]"}
    assert found.not_measured["geneval"] == "The judge's weights are missing."
    assert "--images-per-prompt 2" in found.not_measured["spread[openmoji-clip]"]
    assert "geneval" not in found.metrics
    assert found.scorer is None


def test_photographs_without_weights_and_reference_have_nothing() -> None:
    """Then it is an error that names each metric with its reason, and downloads nothing."""
    with pytest.raises(UsageError, match="Nothing can be measured here") as failure:
        instruments_at_hand(bench("geneval", load_scorer=no_judge), Silence())
    assert "geneval: The judge's weights are missing." in str(failure.value)
    assert "fid: The suite geneval has no reference images of its own." in str(failure.value)
    assert "ViT-L-14" in str(failure.value)


def test_neighbours_of_too_few_images_are_left_out_before_any_is_drawn() -> None:
    """Three images at a step count have no third neighbour: a quick look at three prompts still gets the rest."""
    found = instruments_at_hand(bench(num_prompts=3, images_per_prompt=1), Silence())
    assert set(found.not_measured) == {
        f"{name}[openmoji-clip]" for name in ("precision", "recall", "density", "coverage", "spread")
    }
    assert (
        "needs 4 images at each step count, and 3 are planned" in found.not_measured["recall[openmoji-clip]"]
    )
    with pytest.raises(UsageError, match="needs 4 images"):
        named_instruments(bench(metrics=("recall",), num_prompts=3, images_per_prompt=1), Silence())


def test_statistics_leave_out_what_needs_images(tmp_path: Path) -> None:
    """Mean and covariance give the Frechet distance; each metric that needs images says so."""
    np.savez(tmp_path / "s.npz", mu=np.zeros(64), sigma=np.eye(64))
    found = instruments_at_hand(bench(reference=str(tmp_path / "s.npz")), Silence())
    assert "fid" in found.metrics
    assert set(found.not_measured) == {
        f"{name}[openmoji-clip]" for name in ("kid", "cmmd", "precision", "recall", "density", "coverage")
    }
    assert "needs images" in found.not_measured["kid[openmoji-clip]"]


def test_statistics_of_another_width_are_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    """Whether the metrics were named or found at hand: a reference that was named must be of use."""
    np.savez(tmp_path / "s.npz", mu=np.zeros(32), sigma=np.eye(32))
    for gather, metrics in ((named_instruments, ("fid",)), (instruments_at_hand, ())):
        with pytest.raises(
            UsageError, match=r"is 32, but the extractor openmoji-clip makes features of width 64"
        ):
            gather(bench(metrics=metrics, reference=str(tmp_path / "s.npz")), Silence())


def test_statistics_that_nobody_named_a_metric_for_serve_fid_alone(tmp_path: Path) -> None:
    """Which extractor they were made with is not known, so no second one is compared with them in silence."""
    np.savez(tmp_path / "s.npz", mu=np.zeros(4), sigma=np.eye(4))
    with pytest.raises(UsageError, match="Nothing can be measured here") as failure:
        instruments_at_hand(
            bench("geneval", load_scorer=no_judge, reference=str(tmp_path / "s.npz")), Silence()
        )
    for name in ("clean-fid", "fd-dinov2"):
        assert f" {name}: the statistics 's.npz' serve one extractor" in str(failure.value)
    assert " fid: " in str(failure.value)
    assert " fid: the statistics" not in str(failure.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ("fdi",)}, "Unknown metric 'fdi'. Did you mean 'fid'"),
        ({"metrics": ("fid[incepton]",)}, "Unknown extractor 'incepton'. Did you mean 'inception'"),
        ({"metrics": ("spread",), "images_per_prompt": 1}, "--images-per-prompt 2"),
        ({"metrics": ("fid[inception]",)}, "weights-inception-2015-12-05-6726825d.pth"),
        ({"metrics": ("fid",), "reference": "/nowhere"}, "neither a folder nor a run"),
    ],
)
def test_what_was_asked_for_by_name_must_be_had(
    changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metric that cannot be measured is an error that says what to do, not a row that is missing."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match=message):
        named_instruments(bench(**changes), Silence())


def test_weights_named_for_an_extractor_serve_its_other_resize_too(tmp_path: Path) -> None:
    """Inception behind clean-fid's resize is the same network: its file is looked for where Inception's was said to be."""
    named = str(tmp_path / "gone.pth")
    with pytest.raises(UsageError, match=r"gone\.pth, where there is nothing"):
        named_instruments(bench(metrics=("clean-fid",), weights={"inception": named}), Silence())


def test_metrics_are_put_in_order() -> None:
    """The table's order, plain names before those with an extractor of their own, each once."""
    assert in_order(["coverage", "fid[dinov2]", "geneval", "fid", "fid"]) == (
        *("geneval", "fid", "fid[dinov2]", "coverage"),
    )


def test_a_metric_that_is_typed_in_two_ways_is_measured_once() -> None:
    """The plain name on the openmoji world means its own extractor, which may also be named."""
    found = named_instruments(bench(metrics=("spread", "spread[openmoji-clip]")), Silence())
    assert [one.name for one in found.measured] == ["spread[openmoji-clip]"]
