"""Every error a user can cause, as one tree.

    SelfeEvalError            exit code 1
    |-- UsageError            exit code 2: a wrong option, name, path or file
    |-- UntrustworthyError    exit code 3: incomplete, not comparable, or a number nobody should believe
    `-- VerdictError          exit code 10 or 11: a gate or verdict that the caller asked to count

Every message is one paragraph that says what was expected, what was found, where, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SelfeEvalError(Exception):
    """Base of the tree: something went wrong that the user can act upon."""

    exit_code = 1


class UsageError(SelfeEvalError):
    """A wrong option, name, path or file: nothing has been computed."""

    exit_code = 2


class UntrustworthyError(SelfeEvalError):
    """The result would be incomplete, not comparable, or not to be believed."""

    exit_code = 3


class VerdictError(SelfeEvalError):
    """A verdict the caller asked to count (``--fail-on``): violated is 10, inconclusive is 11."""

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not in a table: says what is there and what was probably meant.

    >>> str(unknown_name("suite", "genevl", ["geneval", "openmoji"]))
    "Unknown suite 'genevl'. Did you mean 'geneval'? Available: geneval, openmoji."
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UsageError(f"Unknown {kind} {name!r}.{hint} Available: {', '.join(names)}.")
