"""Verbs that take dataclasses of options: each field of one becomes an option of the command line.

So options that several verbs share are written once, arrive in the verb as one thing, and stand in the help under one
heading: the first line of the dataclass's docstring.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Place:
        '''Where the work is kept.'''

        out: Annotated[Path | None, typer.Option(help="Run folder.")] = None

    @with_groups
    def generate(*, place: Place) -> None: ...        # --out PATH
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from copy import copy
from functools import wraps
from typing import Annotated, Any, get_args, get_type_hints


def with_groups(verb: Callable[..., None]) -> Callable[..., None]:
    """The same verb with the fields of its dataclass parameters as parameters of their own.

    Args:
        verb: Its signature may mix dataclasses and plain options; no two may share a name.
    """
    signature = inspect.signature(verb)
    hints = get_type_hints(verb, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if _is_group(kind)}
    parameters = [flat for name in signature.parameters for flat in _flat(signature, hints, name)]

    @wraps(verb)
    def flat_verb(*args: Any, **given: Any) -> None:
        built = {
            name: kind(**{field.name: given.pop(field.name) for field in dataclasses.fields(kind)})
            for name, kind in groups.items()
        }
        verb(*args, **given, **built)

    flat_verb.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    flat_verb.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return flat_verb


def _flat(signature: inspect.Signature, hints: dict[str, Any], name: str) -> Iterator[inspect.Parameter]:
    """The parameters that stand in the place of one."""
    kind = hints[name]
    if not _is_group(kind):
        yield signature.parameters[name].replace(annotation=kind)
        return
    field_hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        is_required = field.default is dataclasses.MISSING
        default = inspect.Parameter.empty if is_required else field.default
        annotation = _under_heading(field_hints[field.name], _heading(kind))
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )


def _heading(kind: type) -> str:
    """What the help says above the options of a group: the first line of its docstring."""
    return inspect.getdoc(kind).partition("\n")[0].rstrip(".")  # type: ignore[union-attr]


def _under_heading(annotation: Any, heading: str) -> Any:
    """The same option under a heading of the help."""
    kind, option = get_args(annotation)
    option = copy(option)
    option.rich_help_panel = heading
    return Annotated[kind, option]


def _is_group(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)
