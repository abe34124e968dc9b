"""The visible table of extractors. A new one is one line here and one ``load`` function."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from selfe_eval.errors import unknown_name
from selfe_eval.score.features.protocol import Extractor

EXTRACTORS = {
    "inception": "selfe_eval.score.features.inception:load",
    "inception-clean": "selfe_eval.score.features.inception:load_clean",
    "dinov2": "selfe_eval.score.features.dinov2:load",
    "clip-vit-l-14": "selfe_eval.score.features.clip_towers:load_vit_l_14",
    "clip-vit-l-14-336": "selfe_eval.score.features.clip_towers:load_vit_l_14_336",
    "clip-vit-b-32": "selfe_eval.score.features.clip_towers:load_vit_b_32",
    "clip-vit-g-14-256": "selfe_eval.score.features.clip_towers:load_vit_g_14_256",
    "openmoji-clip": "selfe_eval.score.features.clip_towers:load_openmoji",
}


WEIGHTS_OF = {"inception-clean": "inception"}
"""Extractors that are another one's network with another resize: whoever names that one's weights names theirs."""


def load_extractor(name: str, device: str = "cpu", *, weights: Path | None = None) -> Extractor:
    """Load an extractor with its weights.

    Args:
        name: A key of ``EXTRACTORS``.
        device: A torch device string.
        weights: A weight file or folder; by default looked for, then downloaded.

    Raises:
        UsageError: Unknown name, or weights that are missing, damaged, unsafe or of another network. It says which file
            to get, its hash and where to put it.
    """
    if name not in EXTRACTORS:
        raise unknown_name("extractor", name, EXTRACTORS)
    module, function = EXTRACTORS[name].split(":")
    return cast("Extractor", getattr(importlib.import_module(module), function)(device, weights))


def weights_problem(name: str, weights: Path | None = None) -> str | None:
    """Why an extractor's weights are not at hand, as one paragraph that says what to get; None where they are.

    Downloads nothing and loads nothing: a damaged or foreign file is found by ``load_extractor``.

    Args:
        name: A key of ``EXTRACTORS``.
        weights: A weight file or folder in the place of those that are looked for.

    Raises:
        UsageError: Unknown name.
    """
    if name not in EXTRACTORS:
        raise unknown_name("extractor", name, EXTRACTORS)
    from selfe_eval.score.features.weight_sources import SOURCES, problem_with_weights

    return problem_with_weights(name, SOURCES.get(name), weights)
