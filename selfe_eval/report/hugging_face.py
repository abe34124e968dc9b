"""A run's numbers as the Hugging Face Hub reads them: documents only, nothing is uploaded.

``model-index`` is metadata of a model card (hub-docs, modelcard.md); ``.eval_results/*.yaml`` is a file of a model's
repository whose data set is registered as a benchmark (hub-docs, docs/hub/eval-results.md). Neither has a field for an
interval or a step count: they stand in ``args`` of a metric, and in ``notes``. Shares are written as fractions, as GenEval
and the cards of models print them; other metrics in their own units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from selfe_eval import __version__
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.metrics import METRICS
from selfe_eval.report import cells
from selfe_eval.report.entry import prompts_of
from selfe_eval.report.measures import Measure, MeasureRow, MeasureSet
from selfe_eval.report.summary import METRIC, Row, Summary
from selfe_eval.runs.run import RunRecord
from selfe_eval.stats.estimate import Estimate

TASK = {"type": "text-to-image", "name": "Text-to-Image"}
"""The hub's name of the task."""

_SUITES = {"geneval": "GenEval", "openmoji": "GenEval's prompts in the openmoji world"}
"""Suite -> how a card calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedRun:
    """A whole run as an export needs it."""

    record: RunRecord
    """What was asked, and what drew."""
    summary: Summary | None
    """GenEval's numbers; None where it was not measured."""
    measures: MeasureSet | None
    """Those of the other metrics; one of both is there."""

    @property
    def measured(self) -> Summary | MeasureSet:
        """What there is: model and suite are the same in both."""
        found = self.summary or self.measures
        assert found is not None
        return found


def model_index(run: ExportedRun, *, source_url: str | None = None) -> dict[str, Any]:
    """The metadata ``model-index`` of a model card: every metric at every step count.

    Args:
        run: A run, not a partial one.
        source_url: Where the run, or what tells of it, can be seen.

    Raises:
        UntrustworthyError: the run is partial.
    """
    _refuse_partial(run)
    measured = run.measured
    name = _SUITES.get(measured.suite.partition("[")[0], measured.suite)
    rewritten = ", rewritten prompts" if prompts_of(measured.suite) == "rewritten" else ""
    result: dict[str, Any] = {
        "task": TASK,
        "dataset": {
            "name": f"{name}{rewritten}",
            "type": measured.suite,
            "args": {"suite_sha256": measured.suite_sha256, "prompts": prompts_of(measured.suite)},
        },
        "metrics": _metrics(run),
    }
    if source_url:
        result["source"] = {"name": f"selfe-eval {__version__}", "url": source_url}
    return {"model-index": [{"name": measured.model, "results": [result]}]}


def eval_results(
    run: ExportedRun,
    *,
    steps: int | None,
    dataset: str,
    task_id: str = "default",
    source_url: str | None = None,
) -> list[dict[str, Any]]:
    """The content of a file for ``.eval_results/``: GenEval's overall score at one step count.

    Args:
        run: A run, not a partial one.
        steps: Which step count: a benchmark shows one number of a file. None where the run has only one.
        dataset: The benchmark on the hub, ``owner/name``.
        task_id: The task in the benchmark's ``eval.yaml``.
        source_url: Where the run, or what tells of it, can be seen.

    Raises:
        UsageError: the step count is not the run's, is not said where there are several, or the data set is no
            ``owner/name``.
        UntrustworthyError: the run is partial, was not judged by GenEval, or is no score of the official prompts.
    """
    _refuse_partial(run)
    _refuse_other_protocols(run)
    assert run.summary is not None
    owner, slash, name = dataset.partition("/")
    if not (owner and slash and name) or "/" in name:
        raise UsageError(
            f"--dataset {dataset!r}: expected owner/name of a data set that the hub has registered as a benchmark."
        )
    row = _one_row(run.summary, steps)
    entry: dict[str, Any] = {
        "dataset": {"id": dataset, "task_id": task_id},
        "value": row.overall.value,
        "date": run.record.attempts[-1]["started_at"] if run.record.attempts else None,
        "source": {"url": source_url, "name": f"selfe-eval {__version__}"} if source_url else None,
        "notes": _notes(run, run.summary, row),
    }
    return [{key: value for key, value in entry.items() if value is not None}]


def front_matter(document: Mapping[str, Any]) -> str:
    """A YAML block as it stands at the head of a model card."""
    return f"---\n{as_yaml(document)}---\n"


def as_yaml(document: Any) -> str:
    """YAML in the order of the document; nothing but JSON types."""
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))


