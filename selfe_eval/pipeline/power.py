"""What a real run says about its scores, for `power`: components of variance, its tasks and its curve."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfe_eval.errors import UsageError
from selfe_eval.records import Suite
from selfe_eval.report.outcomes import scored_at
from selfe_eval.report.power import FromRun
from selfe_eval.report.scored_run import ScoredRun, read_scored_run
from selfe_eval.stats.components import FEWEST_PROMPTS, calibrated
from selfe_eval.stats.latent_scores import curve_covariance, scatter_of
from selfe_eval.stats.panel import macro_moments, panel_from_means
from selfe_eval.suites.registry import load_suite
from selfe_eval.suites.rewritten import base_name


def read_from_run(folder: Path, *, allow_partial: bool = False) -> FromRun:
    """The variance of a run's GenEval scores, from the prompts that have every image at every step count.

    Raises:
        UsageError: the folder holds no run, or one with fewer than two images a prompt, two step counts, or three
            such prompts in a task, or one whose scores do not vary.
        UntrustworthyError: the run is unfinished or partial, or its scores are not those of its summary.
    """
    run = read_scored_run(folder, allow_partial=allow_partial)
    suite = load_suite(base_name(run.summary.suite))
    _require_pairs(folder, run)
    by_task = _scores(run, suite)
    _require_prompts(folder, by_task)
    scores = tuple(by_task.values())
    rates = np.array([task.mean(axis=(0, 1)) for task in scores])
    _require_variance(folder, rates)
    found = calibrated(scores)
    num_images = run.summary.images_per_prompt
    panel = panel_from_means(
        np.concatenate([task.mean(axis=1) for task in scores]),
        tuple(name for name, task in by_task.items() for _ in task),
        num_images,
    )
    observed = macro_moments(panel)
    assert observed is not None
    assert observed.covariance is not None
    modelled = curve_covariance(
        scatter_of(rates, found.components), [len(task) for task in scores], num_images
    )
    return FromRun(
        run=str(folder),
        model_name=run.summary.model,
        suite=suite.name,
        partial=run.summary.partial,
        steps=tuple(row.steps for row in run.summary.rows),
        rates=rates,
        calibrated=found,
        num_prompts=sum(map(len, scores)),
        images_per_prompt=num_images,
        observed_se=math.sqrt(observed.covariance[-1, -1]),
        modelled_se=math.sqrt(modelled[-1, -1]),
    )


def _require_pairs(folder: Path, run: ScoredRun) -> None:
    images, steps = run.summary.images_per_prompt, [row.steps for row in run.summary.rows]
    if images < 2 or len(steps) < 2:
        raise UsageError(
            f"--from-run {folder}: expected at least two images a prompt and two step counts, since the variance is "
            f"told apart by them; found {images} image(s) and the step counts {', '.join(map(str, steps))}. Measure "
            "one with, for example, `selfe-eval geneval --images-per-prompt 2 --steps 1,4,50`."
        )


def _require_prompts(folder: Path, by_task: Mapping[str, NDArray[np.float64]]) -> None:
    small = [f"{task}: {len(scores)}" for task, scores in by_task.items() if len(scores) < FEWEST_PROMPTS]
    if small:
        raise UsageError(
            f"--from-run {folder}: expected {FEWEST_PROMPTS} prompts of each task with every image scored at every "
            f"step count; found {', '.join(small)}. Finish it with `selfe-eval resume {shlex.quote(str(folder))}`, or "
            "name a run of more prompts."
        )


def _require_variance(folder: Path, rates: NDArray[np.float64]) -> None:
    varying = (rates > 0) & (rates < 1)
    if varying.sum(axis=1).max() < 2:
        raise UsageError(
            f"--from-run {folder}: expected a task with right and wrong images at two step counts; found none, so its "
            "scores show no variance. Name another run, or leave the option out."
        )


def _scores(run: ScoredRun, suite: Suite) -> dict[str, NDArray[np.float64]]:
    """Task -> (P, m, K) of the prompts without a gap, tasks in the order of the suite."""
    columns = [scored_at(run.outcomes, row.steps) for row in run.summary.rows]
    indices = range(run.summary.images_per_prompt)
    by_task: dict[str, list[list[list[float]]]] = {prompt.task: [] for prompt in suite.prompts}
    for prompt in suite.prompts:
        keys = [(prompt.prompt_id, index) for index in indices]
        if all(key in column for key in keys for column in columns):
            by_task[prompt.task].append([[float(column[key]) for column in columns] for key in keys])
    return {
        task: np.array(scores, dtype=np.float64).reshape(-1, len(indices), len(columns))
        for task, scores in by_task.items()
    }
