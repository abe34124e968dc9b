"""Where the files that travel with the package lie: benchmarks, published rows, bundled checkpoints.

A wheel carries them inside the packages; an editable install reads them from the repository. Which of the two
holds is seen from what is on disk, never guessed from the way the package was installed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from selfe_eval.errors import UsageError

_PACKAGE = Path(__file__).resolve().parent
_REPOSITORY = _PACKAGE.parent


def _first_folder(what: str, candidates: tuple[Path, ...]) -> Path:
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    places = " or ".join(str(candidate) for candidate in candidates)
    raise UsageError(
        f"The folder of the {what} was expected at {places} and is at neither. The installation is "
        f"incomplete: reinstall selfe-eval, or run it from a whole clone of the repository."
    )


def benchmarks_dir() -> Path:
    """The folder with one folder per suite.

    Returns:
        ``selfe_eval/benchmarks`` of a wheel, or ``benchmarks`` of the repository.

    Raises:
        UsageError: The installation lacks the folder.
    """
    return _first_folder("benchmarks", (_PACKAGE / "benchmarks", _REPOSITORY / "benchmarks"))


def published_dir() -> Path:
    """The folder with the rows that papers published.

    Returns:
        ``selfe_eval/published`` of a wheel, or ``results/published`` of the repository.

    Raises:
        UsageError: The installation lacks the folder.
    """
    return _first_folder("published results", (_PACKAGE / "published", _REPOSITORY / "results" / "published"))


def checkpoints_dir() -> Path:
    """The folder with the bundled weights, found without importing ``selfe`` (which imports torch).

    Returns:
        ``selfe/checkpoints`` of a wheel, or ``model/checkpoints`` of the repository.

    Raises:
        UsageError: The installation lacks the folder.
    """
    spec = importlib.util.find_spec("selfe")
    roots = tuple(spec.submodule_search_locations or ()) if spec is not None else ()
    installed = tuple(Path(root) / "checkpoints" for root in roots)
    return _first_folder("bundled checkpoints", (*installed, _REPOSITORY / "model" / "checkpoints"))
