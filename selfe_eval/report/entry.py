"""One run on a leaderboard: its numbers of GenEval, of the other metrics, or both, and what one must know beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from selfe_eval.generate.peers import PRESETS
from selfe_eval.report.libraries import Libraries, libraries_of
from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.measures_file import read_measures
from selfe_eval.report.published import published_rows
from selfe_eval.report.summary import METRIC, Summary
from selfe_eval.report.summary_file import read_summary
from selfe_eval.runs import layout
from selfe_eval.runs.run import RunRecord, open_run
from selfe_eval.runs.spec import RunSpec
from selfe_eval.suites.rewritten import is_rewritten

Source = Literal["measured", "reproduced", "published"]
"""measured: here; reproduced: here too, of a row that a paper prints; published: in a paper, and not here."""

_PRINTED_SUITE = "geneval"
"""The suite of the printed scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What there is of a run."""

    run: str
    """The run folder as the user typed it."""
    summary: Summary | None = None
    """GenEval's numbers."""
    measures: MeasureSet | None = None
    """Those of the other metrics; one of both is there."""
    hardware: str = ""
    """What its seconds were measured on, in a few words; empty where that is not known."""
    libraries: Libraries = field(default_factory=dict)
    """What it was drawn and measured with; empty where that is not known."""
    printed_as: str | None = None
    """What papers call the preset that drew; None where they print none."""
    ranks: Mapping[int, str] = field(default_factory=dict)
    """Step count -> its letters among the runs that were measured alike; empty where it is not ranked."""
    unranked: str = ""
    """Why it is not ranked though there are others to rank it with; else empty."""

    @property
    def model(self) -> str:
        """Name of the model."""
        measured = self.summary or self.measures
        assert measured is not None
        return measured.model

    def source(self, steps: int) -> Source:
        """Whether GenEval's number at a step count is one that a paper prints too, measured again."""
        found = self.summary
        alike = found is not None and (found.metric, found.suite) == (METRIC, _PRINTED_SUITE)
        if self.printed_as is None or not alike:
            return "measured"
        printed = {(row.model, row.steps) for row in published_rows()}
        return "reproduced" if (self.printed_as, steps) in printed else "measured"


Scored = tuple[Entry, Summary]
"""A run with its numbers of GenEval."""


def measured_alike(entries: Sequence[Entry]) -> list[list[Scored]]:
    """The runs that GenEval judged, by metric, suite, scorer and completeness, in order of first appearance."""
    groups: dict[tuple[str | bool, ...], list[Scored]] = {}
    for entry in entries:
        if (found := entry.summary) is not None:
            key = (found.metric, found.suite, found.suite_sha256, found.scorer_sha256, found.partial)
            groups.setdefault(key, []).append((entry, found))
    return list(groups.values())


def read_entry(run: Path, *, allow_partial: bool = False) -> Entry:
    """What there is of a run folder; GenEval's numbers may be missing where there are others.

    Raises:
        UsageError: the folder holds no run.
        UntrustworthyError: the run is unfinished or partial, or its numbers cannot be believed.
    """
    measures = read_measures(run, allow_partial=allow_partial)
    has_summary = measures is None or (run / layout.SUMMARY_FILE).exists()
    summary = read_summary(run, allow_partial=allow_partial) if has_summary else None
    record = open_run(run).record if (run / layout.RUN_FILE).is_file() else None
    otherwise = f" ({own})" if record and (own := sampled_otherwise(record.spec)) else ""
    return Entry(
        run=str(run),
        summary=summary and replace(summary, model=summary.model + otherwise),
        measures=measures and replace(measures, model=measures.model + otherwise),
        **(_circumstances(record) if record else {}),
    )


def sampled_otherwise(spec: RunSpec) -> str:
    """How a checkpoint was sampled where that is not its own way, so that two runs of it have two names.

    A negative prompt can be long: that there is one is said, not what it says.
    """
    numbers = {"guidance": spec.guidance, "eta": spec.eta, "warp": spec.warp}
    words = {"s": spec.s_schedule, "noise": spec.noise_rule, "guidance norm": spec.guidance_norm}
    said = [f"{name} {value:g}" for name, value in numbers.items() if value is not None]
    said += [f"{name} {value}" for name, value in words.items() if value is not None]
    return ", ".join([*said, *(["negative prompt"] if spec.negative_prompt else [])])


def hardware_of(record: RunRecord) -> str:
    """What drew a run's images, in a few words; empty where somebody else made them.

    A device that is no GPU with a name of its own is told with its threads, which decide how fast it is.
    """
    device = record.generator.get("device")
    threads = record.generator.get("threads")
    if not device:
        return ""
    if device != "cpu" or not threads:
        return str(device)
    return f"cpu ({threads} thread{'' if threads == 1 else 's'})"


def prompts_of(suite: str) -> str:
    """Whether a suite of this name has the official wording.

    >>> prompts_of("geneval"), prompts_of("geneval[rewritten]")
    ('original', 'rewritten')
    """
    return "rewritten" if is_rewritten(suite) else "original"


def _circumstances(record: RunRecord) -> dict[str, Any]:
    """What run.json adds to the numbers, which can be shown without it."""
    preset = PRESETS.get(record.spec.adapter or "")
    return {
        "hardware": hardware_of(record),
        "libraries": libraries_of(record.attempts),
        "printed_as": preset.published if preset else None,
    }
