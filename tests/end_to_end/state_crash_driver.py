"""Save a training state over an older one, killed at one place after the other, and look at what is left.

Started as a program of its own, so that it can fork (see ``crash_driver.py``). Prints one JSON line: how many places were
tried, and at which of them no whole state was left or the next save did not succeed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import torch

from selfe.training.state import load_state, newest_state, save_state
from tests.end_to_end.crash_driver import deadly

PLACES = ("fsync", "rename", "mkdir", "unlink", "rmdir")


def write(folder: Path, step: int) -> None:
    tensors = {"weights": torch.full((300,), float(step)), "count": torch.tensor(float(step))}
    save_state(folder, step, tensors, {"seed": 1})


def is_whole(folder: Path, *steps: int) -> bool:
    """Whether the newest state is one of these and all of it is."""
    state = newest_state(folder)
    if state is None or state.step not in steps or state.settings != {"seed": 1}:
        return False
    tensors = {"weights": torch.zeros(300), "count": torch.tensor(0.0)}
    load_state(state, tensors)
    return all(bool((tensor == state.step).all()) for tensor in tensors.values())


def dies_at(folder: Path, place: str, fatal_call: int, moment: str) -> bool:
    """Save in a child that dies at this call; False if it ended without having made so many calls."""
    child = os.fork()
    if child == 0:
        setattr(os, place, deadly(getattr(os, place), fatal_call, moment))
        write(folder, 2)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def main(folder: Path) -> None:
    tried, wrong = 0, []
    for place, moment in [(place, moment) for place in PLACES for moment in ("before", "after")]:
        fatal_call = 1
        write(folder, 1)
        while dies_at(folder, place, fatal_call, moment):
            whole = is_whole(folder, 1, 2)
            write(folder, 3)
            if not whole or not is_whole(folder, 3) or len(list(folder.iterdir())) != 1:
                wrong.append([place, moment, fatal_call])
            shutil.rmtree(folder)
            write(folder, 1)
            tried, fatal_call = tried + 1, fatal_call + 1
        shutil.rmtree(folder)
    print(json.dumps({"tried": tried, "wrong": wrong}))  # noqa: T201 - its result


if __name__ == "__main__":
    main(Path(sys.argv[1]) / "states")
