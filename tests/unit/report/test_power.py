from __future__ import annotations

import json

import numpy as np
import pytest
from rich.console import Console

from selfe_eval.report.power import FromRun, Question, answer, model_of, power_document, power_report
from selfe_eval.report.power_table import print_power
from selfe_eval.stats.components import Calibrated
from selfe_eval.stats.latent_scores import Components, normal_quantile
from selfe_eval.stats.power import assumed_model


def example_run() -> FromRun:
    """Two tasks that are equal at the first step count and apart at the last."""
    return FromRun(
        run="results/runs/a",
        model_name="a",
        suite="openmoji",
        partial=False,
        steps=(2, 50),
        rates=np.array([[0.5, 0.9], [0.5, 0.6]]),
        calibrated=Calibrated(
            components=Components(prompt=0.3, seed=0.1, prompt_step=0.0),
            errors=(0.01, 0.02, 0.03),
            clipped=("prompt_step",),
        ),
        num_prompts=100,
        images_per_prompt=2,
        observed_se=0.02,
        modelled_se=0.021,
    )


def question(**changes: object) -> Question:
    """Two tasks of 50 prompts, two designs, and the run's own curve."""
    run = example_run()
    asked = {
        "suite": "openmoji",
        "sizes": (50, 50),
        "images_per_prompt": (1, 4),
        "deltas": (0.02,),
        "baseline": 0.75,
        "model": model_of(run),
        "curves": {"as typed": (0.5, 0.7)},
        "detect": None,
        "from_run": run,
    }
    return Question(**{**asked, **changes})  # type: ignore[arg-type]


def test_tasks_are_as_far_apart_as_at_the_last_step_count() -> None:
    """A run's model has its components, and the difficulty of its tasks where they were drawn with most steps."""
    model = model_of(example_run())

    assert model.components.prompt == 0.3
    assert model.difficulty == pytest.approx(normal_quantile(np.array([0.9, 0.6])))


def test_a_runs_own_curve_comes_before_what_was_typed() -> None:
    """Chances are listed by curve, and within it by images; the document is JSON and names what was clipped."""
    report = power_report(question())
    document = json.loads(json.dumps(power_document(report), allow_nan=False))

    assert [(one.curve, one.images_per_prompt) for one in report.chances] == [
        ("the run's own", 1),
        ("the run's own", 4),
        ("as typed", 1),
        ("as typed", 4),
    ]
    assert document["verdicts"][0]["scores"] == [0.5, 0.75]
    assert document["from_run"]["clipped"] == ["prompt_step"]
    assert document["from_run"]["component_errors"] == {"prompt": 0.01, "seed": 0.02, "prompt_step": 0.03}


def test_one_image_is_not_images() -> None:
    """The sentence counts in English."""
    assert "100 prompts x 1 image give" in answer(power_report(question()))
    assert "100 prompts need 1 image each" in answer(power_report(question(detect=0.5)))


def test_the_table_fits_a_terminal() -> None:
    """With five step counts and three designs no line is wider than 80 columns, and each curve has one line."""
    curves = dict.fromkeys(("saturating", "late drop 2 pp"), (0.75, 0.79, 0.81, 0.818, 0.82))
    console = Console(width=80)
    with console.capture() as captured:
        print_power(
            power_report(
                question(
                    model=assumed_model(),
                    sizes=(80, 99, 80, 94, 100, 100),
                    images_per_prompt=(4, 8, 16),
                    curves=curves,
                    from_run=None,
                )
            ),
            console,
        )
    lines = captured.get().splitlines()

    assert max(map(len, lines)) <= 80
    for name in curves:
        assert sum(line.startswith(f"{name} ") and line.count("/") == 6 for line in lines) == 1
