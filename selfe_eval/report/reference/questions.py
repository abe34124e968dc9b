"""The answers to the questions of ``results/reference/QUESTIONS.md``, by the rule that was written down before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from selfe_eval.report import cells
from selfe_eval.report.experiment import TextTable
from selfe_eval.report.reference.results import (
    AGAINST_SELF_E,
    ComparedScore,
    Results,
    score_at,
    variant_scores,
)
from selfe_eval.report.reference.variants import difference_cell, is_shown

QUESTIONS = {
    "Q1": "self_e-later-s",
    "Q2": "self_e-noise",
    "Q3": "self_e-equal",
    "Q4": "self_e-meanflow",
    "Q6": "self_e-noise-eq16",
}
"""The questions that a variant answers -> its name. For Q5 see `grids`; Q7 is the bundled models'."""

DECIDING = (1, 2)
"""The step counts that decide."""
EVERYWHERE = (1, 2, 4, 8, 50)
"""A change becomes the default only where its estimate is above zero at each of these."""

Outcome = Literal["helps", "harms", "not shown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came out of one question."""

    question: str
    """A key of QUESTIONS."""
    variant: str
    """What was trained."""
    scores: tuple[ComparedScore, ...]
    """Against self_e, by ascending step count."""

    @property
    def outcome(self) -> Outcome:
        """By the two deciding step counts."""
        return outcome_of([score_at(self.scores, steps) for steps in DECIDING])

    @property
    def is_above_everywhere(self) -> bool:
        """Whether the estimate is above zero at every step count."""
        found = [score_at(self.scores, steps) for steps in EVERYWHERE]
        return all(score is not None and direction(score) > 0 for score in found)

    @property
    def becomes(self) -> str:
        """What is made of the change."""
        if self.outcome != "helps":
            return "an option, off"
        return "the default" if self.is_above_everywhere else "an option, off: not above zero everywhere"


def outcome_of(scores: Sequence[ComparedScore | None]) -> Outcome:
    """The registered rule: one difference above zero and shown, and none below zero and shown, or the reverse."""
    shown = {direction(score) for score in scores if score is not None and is_shown(score)}
    if shown == {1}:
        return "helps"
    return "harms" if shown == {-1} else "not shown"


def direction(score: ComparedScore) -> int:
    """Sign of a difference; 0 where there is none."""
    delta = score.against.delta if score.against else None
    return 0 if not delta else (1 if delta > 0 else -1)


def answers(results: Results) -> list[Answer]:
    """One for each question whose variant was trained and compared with self_e."""
    document = results.documents.get(AGAINST_SELF_E)
    if document is None or document["baseline"] != "self_e":
        return []
    scores = variant_scores(document)
    return [
        Answer(question=question, variant=variant, scores=scores[variant])
        for question, variant in QUESTIONS.items()
        if variant in scores
    ]


def answers_table(found: Sequence[Answer]) -> TextTable:
    """The deciding numbers, the outcome, and the differences that decide about the default."""
    others = [steps for steps in EVERYWHERE if steps not in DECIDING]
    return TextTable(
        title="GenEval minus self_e, percentage points, paired (* Holm-adjusted p below 0.05); 1 and 2 steps decide",
        headings=(
            "question",
            "variant",
            *(f"**{steps} step{'s' if steps > 1 else ''}**" for steps in DECIDING),
            "outcome",
            *(f"{steps} steps" for steps in others),
            "becomes",
        ),
        rows=tuple(
            (
                answer.question,
                answer.variant,
                *(_cell(answer, steps) for steps in DECIDING),
                f"**{answer.outcome}**",
                *(_cell(answer, steps) for steps in others),
                answer.becomes,
            )
            for answer in found
        ),
    )


def _cell(answer: Answer, steps: int) -> str:
    score = score_at(answer.scores, steps)
    if score is None:
        return cells.DASH
    p = "" if score.p_adjusted is None or steps not in DECIDING else f" (p {p_text(score.p_adjusted)})"
    return difference_cell(score) + p


def p_text(p: float) -> str:
    """A p-value with two digits.

    >>> p_text(0.04321), p_text(3.2e-9), p_text(1.0)
    ('0.043', '< 0.0001', '1')
    """
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"
