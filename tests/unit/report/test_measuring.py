"""Numbers of images and of sets of images, where the answer can be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from selfe_eval.metrics import Measured, measured_on
from selfe_eval.records import TASKS, ImageKey, Suite
from selfe_eval.report.measures import Measure, MeasureSet
from selfe_eval.report.measuring import (
    Design,
    ImageNumbers,
    design_of,
    measure_of_images,
    measure_of_sets,
    measure_set,
)
from selfe_eval.runs.distances import Distance, Distances
from selfe_eval.score.clip_score import PROTOCOLS, mean_score, protocol_for
from tests.unit.report.conftest import make_record

MakeMeasures = Callable[..., MeasureSet]


def design_for(suite: Suite, *, steps: tuple[int, ...] = (4,), images: int = 2, prompts: int = 240) -> Design:
    record = make_record(suite, model="m", steps=steps, images=images, prompt_ids=tuple(range(prompts)))
    return design_of(record, suite, {})


def clip_measure(
    design: Design, numbers: Mapping[ImageKey, float], protocol: str = "default"
) -> tuple[Measured, Measure]:
    measured, chosen = protocol_for(protocol, "openmoji")
    found = ImageNumbers(numbers=numbers, protocol={"metric": "clip-score", **chosen.as_json()}, notes=())
    return measured, measure_of_images(measured, found, design)


def every(design: Design, number: Callable[[ImageKey], float]) -> dict[ImageKey, float]:
    keys = [
        ImageKey(steps=steps, prompt_id=prompt.prompt_id, image_index=index)
        for steps in design.steps
        for prompt in design.prompts
        for index in range(design.images_per_prompt)
    ]
    return {key: number(key) for key in keys}


def test_a_mean_is_over_images_and_its_error_over_prompts(suite: Suite) -> None:
    """Two prompts with 1 and 3 images: the mean weighs images; the error is that of a ratio over two clusters."""
    design = design_for(suite, images=3, prompts=2)
    values = {(0, 0): 10.0, (1, 0): 20.0, (1, 1): 30.0, (1, 2): 40.0}
    numbers = {ImageKey(steps=4, prompt_id=p, image_index=i): value for (p, i), value in values.items()}
    overall = clip_measure(design, numbers)[1].rows[0].overall
    errors = [10.0 - 25.0, 90.0 - 3 * 25.0]

    assert overall.value == 25.0
    assert overall.se == pytest.approx(math.sqrt(2 * sum(error**2 for error in errors)) / 4)
    assert (overall.n, overall.n_unscored, overall.n_clusters) == (4, 2, 2)


def test_tasks_are_those_of_clip_score_alone(suite: Suite) -> None:
    """CLIP-score has the six tasks beside the mean over all images; spread has none and no verdict."""
    design = design_for(suite)
    clip = clip_measure(design, every(design, lambda key: float(key.prompt_id // 40)))[1]
    numbers = ImageNumbers(numbers=every(design, lambda _: 0.2), protocol={"metric": "spread"}, notes=("n",))
    spread = measure_of_images(measured_on("spread", "openmoji"), numbers, design)

    assert {name: task.value for name, task in clip.rows[0].tasks.items()} == {
        task: float(place) for place, task in enumerate(TASKS)
    }
    assert clip.rows[0].overall.value == 2.5
    assert (spread.rows[0].tasks, spread.verdict, spread.notes) == ({}, None, ("n",))
    assert spread.rows[0].overall.value == pytest.approx(0.2)


def test_a_mean_over_images_is_not_one_over_tasks(suite: Suite) -> None:
    """Where a task has fewer prompts than another, every image still weighs the same."""
    design = design_for(suite, prompts=50)
    overall = clip_measure(design, every(design, lambda key: 10.0 if key.prompt_id < 40 else 20.0))[1]

    assert overall.rows[0].overall.value == pytest.approx(12.0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("level", [-0.1, 0.3])
def test_every_protocol_gives_its_own_number(suite: Suite, protocol: str, level: float) -> None:
    """The mean is what the protocol makes of the images' scores, clamped where it says so, and the interval fits it."""
    design, chosen = design_for(suite), PROTOCOLS[protocol]
    rng = np.random.default_rng(0)
    raw = every(design, lambda _: chosen.scale * (level + 0.05 * rng.standard_normal()))
    numbers = {key: max(value, 0.0) if chosen.clamp == "image" else value for key, value in raw.items()}
    overall = clip_measure(design, numbers, protocol)[1].rows[0].overall

    assert overall.value == pytest.approx(mean_score(np.array(list(numbers.values())), chosen.clamp))
    assert overall.ci is not None
    assert overall.ci[0] <= (overall.value or 0.0) <= overall.ci[1] <= chosen.scale
    assert overall.ci[0] >= (-chosen.scale if chosen.clamp == "none" else 0.0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_protocols_scale_changes_no_verdict(suite: Suite, protocol: str) -> None:
    """Half a point of a hundred is the same fall as a two-hundredth of a scale that ends at one."""
    design = design_for(suite, steps=(4, 8))
    scale = PROTOCOLS[protocol].scale
    rng = np.random.default_rng(1)
    falling = every(design, lambda key: scale * ((0.3 if key.steps == 4 else 0.28) + 0.01 * rng.random()))
    rising = every(design, lambda key: scale * ((0.28 if key.steps == 4 else 0.3) + 0.01 * rng.random()))
    verdicts = [clip_measure(design, numbers, protocol)[1].verdict for numbers in (falling, rising)]

    assert [verdict.outcome for verdict in verdicts if verdict] == ["violated", "monotone"]
    assert [verdict.delta for verdict in verdicts if verdict] == pytest.approx([0.005 * scale] * 2)


def distances_of(curves: Mapping[int, tuple[float, list[float]]], metric: str, n: int) -> Distances:
    steps = {
        count: Distance(value=value, without=tuple(without), n=n, n_clusters=240, images_sha256="")
        for count, (value, without) in curves.items()
    }
    return Distances(metric=metric, protocol={"metric": metric}, notes=(), steps=steps)


def test_a_distance_has_the_error_of_its_replicates(suite: Suite) -> None:
    """Replicates 1, 2, 3 around 2 have the jackknife variance 2/3 x 2, and the missing images are counted."""
    measured = measured_on("fid", "openmoji")
    design = design_for(suite)
    distances = distances_of({4: (2.0, [1.0, 2.0, 3.0])}, measured.name, n=470)
    overall = measure_of_sets(measured, distances, design).rows[0].overall

    assert (overall.value, overall.n, overall.n_unscored, overall.n_clusters) == (2.0, 470, 10, 240)
    assert overall.se == pytest.approx(math.sqrt(4 / 3))
    assert overall.ci is not None
    assert overall.ci[0] == 0.0
    assert overall.ci[1] == pytest.approx(2.0 + 1.959964 * math.sqrt(4 / 3))


@pytest.mark.parametrize(
    ("metric", "estimator", "ends"),
    [
        ("fid", None, [True, False]),
        ("kid", "unbiased", [False, False]),
        ("cmmd", "biased", [True, False]),
        ("coverage", None, [True, True]),
    ],
)
def test_intervals_end_where_a_metric_ends(
    suite: Suite, metric: str, estimator: str | None, ends: list[bool]
) -> None:
    """FID is not negative, a share lies in [0, 1], and an unbiased estimate may be below zero."""
    measured, design = measured_on(metric, "openmoji"), design_for(suite)
    distances = distances_of({4: (0.5, list(0.5 + np.linspace(-0.2, 0.2, 50)))}, metric, 480)
    distances = replace(distances, protocol={"metric": metric, "estimator": estimator})
    overall = measure_of_sets(measured, distances, design).rows[0].overall

    assert overall.ci is not None
    assert [overall.ci[0] == 0.0, overall.ci[1] == 1.0] == ends


def curve(values: Mapping[int, float], *, noise: float = 0.001, groups: int = 50) -> dict[int, Any]:
    rng = np.random.default_rng(2)
    return {
        count: (value, list(value + noise * rng.standard_normal(groups))) for count, value in values.items()
    }


@pytest.mark.parametrize(
    ("metric", "values", "outcome"),
    [
        ("fid", {1: 9.0, 8: 4.0, 50: 3.0}, "monotone"),
        ("fid", {1: 9.0, 8: 3.0, 50: 4.0}, "violated"),
        ("kid", {1: 0.9, 8: 0.3, 50: 0.4}, "violated"),
        ("coverage", {1: 0.3, 8: 0.4, 50: 0.5}, "monotone"),
        ("coverage", {1: 0.3, 8: 0.5, 50: 0.4}, "violated"),
    ],
)
def test_a_verdict_knows_which_way_is_better(
    suite: Suite, metric: str, values: Mapping[int, float], outcome: str
) -> None:
    """A distance that rises at the end is violated, one that falls is monotone; a share the other way round."""
    measured, design = measured_on(metric, "openmoji"), design_for(suite, steps=tuple(values))
    verdict = measure_of_sets(measured, distances_of(curve(values), metric, 480), design).verdict

    assert verdict is not None
    assert verdict.outcome == outcome
    if outcome == "violated":
        assert verdict.worst_pair == (8, 50)


def test_the_delta_of_a_distance_is_a_share_of_its_first_value(suite: Suite) -> None:
    """Five per cent of the value at the first step count; of a share two points, wherever it begins."""
    design = design_for(suite, steps=(1, 50))
    deltas = [
        measure_of_sets(measured_on(metric, "openmoji"), distances_of(curve(values), metric, 480), design)
        for metric, values in (("fid", {1: 8.0, 50: 4.0}), ("recall", {1: 0.8, 50: 0.4}))
    ]

    assert [made.verdict.delta for made in deltas if made.verdict] == pytest.approx([0.4, 0.02])


def test_replicates_of_other_groups_are_refused(suite: Suite) -> None:
    """Step counts that left out different numbers of groups are not paired."""
    design = design_for(suite, steps=(1, 50))
    curves = curve({1: 2.0}, groups=50) | curve({50: 1.0}, groups=40)

    with pytest.raises(ValueError, match="shape"):
        measure_of_sets(measured_on("fid", "openmoji"), distances_of(curves, "fid", 480), design)


def test_a_step_count_without_replicates_gives_no_verdict(suite: Suite) -> None:
    """Where too few images are there to leave a group out, nothing is known of errors; the values stay."""
    design = design_for(suite, steps=(1, 50))
    curves = curve({1: 2.0}, groups=50) | curve({50: 1.0}, groups=0)

    made = measure_of_sets(measured_on("fid", "openmoji"), distances_of(curves, "fid", 480), design)

    assert [row.overall.value for row in made.rows] == [2.0, 1.0]
    assert made.verdict is not None
    assert made.verdict.reason == "too_small"


def test_a_run_without_a_number_is_partial(make_measures: MakeMeasures, suite: Suite) -> None:
    """Left out prompts and missing images make the numbers those of something else."""
    whole = make_measures(clip={4: 20.0})
    limited = make_measures(clip={4: 20.0}, prompt_ids=tuple(range(60)))
    record = make_record(suite, model="m", steps=(4,), images=2, prompt_ids=tuple(range(240)))
    design = design_of(record, suite, {})
    numbers = every(design, lambda _: 20.0)
    numbers.popitem()
    missing = measure_set(record, suite, [clip_measure(design, numbers)[1]])

    assert [whole.partial, limited.partial, missing.partial] == [False, True, True]
    assert (whole.num_prompts, limited.num_prompts) == (240, 60)


def test_rows_carry_what_the_run_knows(suite: Suite) -> None:
    """Network evaluations come from the record, seconds are the median of those that were measured."""
    record = make_record(suite, model="m", steps=(4, 8), images=2, prompt_ids=tuple(range(240)))
    key = ImageKey(steps=4, prompt_id=0, image_index=0)
    seconds = {key: None} | {ImageKey(steps=4, prompt_id=i, image_index=0): float(i) for i in (1, 2, 9)}
    design = design_of(record, suite, seconds)
    rows = clip_measure(design, every(design, lambda _: 1.0))[1].rows

    assert [(row.steps, row.nfe, row.seconds_per_image) for row in rows] == [(4, 8, 2.0), (8, 16, None)]
