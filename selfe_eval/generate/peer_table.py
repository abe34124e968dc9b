"""The models of the paper's Table 1 that diffusers can draw, and their kin: data, each setting with its source.

The paper prints figures of these models and none of their settings. What stands here is what their authors say: the model
card's example or the documentation of diffusers. A row measured with it stands beside a published figure; it does not
reproduce it by promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from selfe_eval.generate.peers import PeerScheduler, PeerSettings

CARD = "the model card's default, the paper does not say"
"""Most settings' source."""
PIPELINE = "the default of the pipeline in diffusers, the paper does not say"
"""Where the card leaves a setting out."""
DOCUMENTATION = "the documentation of diffusers, the paper does not say"
"""Where only that names a setting."""


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

PEERS: dict[str, Peer] = {
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
"""By the name that ``--model diffusers:NAME`` takes."""


def find_peer(name: str) -> tuple[str, Peer] | None:
    """The preset of this name, or of this hub name where one preset alone draws with it as it is; None: there is none."""
    if name in PEERS:
        return name, PEERS[name]
    for key, peer in PEERS.items():
        if peer.source == name and not peer.settings.parts:
            return key, peer
    return None
