from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.power import power
from selfe_eval.errors import SelfeEvalError, UntrustworthyError, UsageError

FinishedRun = Callable[..., Path]


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone."""
    app = typer.Typer()
    app.command()(power)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"NO_COLOR": "1"})


def test_the_default_shows_what_553_prompts_can_do() -> None:
    """Without options: the assumed components, three designs, six named curves, and one sentence that says it."""
    result = invoke()
    text = " ".join(result.stdout.split())

    assert result.exit_code == 0
    assert "prompt 0.55, seed 0.15, prompt x step 0.05, residual 0.25" in text
    assert " 4 1.17 0.91 0.79 0.99 1.65 2.26 2.55" in text
    for name in ("steady", "saturating", "plateau", "flat", "late drop 2 pp", "late drop 3 pp"):
        assert name in result.stdout
    assert "553 prompts x 4 images give a score around 80 % with a standard error of 1.2 pp" in text
    assert "find a paired difference of 2.5 pp in 80 % of runs" in text


def test_json_is_one_document_of_shares() -> None:
    """Stdout is one document: designs ascending, each verdict's chances summing to 1, the sentence beside them."""
    result = invoke("--images-per-prompt", "16,4", "--delta", "0.01,0.02", "--curve", "0.75,0.82", "--json")
    document = json.loads(result.stdout)

    assert document["schema_version"] == 1
    assert [design["images_per_prompt"] for design in document["designs"]] == [4, 16]
    assert document["designs"][0]["se"]["paired"] == pytest.approx(0.0091, abs=1e-4)
    assert document["designs"][0]["detectable"]["paired"]["two_sided"] == pytest.approx(0.0255, abs=1e-4)
    assert [(one["delta"], one["images_per_prompt"]) for one in document["verdicts"]] == [
        (0.01, 4),
        (0.01, 16),
        (0.02, 4),
        (0.02, 16),
    ]
    for one in document["verdicts"]:
        assert one["scores"] == [0.75, 0.82]
        assert one["monotone"] + one["violated"] + one["inconclusive"] == pytest.approx(1)
    assert document["needed"] is None
    assert document["from_run"] is None
    assert document["answer"].endswith("% of runs.")


def test_a_wanted_difference_is_answered_in_images_and_prompts() -> None:
    """--detect says how many images are enough, and how many prompts would be; or that no number of images is."""
    enough = json.loads(invoke("--detect", "0.02", "--json").stdout)
    never = json.loads(invoke("--detect", "0.01", "--json").stdout)

    assert enough["needed"] == {"difference": 0.02, "images_per_prompt": 9, "prompts": 899}
    assert (
        "553 prompts need 9 images each at every step count (or take 899 prompts x 4 images)"
        in enough["answer"]
    )
    assert never["needed"]["images_per_prompt"] is None
    assert "more prompts, such as 3594 prompts x 4 images" in never["answer"]


def test_few_prompts_give_no_verdict_and_say_so() -> None:
    """With ten prompts a task the standard error grows and every verdict is inconclusive."""
    document = json.loads(invoke("--limit", "60", "--json").stdout)

    assert document["num_prompts"] == 60
    assert {one["inconclusive"] for one in document["verdicts"]} == {1.0}
    assert "no verdict is given, since a task has fewer than 30 prompts" in document["answer"]


def test_named_curves_follow_the_baseline() -> None:
    """The named curves lie around the score that is asked about."""
    document = json.loads(invoke("--baseline", "0.5", "--json").stdout)
    flat = next(one for one in document["verdicts"] if one["curve"] == "flat")

    assert flat["scores"] == [0.5] * 5
    assert document["baseline"] == 0.5


