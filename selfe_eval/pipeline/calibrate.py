"""Does the bundled judge say "correct" where it must and "wrong" where it must? Measured on rendered truth.

For every prompt of the openmoji suite some scenes are rendered that show exactly what it asks, and some that
break exactly one requirement; all go through the very scorer that judges generated images. Intact scenes are
scored again blurred, noisy and compressed, reported apart: generated images are seldom as crisp as rendered ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from selfe_eval.openmoji import corrupt
from selfe_eval.openmoji.scenes import SceneBatch, render
from selfe_eval.openmoji.sprites import SpriteBank, load_sprite_bank
from selfe_eval.openmoji.suite_scenes import broken_scenes_for, scenes_for_prompts
from selfe_eval.records import TASKS, Prompt
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.geneval_scorer import GenEvalScorer
from selfe_eval.suites.registry import load_suite

OVERALL_TARGET = 0.97
"""Least share of intact scenes scored correct."""
TASK_TARGET = 0.95
"""The same within each task."""
BROKEN_TARGET = 0.97
"""Least share of broken scenes scored wrong, within each kind."""
CHUNK = 256
"""Scenes rendered at a time."""
BLUR_PX = 1.0
"""Standard deviation of the blur of degraded scenes."""
NOISE = 12 / 255
"""Standard deviation of the noise of degraded scenes."""
COMPRESSION = 1.0
"""Strength of the compression of degraded scenes; 1 is about JPEG at quality 50."""

Spoil = Callable[[Tensor], Tensor]
"""(B, 3, 64, 64) in [0, 1] -> the same."""
Progress = Callable[[str, int], None]
"""Called with (what, scenes scored) after each chunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of how many."""

    num_right: int
    """Scenes on which the judge was right."""
    num_scenes: int
    """Scenes judged."""
    target: float | None = None
    """Least share that passes, if there is one."""

    @property
    def value(self) -> float:
        """The share, in [0, 1]."""
        return self.num_right / self.num_scenes

    @property
    def passed(self) -> bool:
        """True if there is no target or it is met."""
        return self.target is None or self.value >= self.target

    def document(self) -> dict[str, Any]:
        """JSON types."""
        return {"value": self.value, "n": self.num_scenes, "target": self.target}


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The judge against rendered truth."""

    overall: Share
    """Intact scenes scored correct."""
    tasks: dict[str, Share]
    """The same by task."""
    broken: dict[str, Share]
    """Scenes that break one requirement, scored wrong, by kind."""
    degraded: dict[str, Share]
    """Intact scenes scored correct after blur or noise; no target."""
    seconds_per_image: float
    """Time of the whole scoring."""
    judge: dict[str, Any]
    """Weights, thresholds and versions."""

    @property
    def passed(self) -> bool:
        """True if every target is met."""
        return all(share.passed for share in (self.overall, *self.tasks.values(), *self.broken.values()))

    def document(self) -> dict[str, Any]:
        """The ``--json`` document."""
        return {
            "schema_version": 1,
            "suite": "openmoji",
            "passed": self.passed,
            "intact": {
                "overall": self.overall.document(),
                "tasks": {task: share.document() for task, share in self.tasks.items()},
            },
            "broken": {kind: share.document() for kind, share in self.broken.items()},
            "degraded": {name: share.document() for name, share in self.degraded.items()},
            "seconds_per_image": self.seconds_per_image,
            "judge": self.judge,
        }


