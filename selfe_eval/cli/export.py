"""The verb ``export``: a run's numbers as files for the Hugging Face Hub. Nothing is uploaded."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.errors import UsageError

if TYPE_CHECKING:
    from selfe_eval.report.hugging_face import ExportedRun


class Format(Enum):
    """What is written."""

    MODEL_INDEX = "model-index"
    EVAL_RESULTS = "eval-results"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run folder.")],
    *,
    export_format: Annotated[
        Format,
        typer.Option(
            "--format", help="Metadata of a model card, or a file for a model's .eval_results folder."
        ),
    ] = Format.MODEL_INDEX,
    out: Annotated[
        Path | None, typer.Option(help="A new file. By default stdout.", show_default=False)
    ] = None,
    source_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where readers find the run or its report.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="With eval-results: the step count, where the run has several."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME",
            help="With eval-results: a data set that the hub has registered as a benchmark.",
        ),
    ] = None,
    task_id: Annotated[
        str, typer.Option(help="With eval-results: the task in the benchmark's eval.yaml.")
    ] = "default",
) -> None:
    """Write a run's numbers as the Hugging Face Hub reads them; uploading is yours.

    model-index is a block for the head of a model card: every metric at every step count, with step count, network
    evaluations, guidance, interval and the hash of the protocol. eval-results is a file with GenEval's score at one step
    count. Shares are fractions. Partial runs are refused.

    Examples:
      selfe-eval export results/runs/selfe
      selfe-eval export results/runs/selfe --format eval-results --dataset owner/geneval --steps 4 --out geneval.yaml
    """
    from selfe_eval.report.hugging_face import as_yaml, eval_results, front_matter, model_index

    _refuse_foreign_options(export_format, {"--steps": steps, "--dataset": dataset})
    found = _read(run)
    if export_format is Format.MODEL_INDEX:
        text = front_matter(model_index(found, source_url=source_url))
    else:
        assert dataset is not None
        entries = eval_results(found, steps=steps, dataset=dataset, task_id=task_id, source_url=source_url)
        text = as_yaml(entries)
    if out is None:
        typer.echo(text, nl=False)
    else:
        _write(out, text)


def _read(folder: Path) -> ExportedRun:
    from selfe_eval.report.entry import read_entry
    from selfe_eval.report.hugging_face import ExportedRun
    from selfe_eval.runs.run import open_run

    entry = read_entry(folder, allow_partial=True)  # refused with a word on exports
    return ExportedRun(record=open_run(folder).record, summary=entry.summary, measures=entry.measures)


def _write(path: Path, text: str) -> None:
    """Write a new file: a model card that is there would be lost."""
    from selfe_eval.cli.terminal import talk

    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"--out {path}: expected a new file, found one there already, and it is not overwritten. Name another one, or "
            "leave --out away and put the block in by hand."
        ) from error
    talk(f"written: {path}")


def _refuse_foreign_options(chosen: Format, given: dict[str, object]) -> None:
    if chosen is Format.MODEL_INDEX:
        foreign = [name for name, value in given.items() if value is not None]
        if foreign:
            raise UsageError(
                f"{', '.join(foreign)} goes with --format eval-results: model-index holds every step count, and names the "
                "suite as its data set."
            )
    elif given["--dataset"] is None:
        raise UsageError(
            "--format eval-results needs --dataset OWNER/NAME, a data set that the hub has registered as a benchmark: "
            "there is no official one of GenEval to take by default. Without one use --format model-index."
        )
