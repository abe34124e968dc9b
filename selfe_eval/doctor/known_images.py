"""Images whose content is known, because we draw them: scenes of the openmoji suite, and large single objects."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image

from selfe_eval.openmoji.classes import picture
from selfe_eval.openmoji.scenes import render
from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.openmoji.suite_scenes import scenes_for_prompts
from selfe_eval.pipeline.plan import select_prompts
from selfe_eval.records import Prompt, Requirement
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.suites.registry import load_suite

SEED = 7
"""Of the scenes: neither the calibration's nor the one that the judge's thresholds were chosen on."""

EASY_CLASSES = (
    "bicycle",
    "car",
    "airplane",
    "stop sign",
    "elephant",
    "umbrella",
    "banana",
    "broccoli",
    "teddy bear",
    "scissors",
)
"""Classes whose OpenMoji picture shows the whole thing, drawn much as it looks."""
CANVAS_PX = 512
OBJECT_PX = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownImages:
    """Images that show what their prompts ask."""

    images: RgbImages
    """N images."""
    prompts: Sequence[Prompt]
    """N prompts to judge them against."""


def known_prompts(count: int) -> list[Prompt]:
    """So many prompts of the openmoji suite, the same number from each task."""
    suite = load_suite("openmoji")
    chosen = select_prompts(suite, count)
    return [prompt for prompt in suite.prompts if prompt.prompt_id in chosen]


def known_scenes(count: int) -> KnownImages:
    """Openmoji scenes that show what so many prompts ask: 64 x 64 px."""
    prompts = known_prompts(count)
    pixels = render(load_sprite_bank(), scenes_for_prompts(prompts, SEED))
    images = RgbImages(pixels=pixels.permute(0, 2, 3, 1).contiguous().numpy())
    return KnownImages(images=images, prompts=prompts)


def known_pictures(class_names: Sequence[str] = EASY_CLASSES) -> KnownImages:
    """One large OpenMoji picture in its natural colours on light grey, for each class: 512 x 512 px.

    They are easy for a detector of photographs, though it has never seen drawings.
    """
    return KnownImages(
        images=RgbImages(pixels=np.stack([_large(name) for name in class_names])),
        prompts=[
            Prompt(
                prompt_id=number,
                task="single_object",
                text=f"a photo of a {name}",
                include=(Requirement(class_name=name, count=1),),
            )
            for number, name in enumerate(class_names)
        ],
    )


def _large(class_name: str) -> NDArray[np.uint8]:
    png = resvg_py.svg_to_bytes(svg_string=picture(class_name), width=OBJECT_PX, height=OBJECT_PX)
    drawing = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    canvas = Image.new("RGB", (CANVAS_PX, CANVAS_PX), (236, 236, 236))
    corner = (CANVAS_PX - OBJECT_PX) // 2
    canvas.paste(drawing, (corner, corner), drawing)
    return np.asarray(canvas)
