"""A generator and a scorer with known answers, and a small suite: plugged in, never patched in.

The generator paints a flat image whose colour is a hash of (prompt, seed, steps) and, like a real one, of the
whole batch: an image drawn in another batch has other bits. The scorer calls an image correct if its first
red value is below a threshold, so the truth can be computed by hand from the pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.generate.protocol import Generator
from selfe_eval.pipeline.generate import generate
from selfe_eval.pipeline.plan import select_prompts
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.score import Scorer, score
from selfe_eval.pipeline.summarise import summarise
from selfe_eval.records import TASKS, Prompt, Requirement, ScoredObject, Suite
from selfe_eval.report.summary import Summary
from selfe_eval.runs.run import Run, RunRecord
from selfe_eval.runs.spec import RunSpec
from selfe_eval.score.detectors.protocol import RgbImages

SIZE_PX = 8


@dataclass(kw_only=True)
class FakeGenerator:
    """Draws known pixels; calls ``before_batch`` with the number of batches drawn so far."""

    name: str = "fake"
    before_batch: Callable[[int], None] = lambda _batches: None
    batches_drawn: int = 0

    def nfe(self, num_steps: int) -> int:
        return 2 * num_steps

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], num_steps: int) -> NDArray[np.uint8]:
        self.before_batch(self.batches_drawn)
        self.batches_drawn += 1
        batch = hashlib.sha256(repr((list(prompts), list(seeds), num_steps)).encode()).digest()
        images = [
            np.frombuffer(
                hashlib.shake_256(batch + f"{prompt}/{seed}/{num_steps}".encode()).digest(3 * SIZE_PX**2),
                dtype=np.uint8,
            )
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        return np.stack(images).reshape(-1, SIZE_PX, SIZE_PX, 3)

    def describe(self) -> dict[str, Any]:
        return {"adapter": "fake"}


@dataclass(frozen=True, kw_only=True)
class FakeJudgement:
    correct: bool | None
    reason: str
    objects: dict[str, list[ScoredObject]] = field(default_factory=dict)
    weaker: dict[str, list[ScoredObject]] = field(default_factory=dict)
    near_ties: int = 0


@dataclass(kw_only=True)
class FakeScorer:
    """Correct means: the first red value is below ``threshold``. Counts what it was asked."""

    threshold: int = 128
    batch_size: int = 64
    images_seen: int = 0

    def score(self, images: RgbImages, prompts: Sequence[Prompt]) -> list[FakeJudgement]:
        self.images_seen += len(images)
        return [
            self._judge(int(pixels[0, 0, 0]), prompt)
            for pixels, prompt in zip(images.pixels, prompts, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        return {"detector": "fake", "threshold": self.threshold}

    def _judge(self, red: int, prompt: Prompt) -> FakeJudgement:
        is_correct = red < self.threshold
        thing = ScoredObject(box=(0.0, 0.0, 4.0, 4.0), score=0.5, color="red")
        return FakeJudgement(
            correct=is_correct,
            reason="" if is_correct else "expected less red",
            objects={prompt.include[0].class_name: [thing]},
        )


@dataclass(kw_only=True)
class MeanColor:
    """The mean of each channel; remembers how many images it was shown at a time."""

    name: str = "mean-color"
    width: int = 3
    version: int = 1
    shown: list[int] = field(default_factory=list)

    def extract(self, images: RgbImages) -> NDArray[np.float32]:
        self.shown.append(len(images))
        means: NDArray[np.float32] = images.pixels.mean(axis=(1, 2)).astype(np.float32)
        return means

    def describe(self) -> dict[str, Any]:
        return {"extractor": self.name, "version": self.version, "device": "cpu"}


def interrupted(job: object) -> Path:
    """A training that ends with Ctrl-C before it began."""
    del job
    raise KeyboardInterrupt


def small_suite(prompts_per_task: int = 2) -> Suite:
    """Six tasks with as many prompts each; the prompt ids run through."""
    prompts = [
        Prompt(
            prompt_id=number,
            task=TASKS[number // prompts_per_task],
            text=f"a photo of prompt {number}",
            include=(Requirement(class_name="car", count=1),),
        )
        for number in range(prompts_per_task * len(TASKS))
    ]
    return Suite(name="small", prompts=prompts, sha256="5" * 64)


def small_record(suite: Suite, **changes: Any) -> RunRecord:
    """A run of the small suite: 2 step counts, 2 images a prompt, batches of 5 that cross prompts."""
    fields: dict[str, Any] = {
        "suite": suite.name,
        "suite_sha256": suite.sha256,
        "source": "checkpoint",
        "model": "fake",
        "checkpoint_sha256": {"model.safetensors": "1" * 64},
        "steps": (1, 4),
        "images_per_prompt": 2,
        "detector": "fake",
        "batch_size": 5,
    }
    spec = RunSpec(**{**fields, **changes})
    prompt_ids = select_prompts(suite, spec.limit)
    return RunRecord(
        spec=spec,
        prompt_ids=prompt_ids,
        partial=len(prompt_ids) < len(suite.prompts),
        checkpoint="fake",
    )


def run_stages(
    run: Run, suite: Suite, load_generator: Callable[[], Generator], scorer: Scorer, progress: Progress
) -> Summary:
    """Draw, score and summarise what is missing, with parts that are plugged in."""
    run = generate(run, suite, load_generator, progress)
    return summarise(score(run, suite, scorer, progress), suite)[1]


def folder_state(folder: Path) -> dict[str, Any]:
    """What any history must end in: image and metadata bytes, and the journals as sets without times."""
    from selfe_eval.runs.journal import read_journal

    state: dict[str, Any] = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in (folder / "images").rglob("*")
        if path.is_file()
    }
    for name in ("images.jsonl", "scores/geneval.jsonl"):
        lines = [{**line, "seconds": None} for line in read_journal(folder / name)]
        state[name] = sorted(map(repr, lines))
    return state
