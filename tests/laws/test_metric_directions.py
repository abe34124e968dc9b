"""Every metric moves the right way for a worse generator, on the openmoji world, through the whole pipeline.

The sound generator draws scenes that show what the prompts ask. Each other one spoils them in one way; the step counts
of one run of found images stand for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from selfe_eval.metrics import METRICS, metrics_of
from selfe_eval.openmoji.scenes import SceneBatch, render
from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.openmoji.suite_scenes import scenes_for_prompts
from selfe_eval.pipeline.found_images import find_images
from selfe_eval.pipeline.instruments import GENEVAL, Bench, Instruments, named_instruments
from selfe_eval.pipeline.jobs import FoundImagesJob
from selfe_eval.pipeline.measure import measure
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.plan import select_prompts
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.score import Scorer
from selfe_eval.resources import checkpoints_dir
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.suites.registry import load_suite

pytestmark = pytest.mark.skipif(
    not (checkpoints_dir() / "openmoji-clip" / "config.json").is_file(),
    reason="the bundled weights are not in this checkout",
)

SUITE = load_suite("openmoji")
METRIC_NAMES = tuple(name for name in metrics_of(SUITE.name) if name != GENEVAL)
PROMPT_IDS = select_prompts(SUITE, 80)
NUM_DRAWS = 4
"""Images of each prompt."""
NUM_KNOWN_CLASSES = 4
"""Of 80, for the generator that has dropped modes."""

Pixels = NDArray[np.uint8]
"""(P, NUM_DRAWS, 64, 64, 3)."""

FIDELITY = ("fid", "kid", "cmmd", "precision", "density")
DIVERSITY = ("recall", "coverage")

MUST_GET_WORSE = {
    "noise": ("clip-score", *FIDELITY, *DIVERSITY),
    "more noise": ("clip-score", *FIDELITY, *DIVERSITY),
    "blur": ("clip-score", *FIDELITY, *DIVERSITY),
    "alike": (*DIVERSITY, "spread"),
    "one image": ("clip-score", "fid", "kid", "cmmd", *DIVERSITY, "spread"),
    "dropped modes": ("clip-score", "fid", "kid", "cmmd", *DIVERSITY),
    "wrong captions": ("clip-score",),
}
"""What a metric must see: leave the 95 % interval that the sound generator has, on the worse side.

