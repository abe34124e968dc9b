from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.geneval import suite_of
from selfe_eval.pipeline.opening import planned_run, run_folder, see_writable
from selfe_eval.pipeline.stopping import stopping_well
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.runs.run import Run, RunRecord, open_run
from selfe_eval.suites.registry import load_suite
from tests.fakes import small_record, small_suite

RECORD = small_record(small_suite())
OPENMOJI = load_suite("openmoji")
OPENMOJI_RECORD = small_record(OPENMOJI, limit=60)


def test_another_judge_has_another_default_folder() -> None:
    """Runs that differ in the judge's files or arithmetic alone do not share a folder; --out decides where given."""
    plain = small_record(small_suite())
    halved = replace(plain, judge=JudgeOptions(color_mode="reference"))
    own = replace(plain, judge=JudgeOptions(detector_weights="mine.pth"))
    assert len({run_folder(record, None) for record in (plain, halved, own)}) == 3
    assert run_folder(plain, None).name == plain.spec.folder_name()
    assert run_folder(own, Path("here")) == Path("here")


def test_looking_leaves_no_folder_behind(tmp_path: Path) -> None:
    """A folder that was made only to see that it can be written is gone; one that was there stays."""
    see_writable(tmp_path / "new", RECORD)
    (tmp_path / "old").mkdir()
    see_writable(tmp_path / "old", RECORD)

    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_refused_folder_is_left_as_it_was(tmp_path: Path) -> None:
    """A folder of other files is refused, and nothing is left in it."""
    (tmp_path / "00000").mkdir()
    see_writable(tmp_path, RECORD)
    with pytest.raises(UsageError, match="holds no run"), planned_run(tmp_path, RECORD):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["00000"]


def test_looking_never_removes_what_another_process_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the same command began elsewhere between two looks, its run stays."""
    usage = shutil.disk_usage(tmp_path)

    def meanwhile(folder: Path) -> object:
        (folder / "run.json").touch()
        return usage

    monkeypatch.setattr(shutil, "disk_usage", meanwhile)
    see_writable(tmp_path / "run", RECORD)

    assert (tmp_path / "run" / "run.json").exists()


def test_another_process_at_work_is_seen(tmp_path: Path) -> None:
    """A folder in use is refused before anything slow is loaded, and its run stays."""
    with planned_run(tmp_path / "run", RECORD), pytest.raises(UsageError, match="Another process"):
        see_writable(tmp_path / "run", RECORD)
    assert open_run(tmp_path / "run").spec == RECORD.spec


def test_a_file_error_without_a_number_is_told_in_its_own_words(tmp_path: Path) -> None:
    """The reason is the sentence of the library that failed, never 'Success', though run.json is gone too."""
    run = Run(folder=tmp_path, record=RECORD)
    with pytest.raises(UntrustworthyError, match="encoder error -2"):  # noqa: SIM117 - the order matters
        with stopping_well(run):
            raise OSError("encoder error -2")


@pytest.mark.parametrize(
    "edited",
    [
        replace(OPENMOJI_RECORD, partial=False),
        replace(OPENMOJI_RECORD, prompt_ids=OPENMOJI_RECORD.prompt_ids[1:]),
        replace(OPENMOJI_RECORD, prompt_ids=(*OPENMOJI_RECORD.prompt_ids, 9999)),
    ],
    ids=["stamp removed", "prompt left out", "prompt invented"],
)
def test_a_run_that_hides_its_prompts_is_not_believed(tmp_path: Path, edited: RunRecord) -> None:
    """prompt_ids and the partial stamp must follow from the spec, or no stage goes on."""
    assert suite_of(Run(folder=tmp_path, record=OPENMOJI_RECORD)) is OPENMOJI
    with pytest.raises(UntrustworthyError, match="does not cover the 60 prompts"):
        suite_of(Run(folder=tmp_path, record=edited))
