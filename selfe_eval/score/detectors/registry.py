"""The visible table of detectors. A new backend is one line here and one ``load`` function."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from selfe_eval.errors import unknown_name
from selfe_eval.metrics import is_of_openmoji
from selfe_eval.score.detectors.protocol import Detector

DETECTORS = {
    "openmoji": "selfe_eval.score.detectors.openmoji:load",
    "mmdet": "selfe_eval.score.detectors.mmdet_mask2former:load",
    "transformers": "selfe_eval.score.detectors.transformers_mask2former:load",
    "hf-weights": "selfe_eval.score.detectors.transformers_mask2former:load_hub_weights",
}


def detector_names() -> tuple[str, ...]:
    """The names ``load_detector`` takes."""
    return tuple(DETECTORS)


def detector_for(suite: str) -> str:
    """The detector that judges a suite where nobody names another: the one its protocol is made of.

    >>> detector_for("geneval"), detector_for("openmoji")
    ('transformers', 'openmoji')
    """
    return "openmoji" if is_of_openmoji(suite) else "transformers"


def load_detector(
    name: str, device: str = "cpu", *, weights: Path | None = None, config: Path | None = None
) -> Detector:
    """Load a detector with its weights.

    Args:
        name: A key of ``DETECTORS``.
        device: A torch device string.
        weights: A weight file or checkpoint folder in the place of the detector's own.
        config: A configuration file, for the detectors that take one.

    Raises:
        UsageError: Unknown name, weights that are missing or corrupt, or a file the detector does not take.
    """
    if name not in DETECTORS:
        raise unknown_name("detector", name, DETECTORS)
    module, function = DETECTORS[name].split(":")
    return cast("Detector", getattr(importlib.import_module(module), function)(device, weights, config))
