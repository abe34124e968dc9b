from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from typer.testing import CliRunner, Result

from selfe_eval.cli.export import export
from selfe_eval.errors import UntrustworthyError, UsageError

FinishedRun = Callable[..., Path]
RESULTS = ("--format", "eval-results", "--dataset", "owner/geneval")


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone."""
    app = typer.Typer()
    app.command()(export)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"NO_COLOR": "1"})


def test_the_default_is_the_head_of_a_model_card(finished_run: FinishedRun) -> None:
    """Stdout is a YAML block that can stand at the head of a README.md, with every step count."""
    result = invoke(finished_run("selfe-tiny", {1: 0.3, 50: 0.6}), "--source-url", "https://example.org")
    card = ModelCard(f"{result.stdout}\n# selfe-tiny\n")

    assert result.exit_code == 0
    assert [one.metric_args["steps"] for one in card.data.get("eval_results")] == [1, 50]
    assert card.data.get("eval_results")[0].source_url == "https://example.org"


def test_results_of_one_step_count_go_to_a_file(finished_run: FinishedRun, tmp_path: Path) -> None:
    """--out writes what the hub's own parser reads; stdout stays empty."""
    out = tmp_path / "geneval.yaml"
    result = invoke(finished_run("a", {1: 0.3, 50: 0.6}), *RESULTS, "--steps", "50", "--out", out)
    (entry,) = parse_eval_result_entries(yaml.safe_load(out.read_text()))

    assert result.stdout == ""
    assert (entry.dataset_id, entry.task_id) == ("owner/geneval", "default")
    assert str(entry.notes).startswith("50 steps")


def test_a_file_that_is_there_is_not_overwritten(finished_run: FinishedRun, tmp_path: Path) -> None:
    """A model card would be lost."""
    card = tmp_path / "README.md"
    card.write_text("# mine\n")
    result = invoke(finished_run("a", {1: 0.3}), "--out", card)

    assert isinstance(result.exception, UsageError)
    assert str(card) in str(result.exception)
    assert card.read_text() == "# mine\n"


def test_a_partial_run_is_refused(finished_run: FinishedRun) -> None:
    """No option lets it through."""
    result = invoke(finished_run("a", {1: 0.3}, limit=60))

    assert isinstance(result.exception, UntrustworthyError)
    assert "partial" in str(result.exception)
    assert "--allow-partial" not in str(result.exception)
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "eval-results"), "needs --dataset"),
        (("--dataset", "owner/geneval"), "goes with --format eval-results"),
        (("--steps", "1"), "goes with --format eval-results"),
        (RESULTS, "Say which with --steps"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    finished_run: FinishedRun, options: tuple[str, ...], message: str
) -> None:
    """What an option belongs to, and what is missing, is said before anything is written."""
    result = invoke(finished_run("a", {1: 0.3, 50: 0.6}), *options)

    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """The error says what a run folder is."""
    assert isinstance(invoke(tmp_path).exception, UsageError)
