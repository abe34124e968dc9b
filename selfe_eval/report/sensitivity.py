"""How much a score owes to the detector's two thresholds: the same images at other ones.

The verdicts at other thresholds come with the outcomes; here they become scores. One curve moves the threshold of
every task but counting, the other the threshold of counting; what a curve does not move stays as it was judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfe_eval.records import Prompt
from selfe_eval.report.outcomes import ImageOutcome, outcome_panel
from selfe_eval.stats.panel import Panel, macro_moments


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdScore:
    """What the score at one step count would be at one other threshold, over the same scored images."""

    threshold: float
    """Objects must score more than this."""
    overall: float | None
    """Mean over tasks of the mean over images; None where a planned task has no scored image."""
    tasks: Mapping[str, float | None]
    """The mean over images of each task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """The scores around the detector's own two thresholds, ascending; its own are among them."""

    confidence: tuple[ThresholdScore, ...]
    """By the threshold of every task but counting; empty where no image of these tasks is scored."""
    counting: tuple[ThresholdScore, ...]
    """By the threshold of the counting task; empty where no image of it is scored."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Sensitivity:
        """Read the object of ``summary.json``. Raises KeyError or TypeError where a field is missing or unknown."""
        return cls(
            confidence=tuple(ThresholdScore(**score) for score in document["confidence"]),
            counting=tuple(ThresholdScore(**score) for score in document["counting"]),
        )


def sensitivity(
    outcomes: Iterable[ImageOutcome], prompts: Sequence[Prompt], images_per_prompt: int
) -> Sensitivity | None:
    """The scores of one step count at other thresholds.

    Args:
        outcomes: What was scored at this step count.
        prompts: The planned prompts.
        images_per_prompt: Planned images of each prompt.

    Returns:
        None where no outcome knows its verdict at other thresholds.
    """
    tasks = {prompt.prompt_id: prompt.task for prompt in prompts}
    scored = [outcome for outcome in outcomes if outcome.correct is not None]
    counting = [outcome for outcome in scored if tasks[outcome.key.prompt_id] == "counting"]
    others = [outcome for outcome in scored if tasks[outcome.key.prompt_id] != "counting"]
    if not any(outcome.correct_at for outcome in scored):
        return None

    def curve(moved: Sequence[ImageOutcome], fixed: Sequence[ImageOutcome]) -> tuple[ThresholdScore, ...]:
        thresholds = sorted({threshold for outcome in moved for threshold in outcome.correct_at})
        columns = [_marks(moved, fixed, threshold) for threshold in thresholds]
        return _scores(thresholds, outcome_panel(columns, prompts, images_per_prompt))

    return Sensitivity(confidence=curve(others, counting), counting=curve(counting, others))


def _marks(
    moved: Iterable[ImageOutcome], fixed: Iterable[ImageOutcome], threshold: float
) -> dict[tuple[int, int], bool]:
    """(prompt_id, image_index) -> correct, where the images of ``moved`` are judged at another threshold."""
    marks = {(o.key.prompt_id, o.key.image_index): o.correct_at[threshold] for o in moved}
    return marks | {(o.key.prompt_id, o.key.image_index): bool(o.correct) for o in fixed}


def _scores(thresholds: Sequence[float], panel: Panel) -> tuple[ThresholdScore, ...]:
    overall = _values(panel)
    tasks = {name: _values(panel.task(name)) for name in panel.strata}
    return tuple(
        ThresholdScore(
            threshold=threshold,
            overall=overall[index],
            tasks={name: values[index] for name, values in tasks.items()},
        )
        for index, threshold in enumerate(thresholds)
    )


def _values(panel: Panel) -> list[float | None]:
    """The macro average of each column, None for all of them where a task has no scored image."""
    moments = macro_moments(panel)
    return [None] * panel.sums.shape[1] if moments is None else [float(value) for value in moments.values]
