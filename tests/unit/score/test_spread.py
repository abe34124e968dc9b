from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from selfe_eval.score.spread import spreads


def test_the_mean_spread_is_the_mean_over_all_pairs() -> None:
    """Every image's mean distance to the others, averaged, is the mean pairwise distance."""
    features = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    unit = features.astype(float) / np.linalg.norm(features.astype(float), axis=1, keepdims=True)
    pairs = [1 - float(one @ other) for one, other in combinations(unit, 2)]
    assert spreads(features).mean() == pytest.approx(np.mean(pairs), rel=1e-12)


def test_equal_images_have_no_spread_at_all() -> None:
    """A collapsed model's spread is zero, not a rounding error."""
    features = np.tile(np.random.default_rng(1).normal(size=(1, 64)).astype(np.float32), (4, 1))
    assert spreads(features).tolist() == [0.0] * 4
