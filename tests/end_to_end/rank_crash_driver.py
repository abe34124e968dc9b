"""Run the pipeline as several processes that share it, also with one of them killed, and compare.

Started as a program of its own, so that it can fork (see ``crash_driver.py``). First nothing disturbs: with 2, 3 and
7 processes, which is more than there are batches, the folder must be that of one process. Then, for each place that
is given, one of two processes dies at its n-th call; the other is ended, as torchrun does it; then one process, or
three, go on. Prints one JSON line: the numbers of processes whose folder differs, and for each place how many calls
were tried, after how many of them a shard lay there, and at which of them something differed.

    python rank_crash_driver.py FOLDER {replace,fsync,write_bytes,unlink}:{before,after}:{0,1} ...
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import torch.distributed  # noqa: F401 - once here instead of in every child

from selfe_eval.runs.journal import read_journal
from tests.end_to_end.crash_driver import deadly, work
from tests.fakes import folder_state

Fate = tuple[str, int, str]
"""Where to die: at which function's how manieth call, and before or after it."""


def whole_state(folder: Path) -> dict[str, Any]:
    """Image and metadata bytes, the journals in their order without times, and which files there are."""
    state = folder_state(folder)
    for name in ("images.jsonl", "scores/geneval.jsonl"):
        state[name] = [{**line, "seconds": None} for line in read_journal(folder / name)]
    state["files"] = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    return state


def start_rank(folder: Path, rank: int, launch: dict[str, str], fate: Fate | None) -> int:
    """Fork one process of the job; with a fate it dies."""
    child = os.fork()
    if child:
        return child
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), **launch}
    if fate is not None:
        place, fatal_call, moment = fate
        owner: Any = Path if place in {"write_bytes", "unlink"} else os
        setattr(owner, place, deadly(getattr(owner, place), fatal_call, moment))
    work(folder)
    os._exit(0)


def work_together(folder: Path, count: int, doomed: int = 0, fate: Fate | None = None) -> bool:
    """Run the job as so many processes; False if one died of its fate, and the others were ended."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launch = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    children = [start_rank(folder, rank, launch, fate if rank == doomed else None) for rank in range(count)]
    _, status = os.waitpid(children.pop(doomed), 0)
    for child in children:
        if status:
            os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError(f"process {doomed} of {count} failed of itself")
    return not os.WIFSIGNALED(status)


def try_place(root: Path, expected: dict[str, Any], place: str, moment: str, doomed: int) -> dict[str, Any]:
    differing, fatal_call, num_shards = [], 1, 0
    while not work_together(root / "killed", 2, doomed, (place, fatal_call, moment)):
        num_shards += any((root / "killed").rglob("*.rank-*.jsonl"))
        if fatal_call % 2:
            work(root / "killed")
        else:
            work_together(root / "killed", 3)
        if whole_state(root / "killed") != expected:
            differing.append(fatal_call)
        shutil.rmtree(root / "killed")
        fatal_call += 1
    shutil.rmtree(root / "killed")
    return {"tried": fatal_call - 1, "with_shards": num_shards, "differing": differing}


def main(root: Path, places: list[str]) -> None:
    work(root / "whole")
    expected = whole_state(root / "whole")
    counts = (2, 3, 7)
    for count in counts:
        work_together(root / f"by-{count}", count)
    outcome: dict[str, Any] = {
        "differing": [count for count in counts if whole_state(root / f"by-{count}") != expected]
    }
    for name in places:
        place, moment, doomed = name.split(":")
        outcome[name] = try_place(root, expected, place, moment, int(doomed))
    print(json.dumps(outcome))  # noqa: T201 - its result


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
