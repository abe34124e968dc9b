"""The verb ``report``: runs as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfe_eval.cli.terminal import stage_progress, talk
from selfe_eval.errors import UsageError


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, in the order to show.")],
    *,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    max_mb: Annotated[
        float, typer.Option("--max-mb", min=1, help="The largest file; pictures are reduced to keep to it.")
    ] = 40,
    no_images: Annotated[bool, typer.Option("--no-images", help="Leave the pictures out.")] = False,
) -> None:
    """Write one HTML page that answers questions about runs: verdict, curves, pictures with boxes, origins.

    The file is all there is: it opens anywhere, also on a phone, and loads nothing. Partial runs are shown, stamped.
    With two runs the gallery sets them side by side and can show where they differ.

    \b
    Examples:
      selfe-eval report results/runs/openmoji-selfe-tiny-ab12cd34
      selfe-eval report before after --out before-after.html --max-mb 20
    """  # noqa: D301 - Typer needs the control character, not its spelling
    if out.suffix.lower() not in {".html", ".htm"} or not out.parent.is_dir() or out.is_dir():
        raise UsageError(f"--out {out}: expected a file name that ends in .html, in a folder that is there.")
    from selfe_eval.pipeline.report import MEGABYTE, make_page
    from selfe_eval.runs.atomic import atomic_write

    page = make_page(runs, max_mb=max_mb, with_pictures=not no_images, progress=stage_progress())
    atomic_write(out, page.content)
    faults = f"; {page.num_faults} images cannot be shown, and the page says why" if page.num_faults else ""
    talk(f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}, {page.num_images} images{faults}.")
    talk(f"{len(page.content) / MEGABYTE:.1f} MB")
    typer.echo(str(out))
