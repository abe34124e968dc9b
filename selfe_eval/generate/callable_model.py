"""Any object of the generator protocol, or plain function, that a module holds: ``module:attribute``.

Importing a module runs it, with all that the user may do. So this happens only for a module that the command line
names, never for one that a file names. Modules are looked for as ``python -m`` does: in the working directory first.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.errors import UsageError
from selfe_eval.generate.protocol import Generator
from selfe_eval.provenance import file_sha256

Draw = Callable[[Sequence[str], Sequence[int], int], NDArray[np.uint8]]
"""A plain function in the place of a generator: prompts, seeds and the step count in, images out."""

_METHODS = ("nfe", "generate", "describe")


class DrawnByFunction:
    """A plain function as a generator: its network evaluations are not known, and it says nothing of itself."""

    def __init__(self, name: str, draw: Draw) -> None:
        self.name = name
        self._draw = draw

    def nfe(self, num_steps: int) -> None:
        """Not known."""
        del num_steps

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], num_steps: int) -> NDArray[np.uint8]:
        """Draw one image for each prompt and its seed: (B, H, W, 3) uint8, RGB."""
        return self._draw(prompts, seeds, num_steps)

    def describe(self) -> dict[str, Any]:
        """Which function it is."""
        return {"adapter": self.name}


def module_files(target: str) -> dict[str, str]:
    """File name -> SHA-256 of the source file of the module; its own imports are not followed.

    Args:
        target: ``module:attribute``, named by the command line: to find ``a.b``, Python imports ``a``.

    Raises:
        UsageError: there is no such module, or no source file of it.
    """
    name = target.partition(":")[0]
    _look_here_first()
    with_parents, _, _ = name.rpartition(".")
    if with_parents:
        _imported(with_parents, target)
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:  # its parent is no package; or it is the program itself
        raise _no_module(name, target) from error
    if found is None:
        raise _no_module(name, target)
    if found.origin is None or Path(found.origin).suffix != ".py":
        raise UsageError(
            f"--model {target}: expected a module with a source file, so that a run can say which one drew its images; "
            f"found {found.origin or 'a folder without __init__.py'}. Name a .py file's module."
        )
    return {Path(found.origin).name: file_sha256(Path(found.origin))}


def load_module_generator(target: str) -> Generator:
    """The generator that a module holds: the object itself, what it gives when called without arguments, or a function.

    Args:
        target: ``module:attribute``, named by the command line; the module is imported, which runs it.

    Raises:
        UsageError: there is none, it cannot be imported or made, or it is no generator.
    """
    name, _, attribute = target.partition(":")
    _look_here_first()
    found: Any = _imported(name, target)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UsageError(
                f"--model {target}: {name} ({getattr(sys.modules[name], '__file__', 'built in')}) has no {attribute}. "
                f"It has: {', '.join(sorted(n for n in vars(sys.modules[name]) if not n.startswith('_')))}."
            )
        found = getattr(found, part)
    if not _is_generator(found) and _takes(found, 0):
        try:
            found = found()
        except Exception as error:
            raise _broken("Calling", attribute, target, error) from error
    if _is_generator(found):
        return found  # type: ignore[no-any-return]
    if _takes(found, 3):
        return DrawnByFunction(target, found)
    lacking = [member for member in ("name", *_METHODS) if not hasattr(found, member)]
    raise UsageError(
        f"--model {target}: expected an object with name, {', '.join(f'{method}()' for method in _METHODS)}, something "
        "that gives one when called without arguments, or a function of (prompts, seeds, num_steps); found "
        f"{type(found).__name__} without {' and '.join(lacking) or 'such methods'}. See selfe_eval/generate/README.md."
    )


def _is_generator(thing: object) -> bool:
    """An object, not its class, that has all of the protocol."""
    return (
        not isinstance(thing, type)
        and hasattr(thing, "name")
        and all(callable(getattr(thing, method, None)) for method in _METHODS)
    )


def _takes(thing: Any, count: int) -> bool:
    """Whether it can be called with so many arguments by position."""
    if not callable(thing):
        return False
    try:
        inspect.signature(thing).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True


def _look_here_first() -> None:
    """The working directory is where Python looks first, as with ``python -m``; what a model imports late is found too."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def _imported(name: str, target: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise _no_module(error.name, target) from error
        raise _broken("Importing", name, target, error) from error
    except Exception as error:
        raise _broken("Importing", name, target, error) from error


def _no_module(name: str, target: str) -> UsageError:
    return UsageError(
        f"--model {target}: there is no module {name!r}, neither in the working directory {Path.cwd()} nor installed. "
        f"Expected {name.replace('.', '/')}.py here, or a package; go to the folder that holds it."
    )


def _broken(doing: str, what: str, target: str, error: Exception) -> UsageError:
    """What went wrong in the user's own code, with the last line of it that was reached."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return UsageError(
        f"--model {target}: {doing} {what} failed with {type(error).__name__}: {error} ({last.filename}, line "
        f"{last.lineno}). Mend it, and see that `python -c 'import {target.partition(':')[0]}'` works here."
    )
