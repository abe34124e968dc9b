from __future__ import annotations

import numpy as np

from selfe_eval.score.detectors.protocol import Detections
from selfe_eval.train.judge_thresholds import CANDIDATES, best_candidate, exact


def _found(*objects: tuple[int, float]) -> Detections:
    return Detections(
        class_index=np.array([index for index, _ in objects], np.int64),
        boxes=np.zeros((len(objects), 4), np.float32),
        scores=np.array([score for _, score in objects], np.float32),
        masks=np.zeros((len(objects), 8, 8), bool),
    )


def test_a_scene_is_right_if_exactly_its_objects_are_above_the_threshold() -> None:
    """One missing, one too many and one of another class are all wrong."""
    found = [_found((3, 0.9), (3, 0.8)), _found((3, 0.9), (3, 0.4)), _found((3, 0.9), (5, 0.8)), _found()]
    true = [np.array([3, 3])] * 3 + [np.array([], np.int64)]
    assert exact(found, true, 0.5).tolist() == [True, False, False, True]


def test_the_threshold_that_is_right_most_often_wins() -> None:
    """The candidate with most hits is chosen; where several tie, the middle one, away from both ends."""
    right = np.zeros((len(CANDIDATES), 4), bool)
    right[10:21, :3] = True
    assert best_candidate(right) == CANDIDATES[15]
    right[25] = True
    assert best_candidate(right) == CANDIDATES[25]
