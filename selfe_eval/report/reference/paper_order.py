"""Are our variants in the order of the paper's? Only the order can be compared: the scales are different ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from selfe_eval.report import cells
from selfe_eval.report.experiment import TextTable
from selfe_eval.report.published_ablations import PublishedAblation
from selfe_eval.report.reference.results import ComparedScore, score_at
from selfe_eval.report.reference.variants import difference_cell, is_shown, step_headings

COUNTERPARTS = {
    "Flow Matching 0.5B": ("flow_matching",),
    "IMM 0.5B": ("imm",),
    "Self-E 0.5B": ("self_e",),
    "Self-E 0.5B, no target normalisation": ("self_e-convex", "self_e-eq16"),
    "Self-E 0.5B, auxiliary term from the start": ("self_e-aux",),
}
"""The paper's row -> our variants of it; the paper's row without normalisation may be either of two."""

Scores = Mapping[str, tuple[ComparedScore, ...]]
Agreement = Literal["agrees", "contradicts", "not shown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two variants that the paper compares too, at one step count: first minus second."""

    first: str
    """Variant."""
    second: str
    """Variant: the baseline of a document."""
    steps: int
    """Number of sampling steps."""
    paper: float
    """Difference of the two printed shares."""
    here: ComparedScore
    """The score of the first one, with the paired difference to the second."""

    @property
    def agreement(self) -> Agreement:
        """Whether our difference is shown, and has the sign of the paper's."""
        delta = self.here.against.delta if self.here.against else None
        if delta is None or not is_shown(self.here):
            return "not shown"
        return "agrees" if delta * self.paper > 0 else "contradicts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The variants of one of the paper's trainings at one step count."""

    iterations: int
    """Of the paper's training."""
    steps: int
    """Number of sampling steps."""
    paper: Mapping[str, float]
    """Variant -> printed share, best first."""
    here: Mapping[str, float]
    """The same variants -> our share, best first."""

    @property
    def concordant(self) -> tuple[int, int]:
        """How many pairs with different numbers in the paper have the same order here, of how many."""
        pairs = [(a, b) for a, b in combinations(self.paper, 2) if self.paper[a] != self.paper[b]]
        same = [(self.paper[a] - self.paper[b]) * (self.here[a] - self.here[b]) > 0 for a, b in pairs]
        return sum(same), len(pairs)


def orders(published: Sequence[PublishedAblation], scores: Scores) -> list[Order]:
    """The order in the paper and here, for each of its trainings and step counts that has two of our variants or more."""
    found = []
    for iterations in sorted({row.iterations for row in published}, reverse=True):
        rows = {name: row.overall for name, row in _counterparts(published, iterations).items()}
        for steps in sorted({count for overall in rows.values() for count in overall}):
            paper = {name: overall[steps] for name, overall in rows.items() if steps in overall}
            own = {name: score_at(scores.get(name, ()), steps) for name in paper}
            here = {
                n: score.overall.value
                for n, score in own.items()
                if score and score.overall.value is not None
            }
            if len(here) > 1:
                paper = {name: value for name, value in paper.items() if name in here}
                found.append(
                    Order(
                        iterations=iterations, steps=steps, paper=_best_first(paper), here=_best_first(here)
                    )
                )
    return found


def pairs(published: Sequence[PublishedAblation], documents: Mapping[str, Scores]) -> list[Pair]:
    """Every comparison with a baseline that the paper's rows allow as well.

    Args:
        published: The paper's rows.
        documents: Baseline -> the scores of all variants, with differences to it. Of two documents that hold a
            comparison the first is taken.
    """
    found: dict[tuple[str, str, int], Pair] = {}
    for iterations in sorted({row.iterations for row in published}, reverse=True):
        rows = _counterparts(published, iterations)
        for baseline, scores in documents.items():
            for name in rows if baseline in rows else ():
                for score in scores.get(name, ()):
                    shares = rows[name].overall.get(score.steps), rows[baseline].overall.get(score.steps)
                    is_known = (baseline, name, score.steps) in found
                    if name == baseline or is_known or shares[0] is None or shares[1] is None:
                        continue
                    found[name, baseline, score.steps] = Pair(
                        first=name,
                        second=baseline,
                        steps=score.steps,
                        paper=shares[0] - shares[1],
                        here=score,
                    )
    return list(found.values())


def orders_table(found: Sequence[Order]) -> TextTable:
    """Best first, with the scores."""
    return TextTable(
        title="Order of the variants that the paper has too, best first (per cent; only the order is comparable)",
        headings=("paper's training", "steps", "in the paper †", "here", "pairs in the same order"),
        rows=tuple(
            (
                f"{order.iterations // 1000}k",
                str(order.steps),
                _listed(order.paper),
                _listed(order.here),
                f"{order.concordant[0]} of {order.concordant[1]}",
            )
            for order in found
        ),
    )


def pairs_table(found: Sequence[Pair]) -> TextTable:
    """A row for each two variants: the paper's difference, ours, and whether ours agrees."""
    steps = sorted({pair.steps for pair in found})
    rows: dict[tuple[str, str], dict[int, str]] = {}
    for pair in found:
        text = f"{100 * pair.paper:+.1f} †; {difference_cell(pair.here)}: {pair.agreement}"
        rows.setdefault((pair.first, pair.second), {})[pair.steps] = text
    return TextTable(
        title="The paper's difference †, ours (* shown after Holm over its table), and whether ours agrees",
        headings=("difference", *step_headings(steps)),
        rows=tuple(
            (f"{first} minus {second}", *(own.get(count, cells.DASH) for count in steps))
            for (first, second), own in rows.items()
        ),
    )


def agreement_sentence(found: Sequence[Pair]) -> str:
    """How many of the comparisons agree."""
    words = [pair.agreement for pair in found]
    return (
        f"Of {len(found)} comparisons that the paper prints too, {words.count('agrees')} agree in direction and are shown here, "
        f"{words.count('contradicts')} are shown here in the other direction, and {words.count('not shown')} are not shown here."
    )


def _counterparts(published: Sequence[PublishedAblation], iterations: int) -> dict[str, PublishedAblation]:
    return {
        name: row
        for row in published
        if row.iterations == iterations
        for name in COUNTERPARTS.get(row.model, ())
    }


def _best_first(shares: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _listed(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {cells.percent(share)}" for name, share in shares.items())
