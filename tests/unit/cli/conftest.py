from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from selfe_eval.records import ImageKey
from selfe_eval.report.outcomes import ImageOutcome
from selfe_eval.report.summary import summarise, summary_bytes
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write_json
from selfe_eval.runs.journal import append_records
from selfe_eval.runs.run import RunRecord
from selfe_eval.runs.scores import ScoreRecord
from selfe_eval.runs.spec import RunSpec
from selfe_eval.suites.registry import load_suite

FinishedRun = Callable[..., Path]


@pytest.fixture
def finished_run(tmp_path: Path) -> FinishedRun:
    """Writes a scored run folder: (folder name, curve by step count) -> its path."""

    def write(
        name: str,
        curve: Mapping[int, float],
        *,
        seed: int = 0,
        limit: int | None = None,
        weights: str = "7",
        images: int = 1,
    ) -> Path:
        suite = load_suite("openmoji")
        prompt_ids = tuple(prompt.prompt_id for prompt in suite.prompts)[:limit]
        spec = RunSpec(
            suite=suite.name,
            suite_sha256=suite.sha256,
            source="checkpoint",
            model=name,
            checkpoint_sha256={},
            steps=tuple(curve),
            images_per_prompt=images,
            limit=limit,
            detector="openmoji",
            batch_size=64,
        )
        record = RunRecord(spec=spec, prompt_ids=prompt_ids, partial=limit is not None, status="complete")
        rng = np.random.default_rng(seed)
        keys = [
            ImageKey(steps=steps, prompt_id=i, image_index=index)
            for steps in curve
            for i in prompt_ids
            for index in range(images)
        ]
        correct = {key: bool(rng.random() < curve[key.steps]) for key in keys}
        folder = tmp_path / name
        (folder / layout.SCORES_FOLDER).mkdir(parents=True)
        atomic_write_json(folder / layout.RUN_FILE, record.as_json())
        append_records(
            layout.scores_path(folder, "geneval"),
            [
                ScoreRecord(key=k, correct=c, reason="", image_sha256=None, scorer="s").as_json()
                for k, c in correct.items()
            ],
        )
        outcomes = {key: ImageOutcome(key=key, correct=correct[key], reason="") for key in keys}
        summary = summarise(record, suite, outcomes, seconds={}, scorer={"sha256": weights})
        (folder / layout.SUMMARY_FILE).write_bytes(summary_bytes(summary))
        return folder

    return write