Two copies of each image ("alike") have the sound images' mean and covariance, and so about their distances. Precision
and density ask of each image alone whether it is like a real one, so they do not see what is missing. Noise makes
images of one prompt differ more: spread is high for it, which is why no direction of spread is called better.
"""


def scenes() -> list[SceneBatch]:
    """What the prompts ask, drawn from seeds that nothing else draws from."""
    prompts = {prompt.prompt_id: prompt for prompt in SUITE.prompts}
    asked = [prompts[prompt_id] for prompt_id in PROMPT_IDS]
    return [scenes_for_prompts(asked, 90_000 + draw) for draw in range(NUM_DRAWS)]


def rendered(drawn: list[SceneBatch]) -> Pixels:
    images = [render(load_sprite_bank(), one).permute(0, 2, 3, 1).numpy() for one in drawn]
    return np.stack(images, axis=1)


def of_few_classes(drawn: list[SceneBatch]) -> list[SceneBatch]:
    """Each object becomes one of the classes that are left."""
    return [
        replace(
            one,
            class_index=torch.where(one.class_index < 0, -1, one.class_index % NUM_KNOWN_CLASSES),
        )
        for one in drawn
    ]


def noisy(images: Pixels, scale: float) -> Pixels:
    noise = np.random.default_rng(0).normal(0.0, scale, images.shape)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def blurred(images: Pixels, radius_px: float) -> Pixels:
    flat = images.reshape(-1, *images.shape[2:])
    found = [Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius_px)) for image in flat]
    return np.stack([np.asarray(image) for image in found]).reshape(images.shape)


def generators() -> dict[str, Pixels]:
    """Name -> what it draws for the prompts."""
    drawn = scenes()
    sound = rendered(drawn)
    return {
        "sound": sound,
        "noise": noisy(sound, 80.0),
        "more noise": noisy(sound, 160.0),
        "blur": blurred(sound, 5.0),
        "alike": np.repeat(sound[:, :1], NUM_DRAWS, axis=1),
        "one image": np.broadcast_to(sound[:1, :1], sound.shape),
        "dropped modes": rendered(of_few_classes(drawn)),
        "wrong captions": np.roll(sound, len(PROMPT_IDS) // 2, axis=0),
    }


def write_images(folder: Path) -> tuple[str, ...]:
    """A folder of a step count for each generator, in the official layout; returns their names."""
    made = generators()
    for steps, drawn in enumerate(made.values(), start=1):
        for prompt_id, images in zip(PROMPT_IDS, drawn, strict=True):
            samples = folder / f"steps-{steps:03d}" / f"{prompt_id:05d}" / "samples"
            samples.mkdir(parents=True)
            for number, image in enumerate(images):
                Image.fromarray(image).save(samples / f"{number:04d}.png")
    return tuple(made)


def instruments() -> Instruments:
    """Those of the openmoji world; its reference is drawn and looked at once, into the test's own cache."""

    def no_judge() -> Scorer:
        raise AssertionError("GenEval is not measured here")

    options = MeasureOptions(metrics=METRIC_NAMES)
    bench = Bench(
        suite=SUITE,
        options=options,
        num_prompts=len(SUITE.prompts),
        images_per_prompt=NUM_DRAWS,
        device="cpu",
        load_scorer=no_judge,
    )
    return named_instruments(bench, Silence())


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One metric of one generator."""

    value: float
    interval: tuple[float, float]


Numbers = dict[tuple[str, str], Number]
"""By (metric, generator)."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Numbers]:
    folder = tmp_path_factory.mktemp("directions")
    names = write_images(folder / "images")
    found = find_images(folder / "images", SUITE)
    options = MeasureOptions(metrics=METRIC_NAMES)
    job = FoundImagesJob(found=found, suite=SUITE, model="spoilt", measures=options, device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SELFE_EVAL_CACHE", str(folder / "cache"))
        with planned_run(folder / "run", job.record()) as run:
            made = measure(run, instruments(), Silence())
        assert made.measures is not None
        numbers = {}
        for one in made.measures.measures:
            for name, row in zip(names, one.rows, strict=True):
                assert row.overall.value is not None
                assert row.overall.ci is not None
                numbers[one.kind, name] = Number(value=row.overall.value, interval=row.overall.ci)
        yield numbers


def badness(metric: str, value: float) -> float:
    """Larger is worse."""
    return -value if METRICS[metric].higher_is_better else value


@pytest.mark.parametrize(
    ("generator", "metric"),
    [(generator, metric) for generator, metrics in MUST_GET_WORSE.items() for metric in metrics],
)
def test_a_worse_generator_gets_a_worse_number(measured: Numbers, generator: str, metric: str) -> None:
    """What a metric must see takes its number out of the sound generator's interval, on the worse side."""
    worst_of_sound = max(badness(metric, end) for end in measured[metric, "sound"].interval)
    assert badness(metric, measured[metric, generator].value) > worst_of_sound


@pytest.mark.parametrize("metric", [name for name in METRIC_NAMES if name != "clip-score"])
def test_wrong_captions_are_seen_by_readers_of_captions_alone(measured: Numbers, metric: str) -> None:
    """The same images, each beside another's prompt: distances and spread are about images and do not move."""
    wrong, sound = (measured[metric, name].value for name in ("wrong captions", "sound"))
    assert wrong == pytest.approx(sound, rel=1e-4)


@pytest.mark.parametrize("metric", MUST_GET_WORSE["more noise"])
def test_more_noise_is_worse(measured: Numbers, metric: str) -> None:
    """Metrics rank generators by how much noise they leave: none, some, twice as much."""
    values = [badness(metric, measured[metric, name].value) for name in ("sound", "noise", "more noise")]
    assert values == sorted(set(values))


def test_precision_alone_does_not_see_collapse(measured: Numbers) -> None:
    """The one image that is always drawn is a good one: why coverage and recall stand beside precision."""
    assert measured["precision", "one image"].value >= measured["precision", "sound"].value
    assert measured["coverage", "one image"].value < 0.01
    assert measured["recall", "one image"].value < 0.01


def test_every_metric_of_the_world_is_held() -> None:
    """Each metric stands in the table of what must get worse."""
    assert {metric for metrics in MUST_GET_WORSE.values() for metric in metrics} == set(METRIC_NAMES)
