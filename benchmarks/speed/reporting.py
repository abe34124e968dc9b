"""How long the numbers and the page of a full run take: 553 prompts with four images each at five step counts.

    python benchmarks/speed/reporting.py
    python benchmarks/speed/reporting.py --size 512 --steps 1,2 --keep some-folder

The run folder is made up: the bundled suite's prompts, pictures of rectangles on a soft ground, and objects that a
detector could have found, judged by GenEval's rules. It is planned, drawn, scored and summarised by the program's own
stages, so its files are those of a real run; its scores mean nothing, and none is printed. Timed are the summary with
its verdict from the journals, the page with all pictures, and, where a chromium is on the PATH, from opening that page
until its first pictures are there. README.md holds what it printed, and where.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.pipeline.generate import generate
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.report import make_page
from selfe_eval.pipeline.score import score
from selfe_eval.pipeline.summarise import summarise
from selfe_eval.records import Prompt, ScoredObject, Suite
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.run import RunRecord, open_run
from selfe_eval.runs.spec import RunSpec
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.geneval.rules import Limits
from selfe_eval.score.geneval.sensitivity import own_threshold, verdicts_around
from selfe_eval.suites.registry import load_suite

LIMITS = Limits()
IMAGES_PER_PROMPT = 4


@dataclass(kw_only=True)
class Painter:
    """Draws rectangles on a soft ground, with a little noise, so that files are about as large as real ones."""

    size: int
    """Side in pixels."""
    name: str = "made-up"

    def nfe(self, num_steps: int) -> int:
        """With guidance."""
        return 2 * num_steps

    def describe(self) -> dict[str, Any]:
        """It is none of the real ones."""
        return {"adapter": "made-up"}

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], num_steps: int) -> NDArray[np.uint8]:
        """(B, size, size, 3) uint8 in [0, 255]."""
        del prompts
        return np.stack([self._picture(np.random.default_rng((seed, num_steps))) for seed in seeds])

    def _picture(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        ramp = np.linspace(0, 60, self.size)
        pixels = 150 + ramp[:, None, None] * rng.random(3) + rng.normal(0, 2, (self.size, self.size, 3))
        for _ in range(6):
            top, left = rng.integers(0, self.size * 3 // 4, 2)
            height, width = rng.integers(self.size // 16, self.size // 3, 2)
            pixels[top : top + height, left : left + width] = rng.integers(0, 256, 3)
        return np.clip(pixels, 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict with its objects."""

    correct: bool
    reason: str
    objects: dict[str, list[ScoredObject]]
    weaker: dict[str, list[ScoredObject]]
    near_ties: int = 0


@dataclass(kw_only=True)
class Guesser:
    """Finds what was asked in three images of four, one object that counts too little, and one that nobody asked for."""

    batch_size: int = 64
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def describe(self) -> dict[str, Any]:
        """With the thresholds that verdicts are held to."""
        thresholds = {
            "confidence": LIMITS.confidence,
            "counting": LIMITS.counting,
            "max_objects": LIMITS.max_objects,
        }
        return {"detector": "made-up", "thresholds": thresholds}

    def score(self, images: RgbImages, prompts: Sequence[Prompt]) -> list[Judged]:
        """A verdict for each image."""
        height = images.pixels.shape[1]
        return [self._judged(prompt, height) for prompt in prompts]

    def _judged(self, prompt: Prompt, size: int) -> Judged:
        threshold = own_threshold(prompt.task, LIMITS)
        objects = {"toothbrush": [self._object(size, threshold, 1.0, "red")]}
        weaker: dict[str, list[ScoredObject]] = {}
        for wanted in prompt.include:
            number = wanted.count if self.rng.random() < 0.75 else wanted.count - 1
            color = wanted.color or "red"
            objects[wanted.class_name] = [self._object(size, threshold, 1.0, color) for _ in range(number)]
            weaker[wanted.class_name] = [self._object(size, threshold - 0.1, threshold, color)]
        objects = {
            name: sorted(found, key=lambda one: -one.score) for name, found in objects.items() if found
        }
        verdict = verdicts_around(prompt, objects, weaker, LIMITS)[threshold]
        return Judged(correct=verdict.correct, reason=verdict.reason, objects=objects, weaker=weaker)

    def _object(self, size: int, low: float, high: float, color: str) -> ScoredObject:
        x0, y0, width, height = self.rng.uniform(0, size / 2, 4)
        certainty = float(np.float32(self.rng.uniform(low + 1e-3, high - 1e-3)))
        return ScoredObject(box=(x0, y0, x0 + width + 1, y0 + height + 1), score=certainty, color=color)


def make_run(folder: Path, suite: Suite, *, steps: tuple[int, ...], size: int) -> None:
    """Draw, score and summarise a run folder."""
    spec = RunSpec(
        suite=suite.name,
        suite_sha256=suite.sha256,
        source="checkpoint",
        model="made-up",
        checkpoint_sha256={},
        steps=steps,
        images_per_prompt=IMAGES_PER_PROMPT,
        detector="made-up",
        batch_size=64,
    )
    record = RunRecord(spec=spec, prompt_ids=tuple(one.prompt_id for one in suite.prompts), partial=False)
    with planned_run(folder, record) as run:
        drawn = generate(run, suite, lambda: Painter(size=size), Silence())
        summarise(score(drawn, suite, Guesser(), Silence()), suite)


def taken(work: Callable[[], object]) -> str:
    """Wall time of one call, and what it took of the cores: a busy machine shows in the first alone."""
    begin, begin_cpu = time.perf_counter(), time.process_time()
    work()
    return f"{time.perf_counter() - begin:.1f} s ({time.process_time() - begin_cpu:.1f} s of CPU)"


def opening(page: Path) -> str:
    """From opening a page until its gallery is listed and pictures in view are decoded."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        return "no browser here"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 360, "height": 800})
        begin = time.perf_counter()
        shown.goto(page.as_uri())
        shown.evaluate("document.getElementById('filters').scrollIntoView()")
        shown.wait_for_function("document.querySelector('article img')?.naturalWidth > 0")
        passed = time.perf_counter() - begin
        browser.close()
    return f"{passed:.2f} s"


def main() -> None:
    """Make a run, and print what its summary and its page take."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", default="1,2,4,8,50", help="step counts")
    parser.add_argument("--size", type=int, default=64, help="side of the images in pixels")
    parser.add_argument(
        "--keep", type=Path, help="a new folder for the run and its page; by default a temporary one"
    )
    given = parser.parse_args()
    steps = tuple(map(int, given.steps.split(",")))
    suite = load_suite("openmoji")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary) / "run"
        print(
            f"{platform.machine()}, {len(suite.prompts) * IMAGES_PER_PROMPT * len(steps)} images of {given.size} px"
        )
        print(f"making the run: {taken(lambda: make_run(folder, suite, steps=steps, size=given.size))}")
        run, path = open_run(folder), folder / "report.html"
        print(f"summary and verdict: {taken(lambda: summarise(run, suite))}")
        print(f"report: {taken(lambda: write_page(folder, path))}, {path.stat().st_size / 1e6:.1f} MB")
        print(f"opening it: {opening(path)}")


def write_page(folder: Path, path: Path) -> None:
    """The page of the run, as the verb makes it."""
    atomic_write(path, make_page([folder], max_mb=40, with_pictures=True, progress=Silence()).content)


if __name__ == "__main__":
    main()
