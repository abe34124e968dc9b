"""The metrics of runs as GitHub markdown: a sweep of one run, and a leaderboard of several with all their metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selfe_eval.report.entry import Entry
from selfe_eval.report.experiment import report_markdown
from selfe_eval.report.leaderboard import PARTIAL_NOTE
from selfe_eval.report.markdown import leaderboard_markdown, markdown_table, markdown_text
from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.measures_board import board_notes, boards
from selfe_eval.report.measures_text import Column, sweep_text
from selfe_eval.report.published import PublishedRow
from selfe_eval.report.published_ablations import PublishedAblation, ablations_report
from selfe_eval.report.sentences import Claim, claim_sentence, claim_word
from selfe_eval.report.summary import Summary


def sweep_markdown(
    summary: Summary | None, measures: MeasureSet | None, not_measured: Mapping[str, str]
) -> str:
    """A run's metrics over its step counts, a verdict for each metric, and what the numbers are.

    Args:
        summary: GenEval's numbers; None where it was not measured.
        measures: Those of the other metrics; None where there are none. One of both is there.
        not_measured: Metric -> why it was left out.
    """
    sweep = sweep_text(summary, measures, not_measured)
    tables = [_table((*sweep.lead, *block)) for block in (sweep.quality, sweep.diversity) if block]
    stamp = [f"**{PARTIAL_NOTE}**"] if sweep.is_partial else []
    return _joined(
        [*stamp, f"**{markdown_text(sweep.title)}**", *tables, _verdicts(sweep.claims), _list(sweep.notes)]
    )


def entries_markdown(
    entries: Sequence[Entry], published: Sequence[PublishedRow], ablations: Sequence[PublishedAblation]
) -> str:
    """GenEval's leaderboard, then a table for each other metric and protocol, then the printed ablations."""
    measures = [entry.measures for entry in entries if entry.measures]
    has_geneval = any(entry.summary for entry in entries)
    geneval = leaderboard_markdown(entries, published) if has_geneval else ""
    printed = report_markdown(ablations_report(ablations)) if ablations else ""
    return "\n".join(filter(None, (geneval, measures_markdown(measures), printed)))


def measures_markdown(entries: Sequence[MeasureSet]) -> str:
    """A table of models and step counts for each metric and each set of runs that were measured alike."""
    found = boards(entries)
    blocks: list[str] = []
    for place, board in enumerate(found):
        if board.is_partial and not (place and found[place - 1].is_partial):
            blocks.append(f"**{PARTIAL_NOTE}**")
        blocks += [
            f"**{markdown_text(board.title)}**",
            _table((board.models, *board.steps)),
            _verdicts(board.claims),
        ]
    blocks.append(_list(board_notes(found)))
    return _joined(blocks)


def _joined(blocks: Sequence[str]) -> str:
    text = "\n\n".join(filter(None, blocks))
    return f"{text}\n" if text else ""


def _table(columns: Sequence[Column]) -> str:
    rows = list(zip(*(column.cells for column in columns), strict=True))
    return markdown_table([column.heading for column in columns], rows)


def _verdicts(claims: Sequence[tuple[str, Claim]]) -> str:
    return _list(
        [
            f"{markdown_text(title)}: **{claim_word(claim)}**: {claim_sentence(claim)}"
            for title, claim in claims
        ]
    )


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
