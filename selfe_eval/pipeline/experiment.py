"""What `ablate` and `schedules` share: a folder whose plan is written first, and ordinary run folders inside it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.geneval import refuse_incomplete
from selfe_eval.pipeline.instruments import Instruments
from selfe_eval.pipeline.jobs import CheckpointJob
from selfe_eval.pipeline.measure import Measurements, measure
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.own_prompts import write_prompts
from selfe_eval.pipeline.progress import Progress
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write_json
from selfe_eval.runs.run import lock_folder

RUNS_FOLDER = "runs"
"""Where an experiment keeps its run folders: `leaderboard DIR/runs/*` shows them all."""


@contextlib.contextmanager
def planned_experiment(
    folder: Path,
    plan_file: str,
    plan: Mapping[str, Any],
    *,
    growing: str | None = None,
    takes: tuple[str, ...] = (),
) -> Iterator[None]:
    """Hold the folder of an experiment: its plan is written before anything is computed, or found to be this one.

    Args:
        folder: Made if missing.
        plan_file: Name of the plan in it.
        plan: Everything that decides the result; JSON types only.
        growing: Name of an entry of the plan, an object, to which each plan may add items; the others stay in the file.
        takes: Names of what may have been put into the folder before its first plan.

    Raises:
        UsageError: the folder cannot be written, is in use, or holds another plan or something else.
        UntrustworthyError: the plan that lies there is damaged.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; expected a folder (it is made if it is not there).")
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            was_locked_before = (folder / layout.LOCK_FILE).exists()
            stack.enter_context(lock_folder(folder))
            try:
                is_new = _write_or_compare(folder, plan_file, plan, growing, takes)
            except UsageError:
                if not was_locked_before:
                    (folder / layout.LOCK_FILE).unlink()  # somebody else's folder is left as it was
                raise
        except OSError as error:
            raise UsageError(
                f"The output folder {folder} cannot be written: {error.strerror or error}. Nothing was computed. Make room "
                "or change its permissions, or choose another folder with --out."
            ) from error
        try:
            yield
        except UsageError:
            if is_new and _strangers(folder, takes) == [plan_file]:
                (folder / plan_file).unlink()  # nothing came of it: the folder takes a corrected command
            raise


def measure_checkpoint(
    job: CheckpointJob, folder: Path, instruments: Instruments, progress: Progress
) -> Measurements:
    """Draw and measure what is missing of a checkpoint's run in a folder of its own.

    Raises:
        UntrustworthyError: planned images are left without a score.
    """
    record = job.record()
    record = replace(record, measures=replace(record.measures, metrics=instruments.metrics))
    with planned_run(folder, record) as run:
        write_prompts(run, job.suite)
        made = measure(run, instruments, progress)
    if made.summary is not None:
        refuse_incomplete(made.run, made.summary)
    return made


def _write_or_compare(
    folder: Path, plan_file: str, plan: Mapping[str, Any], growing: str | None, takes: tuple[str, ...]
) -> bool:
    """Whether the plan is written for the first time."""
    path = folder / plan_file
    if path.exists():
        _go_on_with(path, json.loads(json.dumps(plan)), growing)
        return False
    strangers = _strangers(folder, takes)
    if strangers:
        raise UsageError(
            f"{folder} is not empty and holds no {plan_file} (found {', '.join(strangers[:3])}). Results are never mixed "
            "with other files: give --out a new or empty folder."
        )
    atomic_write_json(path, plan)
    return True


def _go_on_with(path: Path, now: dict[str, Any], growing: str | None) -> None:
    """Add the items that are new to the plan that lies there, which is the same otherwise."""
    mine = _read_plan(path)
    items, new = (_taken_out(plan, growing, path) for plan in (mine, now))
    common = items.keys() & new.keys()
    differences = [
        *_differences(mine, now),
        *_differences(*({name: plan[name] for name in common} for plan in (items, new))),
    ]
    if differences:
        raise UsageError(
            f"{path.parent} holds an experiment with other settings, and one folder never mixes two. It differs in "
            f"{'; '.join(differences)}. Repeat the first command to go on with it, or choose another folder with --out."
        )
    if growing is not None and new.keys() > common:
        atomic_write_json(path, {**mine, growing: {**items, **new}})


def _taken_out(plan: dict[str, Any], name: str | None, path: Path) -> dict[str, Any]:
    """The items of an entry, which is no more in the plan then."""
    items = plan.pop(name, {}) if name is not None else {}
    if not isinstance(items, dict):
        raise _damaged(path, f"its {name} are a {type(items).__name__}")
    return items


def _strangers(folder: Path, takes: tuple[str, ...]) -> list[str]:
    """What lies in a folder beside the lock and what it takes."""
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in {layout.LOCK_FILE, *takes})


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        plan = json.loads(path.read_bytes())
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(plan, dict):
        raise _damaged(path, f"found a {type(plan).__name__}")
    return plan


def _damaged(path: Path, why: str) -> UntrustworthyError:
    return UntrustworthyError(
        f"{path} is damaged: expected a JSON object, but {why}. It is written atomically, so something else changed it. "
        "Restore it, or choose another folder with --out."
    )


def _differences(mine: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One phrase for each entry that differs: ``entry: mine, now other``."""
    return [
        f"{name}: {mine.get(name)!r}, now {now.get(name)!r}"
        for name in sorted(mine.keys() | now.keys())
        if mine.get(name) != now.get(name)
    ]
