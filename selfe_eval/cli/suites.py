"""The verb ``suites``: which sets of prompts are here, and their metadata lines for other tools."""

from __future__ import annotations

import json
from collections import Counter
from typing import Annotated

import typer

from selfe_eval.records import TASKS, Suite


def suites(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
    export: Annotated[
        str | None, typer.Option(metavar="NAME", help="Write this suite's metadata lines to standard output.")
    ] = None,
) -> None:
    """List the suites, or write one's metadata lines (for geneval: byte for byte the official file).

    \b
    Examples:
      selfe-eval suites
      selfe-eval suites --export geneval > evaluation_metadata.jsonl
    """  # noqa: D301  click needs the control character, not its spelling
    from selfe_eval.suites.registry import load_suite, metadata_lines, suite_names

    if export is not None:
        typer.echo(metadata_lines(load_suite(export)), nl=False)
        return
    loaded = [load_suite(name) for name in suite_names()]
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "suites": [_document(suite) for suite in loaded]}))
        return
    _print_table(loaded)


def _num_by_task(suite: Suite) -> dict[str, int]:
    found = Counter(prompt.task for prompt in suite.prompts)
    return {task: found[task] for task in TASKS}


def _document(suite: Suite) -> dict[str, object]:
    return {
        "name": suite.name,
        "prompts": len(suite.prompts),
        "tasks": _num_by_task(suite),
        "sha256": suite.sha256,
        "unseen": len(suite.unseen),
    }


def _print_table(loaded: list[Suite]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("suite", box=None, padding=(0, 1, 0, 0))
    for heading in ("prompts", *(task.replace("_", "\n") for task in TASKS), "unseen"):
        table.add_column(heading, justify="right")
    table.add_column("sha256")
    for suite in loaded:
        counts = (len(suite.prompts), *_num_by_task(suite).values(), len(suite.unseen))
        table.add_row(suite.name, *map(str, counts), suite.sha256[:8])
    Console().print(table)
