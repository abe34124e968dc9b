"""The visible table of detectors. A new backend is one line here and one ``load(device)`` function."""

from __future__ import annotations

import importlib
from typing import cast

from selfe_eval.errors import unknown_name
from selfe_eval.score.detectors.protocol import Detector

DETECTORS = {
    "openmoji": "selfe_eval.score.detectors.openmoji:load",
}


def detector_names() -> tuple[str, ...]:
    """The names ``load_detector`` takes."""
    return tuple(DETECTORS)


def load_detector(name: str, device: str = "cpu") -> Detector:
    """Load a detector with its weights.

    Args:
        name: A key of ``DETECTORS``.
        device: A torch device string.

    Raises:
        UsageError: Unknown name, or weights that are missing or corrupt.
    """
    if name not in DETECTORS:
        raise unknown_name("detector", name, DETECTORS)
    module, function = DETECTORS[name].split(":")
    return cast("Detector", getattr(importlib.import_module(module), function)(device))