def _metrics(run: ExportedRun) -> list[dict[str, Any]]:
    made = []
    if run.summary is not None:
        made += [_geneval(run, run.summary, row) for row in run.summary.rows]
    if run.measures is not None:
        made += [_measure(run, one, row) for one in run.measures.measures for row in one.rows]
    return [metric for metric in made if metric["value"] is not None]


def _geneval(run: ExportedRun, summary: Summary, row: Row) -> dict[str, Any]:
    args = {
        "unit": "fraction of images correct, mean over six tasks",
        "tasks": {task: estimate.value for task, estimate in row.tasks.items()},
        "judge": summary.detector,
        "protocol_sha256": summary.scorer_sha256,
    }
    return _metric(run, summary.metric, row, args)


def _measure(run: ExportedRun, measure: Measure, row: MeasureRow) -> dict[str, Any]:
    args = {
        "unit": "fraction" if measure.unit == "share" else measure.unit,
        "higher_is_better": measure.higher_is_better,
        "protocol_sha256": measure.protocol_sha256,
    }
    return _metric(run, measure.metric, row, args)


def _metric(run: ExportedRun, name: str, row: Row | MeasureRow, args: Mapping[str, Any]) -> dict[str, Any]:
    title = METRICS[name].title if name in METRICS else name
    asked = {
        "steps": row.steps,
        "nfe": row.nfe,
        "guidance": guidance_of(run.record),
        "images_per_prompt": run.measured.images_per_prompt,
        "seconds_per_image": row.seconds_per_image,
        **_uncertainty(row.overall),
        **args,
    }
    return {
        "type": name,
        "name": f"{title} at {_steps(row.steps)}",
        "value": row.overall.value,
        "args": {key: value for key, value in asked.items() if value is not None},
    }


def _uncertainty(estimate: Estimate) -> dict[str, Any]:
    return {
        "standard_error": estimate.se,
        "confidence_interval_95": list(estimate.ci) if estimate.ci else None,
        "num_images": estimate.n,
        "num_prompts": estimate.n_clusters,
    }


def guidance_of(record: RunRecord) -> float | None:
    """The guidance scale that images were drawn with; None where nobody says."""
    said = record.generator
    for part, key in (("sampler", "guidance"), ("guidance", "scale")):
        inner = said.get(part)
        if isinstance(inner, Mapping) and inner.get(key) is not None:
            return float(inner[key])
    return None


def _notes(run: ExportedRun, summary: Summary, row: Row) -> str:
    """What has no field: which number it is, how sure it is, and what it rests on."""
    guidance = guidance_of(run.record)
    nfe = "" if row.nfe is None else f" ({row.nfe} network evaluations)"
    images = "one image" if summary.images_per_prompt == 1 else f"{summary.images_per_prompt} images"
    drawn = f"{_steps(row.steps)}{nfe}" + ("" if guidance is None else f", guidance {guidance:g}")
    return (
        f"{drawn}; {cells.value_and_half_width(row.overall)} per cent (95 % interval, clustered by prompt), "
        f"{images} of each of {summary.num_prompts} prompts of the suite {summary.suite}; judge "
        f"{summary.detector}, protocol {summary.scorer_sha256[:12]}; selfe-eval {__version__}"
    )


def _one_row(summary: Summary, steps: int | None) -> Row:
    counts = [row.steps for row in summary.rows]
    listed = ", ".join(map(str, counts))
    if steps is None and len(counts) > 1:
        raise UsageError(
            f"A file for .eval_results holds one number, and the run has several step counts ({listed}). Say which with "
            "--steps, and write a file for each that you want to show."
        )
    chosen = [row for row in summary.rows if steps in {None, row.steps}]
    if not chosen:
        raise UsageError(f"--steps {steps}: the run has {listed}.")
    return chosen[0]


def _steps(count: int) -> str:
    return f"{count} step{'' if count == 1 else 's'}"


def _refuse_partial(run: ExportedRun) -> None:
    if any(one.partial for one in (run.summary, run.measures) if one is not None):
        raise UntrustworthyError(
            f"The run of {run.measured.model} is partial: its numbers are not the suite's, and nobody who reads a model card "
            "sees that. Finish it with `selfe-eval resume RUN`, or repeat it without --limit."
        )


def _refuse_other_protocols(run: ExportedRun) -> None:
    """A benchmark puts every file's number into one list."""
    summary = run.summary
    if summary is None:
        found = "no score of GenEval"
    elif summary.metric != METRIC:
        found = summary.metric
    elif prompts_of(summary.suite) == "rewritten":
        found = "rewritten prompts"
    else:
        return
    raise UntrustworthyError(
        f"A benchmark's leaderboard puts all numbers into one list, and this run has {found}: expected GenEval's own judge "
        "and wording. Export it with --format model-index, where the metric keeps its own name."
    )
