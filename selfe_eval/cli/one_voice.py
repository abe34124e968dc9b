"""Of several processes that share a job, one speaks: the first.

The others have the same results, and mostly the same errors. One that fails alone is heard: it waits a little, and
where the first has failed too, the launcher ends it meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import typer

from selfe_eval.ranks import COURTESY_SECONDS, ranks_here


def leave_it_to_the_first() -> None:
    """For work that is not shared: end every process but the first, which goes on alone and waits for nobody.

    Raises:
        typer.Exit: this is not the first process.
        UsageError: the launcher's numbers are none.
    """
    if not ranks_here().is_first:
        raise typer.Exit
    os.environ.pop("WORLD_SIZE", None)


@contextlib.contextmanager
def only_the_first_speaks() -> Iterator[None]:
    """Keep stdout and stderr of every process but the first empty; an error leaves late, and can then be told.

    Raises:
        UsageError: the launcher's numbers are none.
    """
    if ranks_here().is_first:
        yield
        return
    try:
        with Path(os.devnull).open("w") as nowhere:  # noqa: SIM117 - the file is opened first
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                yield
    except (KeyboardInterrupt, typer.Exit):
        raise
    except Exception:
        time.sleep(COURTESY_SECONDS)
        raise
