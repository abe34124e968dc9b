from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from selfe_eval.score.clip_score import PROTOCOLS, ClipProtocol, clip_scores, mean_score
from selfe_eval.score.spread import spreads

vectors = hnp.arrays(np.float32, (6, 4), elements=st.integers(-9, 9).map(float)).map(
    lambda a: a + np.float32(0.5)
)
"""Six vectors, none of them zero."""
protocols = st.sampled_from(sorted(PROTOCOLS)).map(PROTOCOLS.__getitem__)
lengths = hnp.arrays(np.float64, (6, 1), elements=st.floats(0.01, 100.0))


@given(images=vectors, texts=vectors, factors=lengths, protocol=protocols)
def test_the_length_of_a_vector_does_not_matter(
    images: np.ndarray, texts: np.ndarray, factors: np.ndarray, protocol: ClipProtocol
) -> None:
    """CLIP-score is a matter of angles, on both sides."""
    scores = clip_scores(images, texts, protocol)
    assert clip_scores(images * factors, texts, protocol) == pytest.approx(scores, rel=1e-9, abs=1e-9)
    assert clip_scores(images, texts * factors, protocol) == pytest.approx(scores, rel=1e-9, abs=1e-9)


@given(images=vectors, texts=vectors, protocol=protocols)
def test_no_score_exceeds_the_scale(images: np.ndarray, texts: np.ndarray, protocol: ClipProtocol) -> None:
    """A perfect match has the scale, its opposite the negative of it or 0."""
    scores = clip_scores(images, texts, protocol)
    assert np.all(scores <= protocol.scale * (1 + 1e-12))
    assert np.all(scores >= (0.0 if protocol.clamp == "image" else -protocol.scale * (1 + 1e-12)))
    assert clip_scores(images, images, protocol) == pytest.approx(np.full(6, protocol.scale))


@given(images=vectors, texts=vectors, order=st.permutations(range(6)), protocol=protocols)
def test_every_image_has_its_own_score(
    images: np.ndarray, texts: np.ndarray, order: list[int], protocol: ClipProtocol
) -> None:
    """In another order each pair has the score it had."""
    scores = clip_scores(images, texts, protocol)
    assert np.array_equal(clip_scores(images[order], texts[order], protocol), scores[order])


@given(images=vectors, texts=vectors)
def test_clamping_the_mean_gives_no_more_than_clamping_each_image(
    images: np.ndarray, texts: np.ndarray
) -> None:
    """The number of torchmetrics is at most the default's on one network, and the same where no angle is obtuse."""
    late, each = PROTOCOLS["torchmetrics"], PROTOCOLS["default"]
    mean_clamped = mean_score(clip_scores(images, texts, late), late.clamp)
    image_clamped = mean_score(clip_scores(images, texts, each), each.clamp)
    assert mean_clamped <= image_clamped + 1e-12
    towards = np.where(np.sum(images * texts, axis=1, keepdims=True) < 0, -1, 1) * texts
    assert mean_score(clip_scores(images, towards, late), late.clamp) == pytest.approx(
        mean_score(clip_scores(images, towards, each), each.clamp)
    )


@given(features=vectors, factors=lengths, order=st.permutations(range(6)))
def test_spread_is_bounded_and_blind_to_length_and_order(
    features: np.ndarray, factors: np.ndarray, order: list[int]
) -> None:
    """1 - cosine lies between 0 and 2, whatever the vectors' lengths and whoever comes first."""
    found = spreads(features)
    assert np.all((found >= 0) & (found <= 2 * (1 + 1e-12)))
    assert spreads(features * factors) == pytest.approx(found, abs=1e-9)
    assert spreads(features[order]) == pytest.approx(found[order], abs=1e-9)
