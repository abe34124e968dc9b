from __future__ import annotations

import csv
import io

import numpy as np
from PIL import Image

from selfe_eval.report.experiment import report_csv, report_markdown
from selfe_eval.report.picture_grid import picture_grid
from selfe_eval.report.probe import TITLES, ProbeConditions, ProbedCheckpoint, probe_report
from selfe_eval.stats.mean import mean_of

TIMES = (0.2, 0.8)


def checkpoint(label: str, values: list[float]) -> ProbedCheckpoint:
    mean = mean_of(np.array(values))
    return ProbedCheckpoint(
        label=label,
        reference=f"/runs/{label}",
        objective="self_e",
        train_steps=10,
        means={measure: dict.fromkeys(TIMES, mean) for measure in TITLES},
    )


def test_each_measure_has_a_table_with_a_row_for_each_checkpoint() -> None:
    """Checkpoints keep their order, columns are the times, and every cell has its interval."""
    conditions = ProbeConditions(teacher="flow-tiny", num_scenes=40, start=None, seed=0)
    report = probe_report([checkpoint(name, [0.1, 0.3] * 20) for name in ("early", "late")], conditions)
    lines = list(csv.DictReader(io.StringIO(report_csv(report))))

    assert [table.headings for table in report.tables] == [("checkpoint", "s 0.2", "s 0.8")] * 3
    assert [row[:2] for row in report.tables[0].rows] == [("early", "0.20 ±0.03"), ("late", "0.20 ±0.03")]
    assert len(lines) == 2 * 3 * 2
    assert {line["n"] for line in lines} == {"40"}


def test_few_scenes_and_lost_ones_are_said() -> None:
    """One scene gives no interval, few give a rough one, and a scene without an angle is counted."""
    conditions = ProbeConditions(teacher="flow-tiny", num_scenes=2, start=0.9, seed=0)
    report = probe_report([checkpoint("early", [0.5, float("nan")])], conditions)
    text = report_markdown(report)

    assert report.tables[0].rows[0][1] == "0.50 ±?*"
    assert "Fewer than 30 scenes" in text
    assert "no angle" in text
    assert "t = 0.9 for all" in text


def test_a_picture_grid_has_a_place_for_every_picture() -> None:
    """A red picture comes out red in its row and column."""
    red, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    red[..., 0] = 255
    grid = Image.open(
        io.BytesIO(picture_grid("title", ["a", "b"], [("one", [white, red]), ("two", [white, white])]))
    )

    count = {color: number for number, color in grid.getcolors(1 << 16) or ()}
    assert count[255, 0, 0] == 128 * 128
