"""The page: tables, plots and gallery put into the template, with a policy that forbids everything else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from selfe_eval import __version__
from selfe_eval.records import TASKS
from selfe_eval.report.html.content import ShownRun, told_apart
from selfe_eval.report.html.curves import plot_groups
from selfe_eval.report.html.drawing import NUM_INKS, draw
from selfe_eval.report.html.embedding import script_json
from selfe_eval.report.html.gallery import gallery
from selfe_eval.report.html.origins import origins, without_home
from selfe_eval.report.html.tables import (
    Compared,
    comparison_tables,
    measure_tables,
    measure_verdicts,
    score_tables,
    verdicts,
)

_TEMPLATES = Path(__file__).parent / "templates"


def report_page(runs: Sequence[ShownRun], *, with_pictures: bool, compared: Compared | None = None) -> bytes:
    """A self-contained HTML page.

    Args:
        runs: At least one, in the order to show.
        with_pictures: Whether images were to be shown; else none is missed.
        compared: The first two runs beside each other, where there are two.

    Returns:
        The file, UTF-8. The same runs give the same bytes.
    """
    models = ", ".join(dict.fromkeys(run.entry.model for run in runs))
    runs = told_apart(runs)
    script, style = _resource("report.js"), _resource("report.css")
    shown = gallery(runs, with_pictures=with_pictures)
    groups = [
        (group, [(plot, draw(plot, prefix=f"g{i}p{j}")) for j, plot in enumerate(group.plots)])
        for i, group in enumerate(plot_groups(runs))
    ]
    html = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            title=f"{models} on {runs[0].suite.name}",
            version=__version__,
            policy=_policy(script, style),
            style=style,
            script=script,
            data=script_json(shown.document),
            pictures=shown.pictures,
            runs=runs,
            num_inks=NUM_INKS,
            verdicts=verdicts(runs),
            score_tables=score_tables(runs),
            measure_tables=measure_tables(runs),
            measure_verdicts=measure_verdicts(runs),
            comparison=compared.comparison if compared else None,
            comparison_tables=comparison_tables(compared) if compared else [],
            plot_groups=groups,
            origins=[(run, origins(run)) for run in runs],
            is_partial=any(run.is_partial for run in runs),
            num_faults=shown.num_faults,
            num_images=sum(len(run.images) for run in runs),
            with_pictures=with_pictures,
            reduced=list(dict.fromkeys(run.reduced for run in runs if run.reduced)),
            tasks=[
                task for task in TASKS if any(task == prompt["task"] for prompt in shown.document["prompts"])
            ],
            steps=sorted({count for run in runs for count in run.record.spec.steps}),
            has_unseen=any(run.suite.unseen for run in runs),
        )
    )
    return html.encode(errors="backslashreplace")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["without_home"] = without_home
    return environment


def _resource(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _policy(script: str, style: str) -> str:
    """What the page may do: run its own script, use its own style, show pictures that it carries."""
    return (
        f"default-src 'none'; img-src data:; script-src {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
