from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.errors import UntrustworthyError
from selfe_eval.report.measures import MeasureSet, measures_bytes
from selfe_eval.report.measures_file import read_measures

MakeMeasures = Callable[..., MeasureSet]
Change = Callable[[dict[str, Any]], object]


def test_metrics_json_reads_back_as_it_was(swept: MeasureSet) -> None:
    """The document holds every field, and reading it gives the same numbers, verdicts and protocols."""
    document = json.loads(measures_bytes(swept))

    assert document["schema_version"] == 1
    assert MeasureSet.from_json(document) == swept
    assert [one["protocol_sha256"] for one in document["measures"]] == [
        one.protocol_sha256 for one in swept.measures
    ]


CHANGES: Mapping[str, Change] = {
    "other version": lambda d: d.update(schema_version=2),
    "no model": lambda d: d.pop("model"),
    "edited protocol": lambda d: d["measures"][0]["protocol"].update(scale=1.0),
    "unknown metric": lambda d: d["measures"][0].update(metric="niceness"),
    "unknown unit": lambda d: d["measures"][0].update(unit="euros"),
    "no verdict": lambda d: d["measures"][0].pop("verdict"),
    "garbled verdict": lambda d: d["measures"][0].update(verdict={"outcome": "monotone"}),
    "garbled row": lambda d: d["measures"][0]["rows"].append({}),
    "garbled estimate": lambda d: d["measures"][0]["rows"][0]["overall"].update(ci=[1]),
    "a list": lambda d: d.update(measures=[3]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_edited_document_is_refused(swept: MeasureSet, change: str) -> None:
    """What was edited, or written by another version, is refused with the command that writes it again."""
    document = json.loads(measures_bytes(swept))
    CHANGES[change](document)

    with pytest.raises(UntrustworthyError, match="selfe-eval summarise"):
        MeasureSet.from_json(document)


def test_a_run_without_the_file_has_no_measures(tmp_path: Path) -> None:
    """No file is no error: GenEval alone may have been measured."""
    assert read_measures(tmp_path) is None


@pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": NaN}'])
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    """Broken JSON, another shape and NaN are refused with the file's name and the command that repairs."""
    (tmp_path / "metrics.json").write_text(content)

    with pytest.raises(UntrustworthyError, match=r"metrics\.json is damaged.*selfe-eval summarise"):
        read_measures(tmp_path)


def test_partial_runs_are_barred_unless_asked_for(tmp_path: Path, make_measures: MakeMeasures) -> None:
    """A partial run is refused; with allow_partial it is read, stamp and all."""
    partial = make_measures(clip={4: 20.0}, prompt_ids=tuple(range(60)))
    (tmp_path / "metrics.json").write_bytes(measures_bytes(partial))

    with pytest.raises(UntrustworthyError, match="--allow-partial"):
        read_measures(tmp_path)
    assert read_measures(tmp_path, allow_partial=True) == partial
