"""Stop well: what is done stays, the record says incomplete, and the way on is printed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from selfe_eval.errors import SelfeEvalError, UntrustworthyError
from selfe_eval.runs.run import Run, open_run


@contextlib.contextmanager
def stopping_well(run: Run) -> Iterator[None]:
    """Turn an interrupt or a file error into a message that ends in the command to go on with.

    Raises:
        KeyboardInterrupt: again, with that message.
        UntrustworthyError: instead of an OSError (disk full, read-only, no permission).
    """
    way_on = f"Everything written so far is kept in {run.folder}. Go on with: {run.resume_command}"
    try:
        yield
    except KeyboardInterrupt:
        _mark_incomplete(run)
        raise KeyboardInterrupt(f"Interrupted. {way_on}") from None
    except OSError as error:
        _mark_incomplete(run)
        where = error.filename or run.folder
        raise UntrustworthyError(
            f"The run stopped before it was complete, at {where}: {error.strerror or error}. Make room or restore access "
            f"first. {way_on}"
        ) from error


def _mark_incomplete(run: Run) -> None:
    """Say so in the record, if the disk still takes it; a record left at ``started`` means the same."""
    with contextlib.suppress(OSError, SelfeEvalError):
        open_run(run.folder).update(status="incomplete")
