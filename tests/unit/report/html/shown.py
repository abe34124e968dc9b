"""Runs as a page shows them, made from simulated outcomes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from selfe_eval.records import ImageKey, Prompt, Suite
from selfe_eval.report.contact_sheet import Mark
from selfe_eval.report.entry import Entry
from selfe_eval.report.html.content import ShownImage, ShownRun
from selfe_eval.report.html.thumbnails import REDUCTIONS, thumbnail
from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.outcomes import ImageOutcome
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.runs.run import RunRecord
from selfe_eval.runs.spec import RunSpec

IDS = tuple(range(0, 240, 20))
"""Two prompts of each task."""

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"

MARKS = (
    Mark(class_name="cat", score=0.25, color=None, box=(1.0, 2.0, 3.0, 4.0), counts=False),
    Mark(class_name="dog", score=0.91234, color="red", box=(0.0, 0.0, 4.04, 8.0), counts=True),
)


def shown_run(
    suite: Suite, run: ScoredRun, *, measures: MeasureSet | None = None, folder: str = "results/runs/a"
) -> ShownRun:
    """The last image has no picture; every image has another shade of grey."""
    summary = run.summary
    spec = RunSpec(
        suite=suite.name,
        suite_sha256=suite.sha256,
        source="checkpoint",
        model=summary.model,
        checkpoint_sha256={"model.safetensors": "1" * 64},
        steps=tuple(row.steps for row in summary.rows),
        images_per_prompt=summary.images_per_prompt,
        detector="openmoji",
        batch_size=64,
    )
    attempt = {"started_at": "2026-11-23T00:00:00+00:00", "argv": ["selfe-eval", "sweep", "--out", "a b"]}
    record = RunRecord(
        spec=spec, prompt_ids=tuple(sorted(run.prompt_ids)), partial=summary.partial, attempts=(attempt,)
    )
    return ShownRun(
        entry=Entry(run=folder, summary=summary, measures=measures),
        record=record,
        suite=suite,
        scorer={"detector": "openmoji", "thresholds": {"confidence": 0.3}},
        images=tuple(
            _shown(number, outcome, is_last=number == len(run.outcomes) - 1)
            for number, outcome in enumerate(run.outcomes.values())
        ),
        reduced="",
    )


def _shown(number: int, outcome: ImageOutcome, *, is_last: bool) -> ShownImage:
    pixels = np.full((8, 8, 3), number % 251, dtype=np.uint8)
    return ShownImage(
        key=ImageKey(
            steps=outcome.key.steps,
            prompt_id=outcome.key.prompt_id,
            image_index=outcome.key.image_index,
        ),
        thumbnail=None if is_last else thumbnail(pixels, REDUCTIONS[0]),
        fault="missing: its file is gone" if is_last else "",
        correct=outcome.correct,
        reason=outcome.reason,
        marks=MARKS,
    )


def evil(shown: ShownRun) -> ShownRun:
    """Prompts, model, folder, reasons, protocol and command line all try to be markup."""
    prompts = [
        Prompt(prompt_id=prompt.prompt_id, task=prompt.task, text=EVIL, include=prompt.include)
        for prompt in shown.suite.prompts
    ]
    summary = shown.entry.summary
    assert summary is not None
    return replace(
        shown,
        suite=replace(shown.suite, prompts=prompts),
        entry=replace(shown.entry, run=EVIL, summary=replace(summary, model=EVIL)),
        scorer={EVIL: EVIL},
        images=tuple(replace(image, reason=EVIL) for image in shown.images),
        record=replace(shown.record, attempts=({"argv": ["selfe-eval", EVIL]},)),
    )
