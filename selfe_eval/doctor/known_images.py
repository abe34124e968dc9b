"""Images whose content is known, because we draw them: scenes, large single objects, and coloured things.

Three kinds: openmoji scenes for the suite's own prompts (what the bundled judge was made for), one OpenMoji picture
on a large canvas (easy for a detector of photographs, though it has never seen drawings), and crops of known colour.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import resvg_py
import torch
from numpy.typing import NDArray
from PIL import Image

from selfe_eval.openmoji.classes import picture
from selfe_eval.openmoji.scenes import SCENE_PX, SceneBatch, render, truth
from selfe_eval.openmoji.sprites import SIZES_PX, load_sprite_bank
from selfe_eval.openmoji.suite_scenes import broken_scenes_for, scenes_for_prompts
from selfe_eval.pipeline.plan import select_prompts
from selfe_eval.records import COLORS, Prompt, Requirement
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.geneval.crops import GREY, masked_crop
from selfe_eval.suites.registry import load_suite
from selfe_eval.suites.vocabulary import CLASSES

SEED = 7
"""Of the scenes: neither the calibration's nor the one that the judge's thresholds were chosen on."""
NUM_PROMPTS = 120
"""Twenty of each of the six tasks."""

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

CSS_COLORS = {
    "red": (255, 0, 0),
    "orange": (255, 165, 0),
    "yellow": (255, 255, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "purple": (128, 0, 128),
    "pink": (255, 192, 203),
    "brown": (139, 69, 19),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
}
"""RGB of GenEval's ten colours as CSS defines these names (W3C CSS Color Module 4, section 6.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownImages:
    """Images on which the right verdict is known."""

    what: str
    """What they show, for a finding."""
    images: RgbImages
    """N images."""
    prompts: tuple[Prompt, ...]
    """N prompts to judge them against."""
    correct: bool
    """The right verdict on every one."""

    def some(self, count: int) -> KnownImages:
        """``count`` of them, evenly spaced."""
        rows = [position * len(self.prompts) // count for position in range(count)]
        return KnownImages(
            what=self.what,
            images=RgbImages(pixels=self.images.pixels[rows]),
            prompts=tuple(self.prompts[row] for row in rows),
            correct=self.correct,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ColoredCrops:
    """Crops of one known colour each, as the colour classifier takes them."""

    crops: list[NDArray[np.uint8]]
    """N crops, RGB, (height, width, 3)."""
    class_names: list[str]
    """N words for the sentences."""
    colors: list[str]
    """N right answers, of COLORS."""


def known_scenes() -> tuple[KnownImages, KnownImages]:
    """Openmoji scenes that show what their prompts ask, and scenes that break one requirement each.

    Returns:
        (120 intact ones, twenty a task, in the order of the suite; broken ones of the same prompts).
    """
    suite = load_suite("openmoji")
    chosen = set(select_prompts(suite, NUM_PROMPTS))
    prompts = tuple(prompt for prompt in suite.prompts if prompt.prompt_id in chosen)
    intact = scenes_for_prompts(prompts, SEED)
    broken = [
        (prompt, scene)
        for prompt in prompts
        for _, scene in broken_scenes_for(prompt, SEED + 1 + prompt.prompt_id)
    ]
    return (
        KnownImages(
            what="intact scenes",
            images=_rendered(intact),
            prompts=prompts,
            correct=True,
        ),
        KnownImages(
            what="broken scenes",
            images=RgbImages(pixels=np.concatenate([_rendered(scene).pixels for _, scene in broken])),
            prompts=tuple(prompt for prompt, _ in broken),
            correct=False,
        ),
    )


def known_pictures(class_names: Sequence[str] = EASY_CLASSES) -> KnownImages:
    """One large OpenMoji picture in its natural colours on light grey, for each class: 512 x 512 px."""
    return KnownImages(
        what="large drawings",
        images=RgbImages(pixels=np.stack([_large(name) for name in class_names])),
        prompts=tuple(
            Prompt(
                prompt_id=number,
                task="single_object",
                text=f"a photo of a {name}",
                include=(Requirement(class_name=name, count=1),),
            )
            for number, name in enumerate(class_names)
        ),
        correct=True,
    )


def colored_objects(every: int = 4) -> ColoredCrops:
    """Rendered objects of the openmoji world in each of the ten colours, grey outside their masks.

    Args:
        every: Take each so many-th of the 80 classes.
    """
    bank = load_sprite_bank()
    classes = torch.arange(0, len(CLASSES), every).repeat_interleave(len(COLORS))
    colors = torch.arange(len(COLORS)).repeat(len(classes) // len(COLORS))
    corner = (SCENE_PX - SIZES_PX[-1]) // 2
    scenes = SceneBatch(
        class_index=classes[:, None],
        color_index=colors[:, None],
        size_index=torch.full((len(classes), 1), len(SIZES_PX) - 1),
        corner_xy=torch.full((len(classes), 1, 2), corner),
        background=torch.full((len(classes), 3), 236, dtype=torch.uint8),
    )
    pixels, seen = _rendered(scenes).pixels, truth(bank, scenes)
    crops = [
        masked_crop(picture, mask.numpy(), (float(x0), float(y0), float(x1), float(y1)))
        for picture, mask, (x0, y0, x1, y1) in zip(pixels, seen.masks[:, 0], seen.boxes[:, 0], strict=True)
    ]
    return ColoredCrops(
        crops=crops,
        class_names=[CLASSES[index] for index in classes.tolist()],
        colors=[COLORS[index] for index in colors.tolist()],
    )


def flat_colors() -> ColoredCrops:
    """A square of each of the ten CSS colours, 160 px within a border of the crops' grey."""
    squares = {color: np.full((160, 160, 3), CSS_COLORS[color], np.uint8) for color in COLORS}
    border = ((32, 32), (32, 32), (0, 0))
    return ColoredCrops(
        crops=[np.pad(square, border, constant_values=GREY) for square in squares.values()],
        class_names=["object"] * len(squares),
        colors=list(squares),
    )


def _rendered(scenes: SceneBatch) -> RgbImages:
    pixels = render(load_sprite_bank(), scenes)
    return RgbImages(pixels=pixels.permute(0, 2, 3, 1).contiguous().numpy())


def _large(class_name: str) -> NDArray[np.uint8]:
    png = resvg_py.svg_to_bytes(svg_string=picture(class_name), width=OBJECT_PX, height=OBJECT_PX)
    drawing = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    canvas = Image.new("RGB", (CANVAS_PX, CANVAS_PX), (236, 236, 236))
    corner = (CANVAS_PX - OBJECT_PX) // 2
    canvas.paste(drawing, (corner, corner), drawing)
    return np.asarray(canvas)
