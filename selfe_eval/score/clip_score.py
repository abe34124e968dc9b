"""CLIP-score: how well an image fits its prompt, by the angle between their CLIP vectors. Pure numbers; no torch.

Published scores of this name differ in network, words before the prompt, factor, and what is cut off at zero, so each
way is a protocol with a name, and a number without it says nothing.

Sources: Hessel et al., 2021 (CLIPScore), equation 1 and jmhessel/clipscore, ``clipscore.py``; torchmetrics 1.9,
``functional/multimodal/clip_score.py``; tianweiy/DMD2 at 4e54501, ``main/coco_eval/coco_evaluator.py``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from selfe_eval.errors import UsageError, unknown_name
from selfe_eval.metrics import METRICS, Measured, measured_on
from selfe_eval.score.cosine import unit_rows

Clamp = Literal["image", "mean", "none"]
"""What is raised to zero where it is below: the number of each image, the mean over images, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipProtocol:
    """One way of computing CLIP-score."""

    name: str
    """As typed."""
    extractor: str | None
    """The only extractor it is defined for; None for the suite's."""
    prefix: str
    """What stands before every prompt."""
    scale: float
    """What the cosine is multiplied with: the score of a perfect match."""
    clamp: Clamp
    """What cannot be below zero."""

    def as_json(self) -> dict[str, Any]:
        """Its part of a score's protocol; the extractor speaks for itself."""
        return {key: value for key, value in asdict(self).items() if key != "extractor"}


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        ClipProtocol(name="default", extractor=None, prefix="", scale=100.0, clamp="image"),
        ClipProtocol(
            name="hessel", extractor="clip-vit-b-32", prefix="A photo depicts ", scale=2.5, clamp="image"
        ),
        ClipProtocol(name="torchmetrics", extractor="clip-vit-l-14", prefix="", scale=100.0, clamp="mean"),
        ClipProtocol(
            name="dmd2", extractor="clip-vit-g-14-256", prefix="A photo depicts ", scale=1.0, clamp="none"
        ),
    )
}
"""Every protocol. DMD2 prints the bare cosine, 0.33 where others print 33."""


def protocol_for(name: str, suite: str, typed: str = "clip-score") -> tuple[Measured, ClipProtocol]:
    """The protocol of this name, and the metric that it makes on a suite.

    Args:
        name: A key of PROTOCOLS.
        suite: Name of the suite; on the openmoji world ``default`` uses the world's own extractor.
        typed: The metric as typed; ``clip-score[EXTRACTOR]`` chooses the extractor of ``default``.

    Raises:
        UsageError: there is no such protocol, or something else was typed than its own extractor.

    >>> protocol_for("default", "openmoji")[0].name, protocol_for("hessel", "openmoji")[0].name
    ('clip-score[openmoji-clip]', 'clip-score[hessel]')
    """
    if name not in PROTOCOLS:
        raise unknown_name("CLIP-score protocol", name, PROTOCOLS)
    protocol = PROTOCOLS[name]
    is_plain = typed in {"clip-score", f"clip-score[{name}]"}
    measured = measured_on("clip-score" if is_plain else typed, suite)
    if measured.extractor in PROTOCOLS:
        raise UsageError(
            f"{typed} is CLIP-score by the protocol {measured.extractor}, and the protocol asked for is {name}. Type "
            f"clip-score with --clip-protocol {measured.extractor}."
        )
    if protocol.extractor is None:
        return measured, protocol
    if not is_plain and measured.extractor != protocol.extractor:
        raise UsageError(
            f"CLIP-score's protocol {name} is defined with the extractor {protocol.extractor}, and {typed} asks for "
            f"{measured.extractor}. Type clip-score alone, or use the protocol default."
        )
    return Measured(metric=METRICS["clip-score"], extractor=protocol.extractor, variant=name), protocol


def clip_scores(
    images: NDArray[np.floating[Any]], texts: NDArray[np.floating[Any]], protocol: ClipProtocol
) -> NDArray[np.float64]:
    """The scores of N images, each with its own text: scale x cosine.

    Args:
        images: (N, d), not normalised.
        texts: (N, d), not normalised.
        protocol: Only its scale and its clamp matter here.

    Returns:
        (N,), NaN where a vector has no direction. `mean_score` of them is the protocol's number.

    >>> clip_scores(np.array([[3.0, 4.0], [-1.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 0.0]]), PROTOCOLS["default"])
    array([60.,  0.])
    """
    scores: NDArray[np.float64] = protocol.scale * np.sum(unit_rows(images) * unit_rows(texts), axis=1)
    return np.maximum(scores, 0.0) if protocol.clamp == "image" else scores


def mean_score(scores: NDArray[np.float64], clamp: Clamp) -> float:
    """The protocol's number for a set of images: the mean of `clip_scores`, with the last clamp where there is one.

    >>> mean_score(np.array([1.0, -3.0]), "mean"), mean_score(np.array([1.0, -3.0]), "none")
    (0.0, -1.0)
    """
    mean = float(scores.mean())
    return max(mean, 0.0) if clamp == "mean" else mean
