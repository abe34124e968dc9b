from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.experiment import planned_experiment
from selfe_eval.runs import layout

PLAN = {"experiment": "test", "steps": [1, 2], "limit": None}


def test_the_plan_is_there_before_anything_else(tmp_path: Path) -> None:
    """Inside, the plan can be read whole, and the folder was made."""
    with planned_experiment(tmp_path / "new" / "folder", "plan.json", PLAN):
        assert json.loads((tmp_path / "new" / "folder" / "plan.json").read_text()) == PLAN


def test_the_same_plan_goes_on_and_another_is_refused_entry_by_entry(tmp_path: Path) -> None:
    """An equal plan opens the folder again, whatever lies in it; a different one names what differs and changes nothing."""
    with planned_experiment(tmp_path, "plan.json", PLAN):
        (tmp_path / "work").touch()
    with planned_experiment(tmp_path, "plan.json", PLAN):
        pass
    with (
        pytest.raises(UsageError, match=r"limit: None, now 6; steps: \[1, 2\], now \[1\]"),
        planned_experiment(tmp_path, "plan.json", {**PLAN, "limit": 6, "steps": [1]}),
    ):
        pass

    assert json.loads((tmp_path / "plan.json").read_text()) == PLAN


def test_what_a_folder_takes_may_be_there_before_the_plan(tmp_path: Path) -> None:
    """A folder that was put there to be used is no stranger; anything else still is."""
    (tmp_path / "training").mkdir()
    (tmp_path / "photos").mkdir()
    with (
        pytest.raises(UsageError, match=r"found photos\)"),
        planned_experiment(tmp_path, "plan.json", PLAN, takes=("training",)),
    ):
        pass
    (tmp_path / "photos").rmdir()
    with planned_experiment(tmp_path, "plan.json", PLAN, takes=("training",)):
        assert json.loads((tmp_path / "plan.json").read_text()) == PLAN


def test_an_entry_that_grows_keeps_what_a_plan_leaves_out(tmp_path: Path) -> None:
    """Items are added, and stay when a later plan names fewer; a changed item, or anything else, is refused."""

    def planned(items: dict[str, str], **changes: Any) -> dict[str, Any]:
        plan = {**PLAN, "items": items, **changes}
        with planned_experiment(tmp_path, "plan.json", plan, growing="items"):
            found: dict[str, Any] = json.loads((tmp_path / "plan.json").read_text())
        return found

    assert planned({"a": "1"})["items"] == {"a": "1"}
    assert planned({"b": "2"})["items"] == {"a": "1", "b": "2"}
    both = planned({"a": "1"})
    assert both == {**PLAN, "items": {"a": "1", "b": "2"}}
    with pytest.raises(UsageError, match=r"It differs in limit: None, now 6; a: '1', now '3'\. Repeat"):
        planned({"a": "3", "c": "4"}, limit=6)
    assert json.loads((tmp_path / "plan.json").read_text()) == both

    (tmp_path / "plan.json").write_text(json.dumps({**PLAN, "items": [1]}))
    with pytest.raises(UntrustworthyError, match="its items are a list"):
        planned({"a": "1"})


@pytest.mark.parametrize("work", [[], ["work"]], ids=["nothing", "something"])
def test_a_command_refused_inside_leaves_its_folder_to_a_corrected_one(
    work: list[str], tmp_path: Path
) -> None:
    """A new plan of which nothing came is withdrawn; one of which something came stays."""

    def refused() -> None:
        with planned_experiment(tmp_path, "plan.json", PLAN):
            for name in work:
                (tmp_path / name).touch()
            raise UsageError("no such teacher")

    with pytest.raises(UsageError, match="no such teacher"):
        refused()

    assert (tmp_path / "plan.json").exists() is bool(work)


def test_a_damaged_plan_is_not_guessed_at(tmp_path: Path) -> None:
    """A plan that is cut short, or is no object, is an error of trust."""
    for content in ('{"experiment"', "[1]"):
        (tmp_path / "plan.json").write_text(content)
        with (
            pytest.raises(UntrustworthyError, match="damaged"),
            planned_experiment(tmp_path, "plan.json", PLAN),
        ):
            pass


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    """While one holds the folder, another is sent away."""
    with (
        planned_experiment(tmp_path, "plan.json", PLAN),
        pytest.raises(UsageError, match="Another process"),
        planned_experiment(tmp_path, "plan.json", PLAN),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    """Where a file stands in the way of the folder, that is said before anything is computed."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match="cannot be written"),
        planned_experiment(tmp_path / "file" / "below", "plan.json", PLAN),
    ):
        pass


def test_other_peoples_files_are_left_as_they_were(tmp_path: Path) -> None:
    """A folder with files and no plan is refused, and no lock stays behind."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="not empty"), planned_experiment(tmp_path, "plan.json", PLAN):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert not (tmp_path / layout.LOCK_FILE).exists()