def calibrate(
    scorer: GenEvalScorer,
    *,
    prompts: Sequence[Prompt] | None = None,
    scenes_per_prompt: int = 4,
    seed: int = 0,
    progress: Progress | None = None,
) -> Calibration:
    """Score rendered truth.

    Args:
        scorer: The judge.
        prompts: Of all six tasks; by default the 553 of the openmoji suite.
        scenes_per_prompt: Intact scenes for each prompt; broken ones are one set for each prompt.
        seed: Of the layouts; the judge's thresholds were chosen on another seed.
        progress: Called after each chunk of scenes.
    """
    bank = load_sprite_bank()
    prompts = load_suite("openmoji").prompts if prompts is None else prompts
    judge = _Judge(scorer, bank, progress)
    intact = [scenes_for_prompts(prompts, _scene_seed(seed, index)) for index in range(scenes_per_prompt)]
    right = [judge.correct("intact", scenes, prompts) for scenes in intact]
    kinds, broken_prompts, broken = _broken(prompts, seed)
    wrong = [not correct for correct in judge.correct("broken", broken, broken_prompts)]
    degraded = {
        name: _share(judge.correct(name, intact[0], prompts, spoil)) for name, spoil in DEGRADATIONS.items()
    }
    return Calibration(
        overall=_share([correct for verdicts in right for correct in verdicts], OVERALL_TARGET),
        tasks={
            task: _share(
                [
                    correct
                    for verdicts in right
                    for prompt, correct in zip(prompts, verdicts, strict=True)
                    if prompt.task == task
                ],
                TASK_TARGET,
            )
            for task in TASKS
        },
        broken={
            kind: _share([w for w, k in zip(wrong, kinds, strict=True) if k == kind], BROKEN_TARGET)
            for kind in sorted(set(kinds))
        },
        degraded=degraded,
        seconds_per_image=judge.seconds / judge.num_scored,
        judge=scorer.describe(),
    )


class _Judge:
    """Renders and scores scenes, counting time."""

    def __init__(self, scorer: GenEvalScorer, bank: SpriteBank, progress: Progress | None) -> None:
        self._scorer = scorer
        self._bank = bank
        self._progress = progress
        self.seconds = 0.0
        self.num_scored = 0

    def correct(
        self, what: str, scenes: SceneBatch, prompts: Sequence[Prompt], spoil: Spoil | None = None
    ) -> list[bool]:
        """Verdicts on scenes, each against its own prompt."""
        verdicts: list[bool] = []
        for start in range(0, len(prompts), CHUNK):
            part = slice(start, start + CHUNK)
            pixels = render(self._bank, part_of(scenes, part))
            if spoil is not None:
                pixels = (spoil(pixels.float() / 255).clamp(0, 1) * 255).round().to(torch.uint8)
            images = RgbImages(pixels=pixels.permute(0, 2, 3, 1).contiguous().numpy())
            started = time.perf_counter()
            verdicts += [score.correct is True for score in self._scorer.score(images, prompts[part])]
            self.seconds += time.perf_counter() - started
            self.num_scored += len(images)
            if self._progress is not None:
                self._progress(what, self.num_scored)
        return verdicts


def part_of(scenes: SceneBatch, part: slice) -> SceneBatch:
    """Some scenes of a batch."""
    return SceneBatch(
        class_index=scenes.class_index[part],
        color_index=scenes.color_index[part],
        size_index=scenes.size_index[part],
        corner_xy=scenes.corner_xy[part],
        background=scenes.background[part],
    )


def _joined(batches: Sequence[SceneBatch]) -> SceneBatch:
    return SceneBatch(
        class_index=torch.cat([batch.class_index for batch in batches]),
        color_index=torch.cat([batch.color_index for batch in batches]),
        size_index=torch.cat([batch.size_index for batch in batches]),
        corner_xy=torch.cat([batch.corner_xy for batch in batches]),
        background=torch.cat([batch.background for batch in batches]),
    )


def _broken(prompts: Sequence[Prompt], seed: int) -> tuple[list[str], list[Prompt], SceneBatch]:
    kinds: list[str] = []
    owners: list[Prompt] = []
    scenes: list[SceneBatch] = []
    for prompt in prompts:
        for kind, scene in broken_scenes_for(prompt, _scene_seed(seed, prompt.prompt_id)):
            kinds.append(kind)
            owners.append(prompt)
            scenes.append(scene)
    return kinds, owners, _joined(scenes)


def _blurred(images: Tensor) -> Tensor:
    return corrupt.blur(images, torch.full((len(images), 1, 1, 1), BLUR_PX))


def _noisy(images: Tensor) -> Tensor:
    return images + NOISE * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))


def _compressed(images: Tensor) -> Tensor:
    return corrupt.compress(images, torch.full((len(images), 1, 1, 1), COMPRESSION))


DEGRADATIONS: dict[str, Spoil] = {"blurred": _blurred, "noisy": _noisy, "compressed": _compressed}
"""Name -> what is done to intact scenes."""


def _scene_seed(seed: int, index: int) -> int:
    return seed * 1_000_003 + index


def _share(right: Sequence[bool], target: float | None = None) -> Share:
    return Share(num_right=sum(right), num_scenes=len(right), target=target)
