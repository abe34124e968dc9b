"""Which files a run is judged with, where they are not the detector's and the colour model's own.

They are no part of the run's spec: files move, and scores are identified by what the scorer says of itself,
hashes included. They are kept so that ``resume`` finds them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

ColorMode = Literal["deterministic", "reference"]
"""``deterministic`` computes colours in float32; ``reference`` in half precision, as the reference does."""

COLOR_MODES: tuple[ColorMode, ...] = get_args(ColorMode)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """What a caller may choose about the judge of a run, beside the detector's name."""

    detector_weights: str | None = None
    """Path of a weight file or checkpoint folder; None for the detector's own."""
    detector_config: str | None = None
    """Path of the configuration of a detector of the user's own."""
    color_weights: str | None = None
    """``openai``, or the path of a weight file or open_clip folder; None for what goes with the detector."""
    color_mode: ColorMode = "deterministic"
    """How colours are computed."""

    def as_json(self) -> dict[str, Any]:
        """The ``judge`` object of ``run.json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> JudgeOptions:
        """Read the ``judge`` object of ``run.json``.

        Raises:
            TypeError: fields are missing or unknown.
            ValueError: the colour mode is unknown.
        """
        if document["color_mode"] not in COLOR_MODES:
            raise ValueError(f"color_mode {document['color_mode']!r}")
        return cls(**document)