def test_a_run_brings_its_own_variances_and_curve(finished_run: FinishedRun) -> None:
    """Independent images show next to no component, with errors; the run's own curve and errors are shown."""
    run = finished_run("a", {2: 0.3, 8: 0.5, 50: 0.7}, images=3)
    document = json.loads(invoke("--from-run", run, "--json").stdout)
    found = document["from_run"]

    assert document["suite"] == "openmoji"
    assert document["baseline"] == pytest.approx(0.7, abs=0.05)
    assert document["components"]["residual"] > 0.85
    assert all(0 < error < 0.1 for error in found["component_errors"].values())
    assert found["observed_se"] == pytest.approx(found["modelled_se"], rel=0.1)
    assert {one["curve"] for one in document["verdicts"]} == {"the run's own"}
    assert document["verdicts"][0]["scores"] == pytest.approx([0.3, 0.5, 0.7], abs=0.05)
    assert document["verdicts"][0]["monotone"] > 0.99


def test_clipped_components_are_named(finished_run: FinishedRun) -> None:
    """What came out negative is 0, and both outputs name it."""
    run = finished_run("a", {2: 0.5, 50: 0.5}, images=2)
    clipped = json.loads(invoke("--from-run", run, "--json").stdout)["from_run"]["clipped"]
    text = " ".join(invoke("--from-run", run, "--curve", "0.4,0.6").stdout.split())

    assert clipped
    assert f"Clipped: {', '.join(clipped)}." in text
    assert "the run's own" in text
    assert "as typed" in text


def test_a_partial_run_is_barred_unless_asked_for(finished_run: FinishedRun) -> None:
    """A partial run is refused; with --allow-partial its variances are taken, stamped."""
    run = finished_run("a", {2: 0.3, 50: 0.7}, images=2, limit=500)

    assert isinstance(invoke("--from-run", run).exception, UntrustworthyError)
    assert "from the PARTIAL run of a" in " ".join(
        invoke("--from-run", run, "--allow-partial").stdout.split()
    )


@pytest.mark.parametrize(
    ("curve", "run", "complaint"),
    [
        ({2: 0.3, 50: 0.7}, {"images": 1}, "two images a prompt"),
        ({50: 0.7}, {"images": 2}, "two step counts"),
        ({2: 1.0, 50: 0.7}, {"images": 2}, "right and wrong images at two step counts"),
        ({2: 0.3, 8: 0.3, 50: 0.0}, {"images": 2}, "Give --baseline"),
        ({2: 0.3, 50: 0.7}, {"images": 2, "limit": 81}, "prompts of each task"),
    ],
)
def test_runs_that_show_no_variance_are_refused(
    finished_run: FinishedRun, curve: dict[int, float], run: dict[str, int], complaint: str
) -> None:
    """One image a prompt, one step count, scores without variance and tasks without prompts are said and refused."""
    result = invoke("--from-run", finished_run("a", curve, **run), "--allow-partial")

    assert isinstance(result.exception, UsageError)
    assert complaint in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--images-per-prompt", "0"), "whole numbers"),
        (("--images-per-prompt", "4,4"), "once"),
        (("--delta", "2"), "between 0 and 1"),
        (("--delta", "0.02,x"), "found 'x'"),
        (("--curve", "0.8"), "found 1"),
        (("--curve", "0.8,nan"), "found 'nan'"),
        (("--baseline", "0.99"), "--curve"),
        (("--baseline", "1"), "between 0 and 1"),
        (("--detect", "0"), "between 0 and 1"),
        (("--limit", "5"), "at least 6 prompts"),
        (("--suite", "genevl"), "Did you mean 'geneval'"),
        (("--from-run", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(arguments: tuple[str, ...], complaint: str) -> None:
    """Each error names the option and what was expected."""
    result = invoke(*arguments)

    assert isinstance(result.exception, SelfeEvalError)
    assert result.exception.exit_code == 2
    assert complaint in str(result.exception)


def test_planning_needs_no_torch() -> None:
    """The verb answers without loading torch."""
    program = (
        "import sys\nfrom selfe_eval.cli.app import command\n"
        "try: command()(['power', '--detect', '0.02'], prog_name='selfe-eval')\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "553 prompts need 9 images" in " ".join(done.stdout.split())
