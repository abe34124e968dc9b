"""Somebody else's models: how a diffusers pipeline is asked to draw, and presets for the peers of the paper's Table 1.

`PeerSettings` is everything about a pipeline that decides the bits and is no option of the sampler: it belongs to the spec
of a run. What a setting leaves out (None) is the pipeline's own default.

The paper prints figures of its peers and none of their settings. What stands in `PRESETS` is what their authors say: the
model card's example or the documentation of diffusers. A row measured with it stands beside a published figure; it does not
promise to reproduce it. There is no torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from selfe_eval.errors import UsageError

Dtype = Literal["float32", "bfloat16", "float16"]
"""Of the weights and of what is computed with them."""


CARD = "the model card's default, the paper does not say"
"""Most settings' source."""
PIPELINE = "the default of the pipeline in diffusers, the paper does not say"
"""Where the card leaves a setting out."""
DOCUMENTATION = "the documentation of diffusers, the paper does not say"
"""Where only that names a setting."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Somebody else's model and how its authors draw with it."""

    source: str
    """Hub name of the pipeline."""
    settings: PeerSettings
    """How it is loaded and called."""
    steps: tuple[int, ...]
    """Step counts that it is made for or that its card shows; others are drawn as well, and say how far it carries."""
    sources: Mapping[str, str]
    """Setting -> where it comes from; every setting that is not the default of `PeerSettings` has one."""
    published: str | None = None
    """Its row in the paper's Table 1, if it has one; None: it has none."""
    note: str = ""
    """What else to know before comparing."""


_CARD_SIZES = {"dtype": CARD, "height": CARD, "width": CARD}
_FEW_STEPS = "Distilled for few steps: what it draws at many is beyond what it was trained for."

