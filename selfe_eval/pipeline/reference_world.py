"""The openmoji world's own reference: scenes that show what the prompts ask, the same for everybody.

Four scenes for each prompt, drawn from seeds that no calibration and no training of a bundled model uses. They are
known by what decides their pixels, so that they need not be drawn again to be recognised. No torch before they are
drawn.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selfe_eval import provenance
from selfe_eval.openmoji.classes import picture
from selfe_eval.records import Prompt, Suite
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.suites.vocabulary import CLASSES

SCENES_PER_PROMPT = 4
"""As many as a run has images of each prompt."""
SCENE_PX = 64
"""Side of a scene."""
VERSION = 1
"""Of how scenes are placed and drawn. Whoever changes their pixels counts it up."""

_SEED = 7_150_003
"""Of the first draw; the next ones count up. Calibration begins at 0, and trainings draw theirs from 62 bits."""
_CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceWorld:
    """Rendered scenes of the openmoji world."""

    prompts: tuple[Prompt, ...]
    """What the scenes show."""

    @property
    def title(self) -> str:
        """What it is, for sentences."""
        return f"the openmoji world's own scenes ({SCENES_PER_PROMPT} for each prompt)"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of a number must know: nothing that its title does not say."""
        return ()

    @property
    def sha256(self) -> str:
        """Of everything that decides the pixels but the rasteriser; the wording of the prompts does not."""
        asked = [
            {name: value for name, value in one.metadata().items() if name != "prompt"}
            for one in self.prompts
        ]
        return provenance.json_sha256(
            {
                "version": VERSION,
                "asked": asked,
                "seed": _SEED,
                "scenes_per_prompt": SCENES_PER_PROMPT,
                "pictures": provenance.bytes_sha256(json.dumps([picture(name) for name in CLASSES]).encode()),
            }
        )

    @property
    def releases(self) -> dict[str, str]:
        """The rasteriser, whose releases may differ in the shade of an edge: runs name it, and what is kept goes by it."""
        return {"resvg": importlib.metadata.version("resvg-py")}

    @property
    def num_images(self) -> int:
        """N."""
        return SCENES_PER_PROMPT * len(self.prompts)

    def record(self) -> dict[str, object]:
        """What decides a number, for its protocol."""
        return {"sha256": self.sha256, "n": self.num_images, "size": f"{SCENE_PX}x{SCENE_PX}"}


def world_of(suite: Suite) -> ReferenceWorld:
    """The reference of a suite of the openmoji world: of all its prompts, whichever of them a run covers."""
    return ReferenceWorld(prompts=tuple(suite.prompts))


def drawn_scenes(prompts: Sequence[Prompt], draw: int) -> Iterator[RgbImages]:
    """One scene for each prompt, in order, some at a time.

    Args:
        prompts: P prompts.
        draw: Which of the scenes of each prompt, from 0.
    """
    from selfe_eval.openmoji.scenes import render
    from selfe_eval.openmoji.sprites import load_sprite_bank
    from selfe_eval.openmoji.suite_scenes import scenes_for_prompts
    from selfe_eval.pipeline.calibrate import part_of

    scenes = scenes_for_prompts(prompts, _SEED + draw)
    for start in range(0, len(prompts), _CHUNK):
        pixels = render(load_sprite_bank(), part_of(scenes, slice(start, start + _CHUNK)))
        yield RgbImages(pixels=pixels.permute(0, 2, 3, 1).contiguous().numpy())
