from __future__ import annotations

import numpy as np
import pytest

from selfe_eval.errors import UsageError
from selfe_eval.score.clip_score import PROTOCOLS, clip_scores, mean_score, protocol_for
from selfe_eval.score.features.registry import EXTRACTORS

IMAGES = np.array([[3.0, 4.0], [-3.0, 4.0]])
TEXTS = np.array([[2.0, 0.0], [1.0, 0.0]])
"""Cosines 0.6 and -0.6."""


@pytest.mark.parametrize(
    ("name", "expected", "mean"),
    [
        ("default", [60.0, 0.0], 30.0),
        ("hessel", [1.5, 0.0], 0.75),
        ("torchmetrics", [60.0, -60.0], 0.0),
        ("dmd2", [0.6, -0.6], 0.0),
    ],
)
def test_each_protocol_has_its_own_scale_and_clamp(name: str, expected: list[float], mean: float) -> None:
    """Of one cosine the protocols make 60, 1.5 and 0.6, and they differ in what becomes of its opposite."""
    scores = clip_scores(IMAGES, TEXTS, PROTOCOLS[name])
    assert scores == pytest.approx(expected)
    assert mean_score(scores, PROTOCOLS[name].clamp) == pytest.approx(mean)


def test_only_torchmetrics_clamps_the_mean() -> None:
    """A set of images that fits its prompts worse than not at all has 0 by torchmetrics and less by DMD2."""
    scores = np.array([0.1, -0.3])
    assert mean_score(scores, PROTOCOLS["torchmetrics"].clamp) == 0.0
    assert mean_score(scores, PROTOCOLS["dmd2"].clamp) == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("protocol", "suite", "name", "extractor"),
    [
        ("default", "geneval", "clip-score", "clip-vit-l-14"),
        ("default", "openmoji", "clip-score[openmoji-clip]", "openmoji-clip"),
        ("default", "openmoji[rewritten]", "clip-score[openmoji-clip]", "openmoji-clip"),
        ("hessel", "geneval", "clip-score[hessel]", "clip-vit-b-32"),
        ("torchmetrics", "geneval", "clip-score[torchmetrics]", "clip-vit-l-14"),
        ("dmd2", "openmoji", "clip-score[dmd2]", "clip-vit-g-14-256"),
    ],
)
def test_a_protocol_is_part_of_the_name(protocol: str, suite: str, name: str, extractor: str) -> None:
    """Only the default on photographs has the bare name; a published protocol keeps its network everywhere."""
    measured, found = protocol_for(protocol, suite)
    assert (measured.name, measured.extractor, found.name) == (name, extractor, protocol)
    assert extractor in EXTRACTORS


def test_an_extractor_may_be_chosen_for_the_default_alone() -> None:
    """A published protocol with another network would not be that protocol."""
    assert protocol_for("default", "geneval", "clip-score[clip-vit-b-32]")[0].extractor == "clip-vit-b-32"
    assert protocol_for("hessel", "geneval", "clip-score[clip-vit-b-32]")[0].name == "clip-score[hessel]"
    with pytest.raises(UsageError, match="hessel is defined with the extractor clip-vit-b-32"):
        protocol_for("hessel", "geneval", "clip-score[clip-vit-l-14]")


def test_an_unknown_protocol_is_named_with_what_was_probably_meant() -> None:
    """Names are looked up, never guessed."""
    with pytest.raises(UsageError, match=r"CLIP-score protocol 'hessl'\. Did you mean 'hessel'"):
        protocol_for("hessl", "geneval")


def test_the_record_names_everything_but_the_network() -> None:
    """Words before the prompt, factor and clamp are part of what a score is identified by."""
    assert PROTOCOLS["hessel"].as_json() == {
        "name": "hessel",
        "prefix": "A photo depicts ",
        "scale": 2.5,
        "clamp": "image",
    }
