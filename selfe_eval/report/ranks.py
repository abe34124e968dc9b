"""Ranks with ties: at each step count, models that share a letter are not shown to differ.

"Not shown to differ" is no equality: B may be tied with A and with C while A is better than C. Places (1, 2, 3)
would put B on one side of a line that the data do not draw, so ranks are a compact letter display (Piepho, J. Comp.
Graph. Stat. 13, 2004): two models share a letter exactly where no difference is shown, and the best has an "a".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from selfe_eval.report.comparison import metric_comparison, unlike_metric, unlike_runs
from selfe_eval.report.entry import Entry, Scored, measured_alike
from selfe_eval.report.evidence import RunEvidence
from selfe_eval.report.run_evidence import scored_evidence
from selfe_eval.report.scored_run import read_scored_run
from selfe_eval.report.summary import METRIC
from selfe_eval.runs import layout
from selfe_eval.stats.drawdown import ALPHA
from selfe_eval.stats.paired import holm
from selfe_eval.suites.registry import load_suite
from selfe_eval.suites.rewritten import base_name

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"

NO_SCORES = "only the summary is here, not the single scores, and models are compared image by image"
"""Why a run is not ranked."""


EvidenceOf = Callable[[Entry], RunEvidence | None]
"""What is known of each image of a run, or None where nothing is."""


def ranked(entries: Sequence[Entry], evidence_of: EvidenceOf | None = None) -> list[Entry]:
    """The same runs with ranks by GenEval, among those that were measured alike.

    A run alone, and a step count that one run alone has, has no rank; partial runs have none either.

    Args:
        entries: The runs.
        evidence_of: By default `evidence_on_disk`.

    Raises:
        UntrustworthyError: single scores are not those of their summary.
    """
    made = {
        id(entry): with_ranks
        for group in measured_alike(entries)
        if len(group) > 1 and not group[0][1].partial
        for (entry, _), with_ranks in zip(group, _ranked(group, evidence_of or evidence_on_disk), strict=True)
    }
    return [made.get(id(entry), entry) for entry in entries]


def evidence_on_disk(entry: Entry) -> RunEvidence | None:
    """GenEval's single scores of a run folder, or None where they are not kept.

    Raises:
        UntrustworthyError: they are not those of the summary.
    """
    folder = Path(entry.run)
    if not layout.scores_path(folder, METRIC).is_file():
        return None
    scored = read_scored_run(folder)
    return scored_evidence(scored, load_suite(base_name(scored.summary.suite)))


def _ranked(group: Sequence[Scored], evidence_of: EvidenceOf) -> list[Entry]:
    """The runs of one table with their letters."""
    evidence = [evidence_of(entry) for entry, _ in group]
    ranks: list[dict[int, str]] = [{} for _ in group]
    p_values = {
        (i, j): _p_values(one, other)
        for (i, one), (j, other) in combinations(enumerate(evidence), 2)
        if one is not None and other is not None
    }
    for steps in sorted({row.steps for _, summary in group for row in summary.rows}):
        values = {
            number: row.overall.value
            for number, (_, summary) in enumerate(group)
            for row in summary.rows
            if evidence[number] is not None and row.steps == steps and row.overall.value is not None
        }
        at_steps = {pair: by_steps[steps] for pair, by_steps in p_values.items() if steps in by_steps}
        for number, letters in _letters(values, at_steps).items():
            ranks[number][steps] = letters
    return [
        replace(entry, ranks=own, unranked=NO_SCORES if found is None else "")
        for (entry, _), own, found in zip(group, ranks, evidence, strict=True)
    ]


def _p_values(a: RunEvidence, b: RunEvidence) -> dict[int, float]:
    """Step count -> p of "no difference" between two runs; empty where that cannot be asked."""
    (metric,) = a.metrics
    if unlike_runs(a, b) or unlike_metric(a, b, metric):
        return {}
    rows = metric_comparison(a, b, metric).rows
    return {row.steps: p for row in rows if (p := row.overall.p) is not None}


def _letters(values: Mapping[int, float], p_values: Mapping[tuple[int, int], float]) -> dict[int, str]:
    """Run -> letters at one step count; none where there is only one run."""
    if len(values) < 2:
        return {}
    runs = list(values)
    shown = {pair for pair, p in zip(p_values, holm(list(p_values.values())), strict=True) if p < ALPHA}
    letters = letter_display(list(values.values()), lambda i, j: (runs[i], runs[j]) in shown)
    return dict(zip(runs, letters, strict=True))


def letter_display(values: Sequence[float], differ: Callable[[int, int], bool]) -> tuple[str, ...]:
    """Letters such that two models share one exactly where they do not differ.

    Args:
        values: The score of each model, higher is better: a group that reaches further up gets the earlier letter.
        differ: Whether models i < j are shown to differ.

    Returns:
        The letters of each model, in alphabetical order.

    >>> letter_display([0.3, 0.2, 0.1], lambda i, j: (i, j) == (0, 2))
    ('a', 'ab', 'b')
    """
    order = sorted(range(len(values)), key=lambda model: -values[model])
    place = {model: position for position, model in enumerate(order)}
    groups = sorted(
        tie_groups(len(values), differ), key=lambda group: sorted(place[model] for model in group)
    )
    letters = [_letter(number) for number in range(len(groups))]
    return tuple(
        "".join(letter for letter, group in zip(letters, groups, strict=True) if model in group)
        for model in range(len(values))
    )


def tie_groups(count: int, differ: Callable[[int, int], bool]) -> list[frozenset[int]]:
    """The largest sets of models of which no two differ: from one set of all, split at each pair that differs.

    >>> sorted(map(sorted, tie_groups(3, lambda i, j: (i, j) == (0, 2))))
    [[0, 1], [1, 2]]
    """
    groups = {frozenset(range(count))}
    for pair in combinations(range(count), 2):
        if differ(*pair):
            split = {group - {one} if group.issuperset(pair) else group for group in groups for one in pair}
            groups = {group for group in split if not any(group < other for other in split)}
    return list(groups)


def _letter(number: int) -> str:
    """Small letters, then capitals, then both with a number."""
    letters = _ALPHABET + _ALPHABET.upper()
    round_, place = divmod(number, len(letters))
    return f"{letters[place]}{round_ or ''}"
