"""How somebody else's diffusers pipeline is asked to draw. There is no torch here.

`PeerSettings` is everything about it that decides the bits and is no option of the sampler: it belongs to the spec of a
run. What a setting leaves out (None) is the pipeline's own default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from selfe_eval.errors import UsageError

Dtype = Literal["float32", "bfloat16", "float16"]
"""Of the weights and of what is computed with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerScheduler:
    """A scheduler in place of the pipeline's own."""

    name: str
    """Class name in diffusers, such as ``LCMScheduler``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Entries of its configuration that differ from the pipeline's own scheduler's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    """How a diffusers pipeline is loaded and called."""

    dtype: Dtype = "float32"
    """Of the weights."""
    height: int | None = None
    """Pixels; None: the pipeline's own."""
    width: int | None = None
    """Pixels; None: the pipeline's own."""
    guidance: float | None = None
    """Guidance scale in the pipeline's own convention (0 for a model distilled without); None: its own default."""
    scheduler: PeerScheduler | None = None
    """In place of the pipeline's own."""
    call: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the pipeline's call; JSON types only."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Component -> folder or hub name of the weights that replace the pipeline's, as ``unet`` does for LCM."""
    variant: str | None = None
    """Which files of the weights: ``fp16`` for ``diffusion_pytorch_model.fp16.safetensors``; None: the unnamed ones."""
    revision: str | None = None
    """Commit or tag of a hub name; None: the newest."""
    batch_size: int = 8
    """Images a batch where the caller does not say."""

    def __post_init__(self) -> None:
        if self.dtype not in get_args(Dtype):
            raise UsageError(
                f"Number format {self.dtype!r}: expected one of {', '.join(get_args(Dtype))} for a diffusers pipeline."
            )
        for side, size in (("height", self.height), ("width", self.width)):
            if size is not None and size < 1:
                raise UsageError(f"An image of {side} {size}: expected at least one pixel.")

    def as_json(self) -> dict[str, Any]:
        """As a run's record keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PeerSettings:
        """Read what `as_json` wrote.

        Raises:
            UsageError: an entry is unknown or out of range.
        """
        unknown = sorted(set(document) - {field.name for field in fields(cls)})
        if unknown:
            raise UsageError(
                f"Settings of a diffusers pipeline have no {', '.join(map(repr, unknown))}. A newer version wrote them; use it."
            )
        scheduler = document.get("scheduler")
        return cls(**{**document, "scheduler": PeerScheduler(**scheduler) if scheduler else None})
