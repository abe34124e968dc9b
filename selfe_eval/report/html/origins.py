"""Where the numbers of a run come from, as names and values: spec, hashes, versions, commit, device, judge, times."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfe_eval.report.html.content import ShownRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Names and values under one heading."""

    title: str
    """The heading."""
    rows: tuple[tuple[str, str], ...]
    """(name, value)."""


def origins(run: ShownRun) -> list[Origin]:
    """All that the run folder says of how its numbers were made."""
    record, entry = run.record, run.entry
    made = record.as_json()
    asked = {
        "status": record.status,
        "partial": record.partial,
        "prompts": f"{len(record.prompt_ids)} of {len(run.suite.prompts)}",
        "spec_sha256": record.spec.sha256,
        **{name: made[name] for name in ("checkpoint", "device", "judge", "generator", "nfe")},
    }
    sections = [
        ("What was asked", record.spec.as_json()),
        ("The run", asked),
        ("Judge", run.scorer),
        *(
            (f"Protocol of {one.metric}", one.protocol)
            for one in (entry.measures.measures if entry.measures else ())
        ),
        *((f"Work {number}", _attempt(work)) for number, work in enumerate(record.attempts, start=1)),
    ]
    return [
        Origin(title=title, rows=tuple((name, without_home(value)) for name, value in flat(document)))
        for title, document in sections
        if document
    ]


def flat(document: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Every value of a document with its dotted name.

    >>> list(flat({"a": {"b": [1, 2], "c": None}}))
    [('a.b', '1, 2'), ('a.c', 'none')]
    """
    for key, value in document.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{name}.")
        else:
            yield name, _text(value)


def without_home(text: str) -> str:
    """A text in which the home folder is ``~``: who made a page need not be told."""
    home = str(Path.home())
    return text if len(home) < 2 else text.replace(f"{home}/", "~/")


def _attempt(work: Mapping[str, Any]) -> dict[str, Any]:
    argv = work.get("argv")
    typed = shlex.join(map(str, argv)) if isinstance(argv, Sequence) and not isinstance(argv, str) else argv
    return {**work, "argv": typed}


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)
