"""Write ``results/REPORT.md``, its plots and ``results/RECIPE.md`` again: ``python -m selfe_eval.report.reference``."""

from __future__ import annotations

import sys
from pathlib import Path

from selfe_eval.errors import SelfeEvalError
from selfe_eval.report.reference.document import RECIPE, REPORT, render
from selfe_eval.report.reference.figures import write_figures
from selfe_eval.report.reference.results import FIGURES_FOLDER, read_results
from selfe_eval.resources import checkpoints_dir


def main(folder: Path) -> list[Path]:
    """Write plots, then documents, from the files of a folder of results.

    Returns:
        The files written.

    Raises:
        UntrustworthyError: a file is damaged, or speaks of a part of the suite only.
    """
    written = write_figures(read_results(folder, checkpoints_dir()), folder / FIGURES_FOLDER)
    results = read_results(folder, checkpoints_dir())
    for name in (REPORT, RECIPE):
        (folder / name).write_text(render(folder / f"{name}.jinja", results), encoding="utf-8")
        written.append(folder / name)
    return written


if __name__ == "__main__":
    try:
        for path in main(Path(*sys.argv[1:2] or ["results"])):
            sys.stdout.write(f"{path}\n")
    except SelfeEvalError as error:
        sys.exit(str(error))