PRESETS: dict[str, Peer] = {
    "flux.1-dev": Peer(
        source="black-forest-labs/FLUX.1-dev",
        settings=PeerSettings(
            dtype="bfloat16",
            height=1024,
            width=1024,
            guidance=3.5,
            call={"max_sequence_length": 512},
            batch_size=4,
        ),
        steps=(50,),
        sources={**_CARD_SIZES, "guidance": CARD, "call": CARD},
        published="FLUX.1-dev",
        note="The guidance scale is an input of the network: one evaluation a step. Its licence forbids commercial use.",
    ),
    "flux.1-schnell": Peer(
        source="black-forest-labs/FLUX.1-schnell",
        settings=PeerSettings(
            dtype="bfloat16",
            height=1024,
            width=1024,
            guidance=0.0,
            call={"max_sequence_length": 256},
            batch_size=4,
        ),
        steps=(1, 2, 4),
        sources={
            "dtype": CARD,
            "height": PIPELINE,
            "width": PIPELINE,
            "guidance": CARD,
            "call": DOCUMENTATION,
        },
        note=f"{_FEW_STEPS} It reads no guidance scale.",
    ),
    "sdxl": Peer(
        source="stabilityai/stable-diffusion-xl-base-1.0",
        settings=PeerSettings(dtype="float16", height=1024, width=1024, guidance=5.0, variant="fp16"),
        steps=(50,),
        sources={
            "dtype": CARD,
            "variant": CARD,
            "height": PIPELINE,
            "width": PIPELINE,
            "guidance": PIPELINE,
        },
        published="SDXL",
        note="The base model alone, without the refiner.",
    ),
    "sdxl-turbo": Peer(
        source="stabilityai/sdxl-turbo",
        settings=PeerSettings(
            dtype="float16",
            height=512,
            width=512,
            guidance=0.0,
            scheduler=PeerScheduler(
                name="EulerAncestralDiscreteScheduler", options={"timestep_spacing": "trailing"}
            ),
            variant="fp16",
        ),
        steps=(1, 2, 4),
        sources={**_CARD_SIZES, "variant": CARD, "guidance": CARD, "scheduler": DOCUMENTATION},
        published="SDXL-Turbo",
        note=_FEW_STEPS,
    ),
    "sd3.5-large": Peer(
        source="stabilityai/stable-diffusion-3.5-large",
        settings=PeerSettings(dtype="bfloat16", height=1024, width=1024, guidance=3.5, batch_size=4),
        steps=(28,),
        sources={"dtype": CARD, "height": PIPELINE, "width": PIPELINE, "guidance": CARD},
    ),
    "sd3.5-medium": Peer(
        source="stabilityai/stable-diffusion-3.5-medium",
        settings=PeerSettings(dtype="bfloat16", height=1024, width=1024, guidance=4.5),
        steps=(40,),
        sources={"dtype": CARD, "height": PIPELINE, "width": PIPELINE, "guidance": CARD},
    ),
    "sd3.5-large-turbo": Peer(
        source="stabilityai/stable-diffusion-3.5-large-turbo",
        settings=PeerSettings(dtype="bfloat16", height=1024, width=1024, guidance=0.0, batch_size=4),
        steps=(4,),
        sources={"dtype": CARD, "height": PIPELINE, "width": PIPELINE, "guidance": CARD},
        published="SD3.5-Turbo",
        note=f"{_FEW_STEPS} The paper does not say which size its SD3.5-Turbo has; its authors publish this one.",
    ),
    "lcm-sdxl": Peer(
        source="stabilityai/stable-diffusion-xl-base-1.0",
        settings=PeerSettings(
            dtype="float16",
            height=1024,
            width=1024,
            guidance=8.0,
            scheduler=PeerScheduler(name="LCMScheduler"),
            parts={"unet": "latent-consistency/lcm-sdxl"},
            variant="fp16",
        ),
        steps=(2, 4, 8),
        sources={
            "dtype": CARD,
            "height": PIPELINE,
            "width": PIPELINE,
            "variant": CARD,
            "guidance": CARD,
            "scheduler": CARD,
            "parts": CARD,
        },
        published="LCM",
        note="At most 50 steps, the scheduler's original_inference_steps. The guidance scale is an input of the network, as the "
        "card's example has it; the card's text speaks of 1 to 2, which is for the LoRA. The paper does not say which LCM it "
        "measured.",
    ),
    "lcm-dreamshaper": Peer(
        source="SimianLuo/LCM_Dreamshaper_v7",
        settings=PeerSettings(guidance=8.0),
        steps=(1, 2, 4, 8),
        sources={"guidance": CARD},
        published="LCM",
        note="At most 50 steps, the scheduler's original_inference_steps. The paper does not say which LCM it measured.",
    ),
    "sana-1.5-1.6b": Peer(
        source="Efficient-Large-Model/SANA1.5_1.6B_1024px_diffusers",
        settings=PeerSettings(dtype="bfloat16", height=1024, width=1024, guidance=4.5),
        steps=(20,),
        sources={"dtype": CARD, "height": PIPELINE, "width": PIPELINE, "guidance": PIPELINE},
        published="SANA-1.5",
        note="The paper does not say which size it measured. The pipeline puts its long instruction before every prompt.",
    ),
    "sana-1.5-4.8b": Peer(
        source="Efficient-Large-Model/SANA1.5_4.8B_1024px_diffusers",
        settings=PeerSettings(dtype="bfloat16", height=1024, width=1024, guidance=4.5),
        steps=(20,),
        sources={"dtype": CARD, "height": PIPELINE, "width": PIPELINE, "guidance": PIPELINE},
        published="SANA-1.5",
        note="The paper does not say which size it measured. The pipeline puts its long instruction before every prompt.",
    ),
    "sana-sprint": Peer(
        source="Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers",
        settings=PeerSettings(dtype="bfloat16", height=1024, width=1024, guidance=4.5),
        steps=(1, 2, 4),
        sources={"dtype": CARD, "height": PIPELINE, "width": PIPELINE, "guidance": PIPELINE},
        note=f"{_FEW_STEPS} The guidance scale is an input of the network. Its middle time, 1.3, is for two steps only; at "
        "other counts the times are spaced evenly.",
    ),
}
"""By the name that ``--model`` takes."""
