"""Chooses the detector's own thresholds, on scenes of a seed of their own: clean, spoilt, crowded and unreal.

GenEval's 0.3 and 0.9 belong to another detector. A threshold is right for a scene if exactly the true objects
score above it; the chosen one is right for most scenes, and in the middle of its range if several tie. For
counting only scenes with several objects of a class, and unreal ones, are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.score.detectors.openmoji import OpenmojiDetector
from selfe_eval.score.detectors.protocol import Detections, RgbImages, Thresholds
from selfe_eval.train.judge_scenes import labelled_scenes, with_unreal
from selfe_eval.train.judge_spoil import spoil

CANDIDATES = tuple(round(0.1 + 0.025 * step, 3) for step in range(33))
"""0.1 to 0.9."""
NUM_SCENES = 2048
"""A third of them stays clean (see judge_spoil)."""
CROWDED_SHARE = 0.1
"""Share of scenes with more objects than any prompt asks for."""


def choose_thresholds(detector: OpenmojiDetector, seed: int) -> Thresholds:
    """The thresholds at which most scenes show exactly their true objects.

    Args:
        detector: With final weights; its own thresholds are ignored.
        seed: Of the scenes; not one that was trained or will be calibrated on.
    """
    generator = torch.Generator().manual_seed(seed)
    batch = labelled_scenes(load_sprite_bank(), NUM_SCENES, seed, crowded_share=CROWDED_SHARE)
    batch = with_unreal(batch, generator)
    images = spoil(batch.images, generator)
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    found = detector.detect(RgbImages(pixels=pixels))
    true = [np.sort(row[row >= 0]) for row in batch.class_index.numpy()]
    right = np.array([exact(found, true, candidate) for candidate in CANDIDATES])
    counts = np.array([len(classes) == 0 or len(classes) > len(set(classes)) for classes in true])
    return Thresholds(confidence=best_candidate(right), counting=best_candidate(right[:, counts]))


def exact(
    found: Sequence[Detections], true: Sequence[NDArray[np.int64]], threshold: float
) -> NDArray[np.bool_]:
    """For each image, whether the classes above the threshold are exactly the true ones, as often: (B,) bool.

    Args:
        found: What the detector saw in each image.
        true: The sorted class indices of each image.
        threshold: Objects must score more.
    """
    return np.array(
        [
            np.array_equal(np.sort(seen.class_index[seen.scores > threshold]), expected)
            for seen, expected in zip(found, true, strict=True)
        ]
    )


def best_candidate(right: NDArray[np.bool_]) -> float:
    """The candidate that is right most often: (candidates, images) -> threshold."""
    hits = right.sum(axis=1)
    best = np.flatnonzero(hits == hits.max())
    return CANDIDATES[int(best[len(best) // 2])]
