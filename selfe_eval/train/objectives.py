"""An objective from its text: ``self_e`` or ``self_e:target=convex,aux_start=0``."""

from __future__ import annotations

import types
import typing
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

from selfe.objectives.protocol import Objective
from selfe.objectives.registry import OBJECTIVES
from selfe.training import parallel
from selfe_eval.errors import UsageError, unknown_name


def objective_from(text: str, **defaults: Any) -> Objective:
    """The objective that a text names, with its options.

    Args:
        text: ``NAME`` or ``NAME:OPTION=VALUE,OPTION=VALUE``.
        defaults: Values for options that the objective has and the text leaves out.

    Raises:
        UsageError: a name is unknown, or a value does not fit its option.
    """
    name, colon, rest = text.partition(":")
    if name not in OBJECTIVES:
        raise unknown_name("objective", name, OBJECTIVES)
    kind = OBJECTIVES[name]
    types_of = typing.get_type_hints(kind)
    known = {field.name: types_of[field.name] for field in fields(typing.cast("Any", kind))}
    options: dict[str, Any] = {}
    for part in rest.split(",") if colon else ():
        option, _, value = part.partition("=")
        if option not in known:
            raise unknown_name(f"option of {name}", option, known)
        if option in options:
            raise UsageError(f"--objective {text}: give {option} once.")
        options[option] = _parsed(f"{name}:{option}", value, known[option])
    try:
        return kind(**{option: value for option, value in defaults.items() if option in known} | options)
    except ValueError as error:
        raise UsageError(f"--objective {text}: {error}") from error


def rows_of_a_part(objective: Objective, batch_size: int, num_parts: int = 1) -> int:
    """How many rows each part of a batch has.

    Raises:
        UsageError: the parts are uneven, or break a group of rows that share a caption.
        UnevenPartsError: the parts cannot be dealt out evenly to the processes.
    """
    group = objective.rows_per_caption
    if batch_size % (num_parts * group):
        why = [f"{num_parts} equal parts (--micro-batches)"] if num_parts > 1 else []
        why += (
            [f"groups of {group} rows that share a caption, as {objective.name} needs"] if group > 1 else []
        )
        raise UsageError(
            f"--batch-size {batch_size}: expected a multiple of {num_parts * group}, for {' of '.join(why)}."
        )
    parallel.own_parts(num_parts)
    return batch_size // num_parts


def _parsed(where: str, value: str, kind: Any) -> Any:
    """A value as the option's type: a word of a Literal, a number, or ``none`` where it is allowed."""
    if isinstance(kind, types.UnionType):
        choices = get_args(kind)
        if value == "none" and type(None) in choices:
            return None
        (kind,) = (choice for choice in choices if choice is not type(None))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise unknown_name(f"value of {where}", value, get_args(kind))
        return value
    if kind is bool:
        return _parsed(where, value, Literal["true", "false"]) == "true"
    try:
        return kind(value)
    except ValueError as error:
        raise UsageError(f"{where}={value}: expected a value of the kind {kind.__name__}.") from error
