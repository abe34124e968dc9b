"""The processes of one job, as ``torchrun`` starts them: which of them this is, what its share is, where they meet.

A job of one process meets nobody and imports no torch. Several meet over gloo, which needs no GPU: nothing but
"I am here" and a list of yes and no travels between them, everything else lies in files. The first process is the
one that holds the folder, writes its records and speaks.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from selfe_eval.errors import UntrustworthyError, UsageError

PATIENCE = timedelta(days=7)
"""How long one process waits for the others: longer than any share takes."""

COURTESY_SECONDS = 5.0
"""How long a process that fails waits before it speaks, where another may have the same to say and ends the job."""

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets; where one of them is missing there is no launcher."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """One process among those of its job."""

    index: int = 0
    """Which one, from 0."""
    count: int = 1
    """How many there are."""
    local_index: int = 0
    """Which one on this machine: the number of its GPU."""

    @property
    def is_first(self) -> bool:
        """Whether this is the process that holds the folder and speaks."""
        return self.index == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's part of a list that all processes have, dealt out like cards."""
        return items[self.index :: self.count]

    def meet(self) -> None:
        """Wait until every process has come here, and so has finished what it did before.

        Raises:
            UntrustworthyError: one of them will never come.
        """
        self.first_says([])

    def first_says(self, answers: Sequence[bool]) -> list[bool]:
        """The first process's answers, in every process; all meet here.

        Args:
            answers: Of this process; the same number in each.

        Raises:
            UntrustworthyError: one of the processes will never come.
        """
        if self.count == 1:
            return list(answers)
        import torch
        import torch.distributed as dist

        said = torch.tensor([True, *answers], dtype=torch.uint8)
        try:
            dist.barrier()
            dist.broadcast(said, src=0)
        except RuntimeError as error:
            time.sleep(COURTESY_SECONDS)
            raise UntrustworthyError(
                f"Process {self.index} of {self.count} waited for the others, and one of them has ended without "
                f"having done its share ({error}). Its own message says why; what it finished is kept. Start the "
                "same command again, with any number of processes."
            ) from error
        return [bool(answer) for answer in said[1:].tolist()]


ALONE = Ranks()
"""A job of one process."""


def ranks_here(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Which process this is, from what the launcher says.

    Args:
        environment: Environment variables.

    Raises:
        UsageError: the launcher's numbers are none.
    """
    if any(name not in environment for name in _VARIABLES):
        return ALONE
    said = {name: environment[name] for name in _VARIABLES[:3]}
    try:
        index, count, local_index = (int(text) for text in said.values())
    except ValueError:
        index = count = local_index = -1
    if not 0 <= index < count or local_index < 0:
        raise UsageError(
            f"The environment says that this is one process of several, but with {said}. Expected RANK from 0 to "
            "WORLD_SIZE - 1 and LOCAL_RANK of at least 0, as torchrun sets them. Start the job with torchrun, or "
            "unset these variables."
        )
    return Ranks(index=index, count=count, local_index=local_index)


@contextlib.contextmanager
def joined() -> Iterator[Ranks]:
    """This process among those of its job, able to meet them until the end of the context.

    Raises:
        UsageError: the launcher's numbers are none.
    """
    ranks = ranks_here()
    if ranks.count == 1:
        yield ranks
        return
    import torch.distributed as dist

    dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()
