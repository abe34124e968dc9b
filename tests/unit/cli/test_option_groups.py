from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from selfe_eval.cli.option_groups import with_groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the work is kept.

    Nobody reads on.
    """

    out: Annotated[str | None, typer.Option(help="The folder.")] = None
    number: Annotated[int, typer.Option(min=1)] = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where it comes from."""

    name: Annotated[str, typer.Option()]


def program(seen: list[Any]) -> typer.Typer:
    """A verb with two groups and an option of its own, which remembers what it was given."""

    @with_groups
    def verb(
        run: Annotated[str, typer.Argument()],
        *,
        source: Source,
        place: Place,
        loud: Annotated[bool, typer.Option("--loud")] = False,
    ) -> None:
        """Do something."""
        seen.extend((run, source, place, loud))

    app = typer.Typer()
    app.command()(verb)
    return app


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["r", "--name", "n"], ("r", Source(name="n"), Place(), False)),
        (
            ["--loud", "r", "--number", "4", "--out", "o", "--name", "n"],
            ("r", Source(name="n"), Place(out="o", number=4), True),
        ),
    ],
)
def test_groups_arrive_as_they_are_typed(words: list[str], expected: tuple[Any, ...]) -> None:
    """Every field of a group is an option with its own default, and the verb gets the group whole."""
    seen: list[Any] = []
    result = CliRunner().invoke(program(seen), words)
    assert (result.exit_code, tuple(seen)) == (0, expected)


@pytest.mark.parametrize("words", [["r"], ["r", "--name", "n", "--number", "0"]])
def test_fields_keep_their_own_rules(words: list[str]) -> None:
    """A field without a default is required, and a bound holds."""
    seen: list[Any] = []
    assert CliRunner().invoke(program(seen), words).exit_code == 2
    assert seen == []


def test_the_help_shows_a_group_under_the_first_line_of_its_docstring() -> None:
    """One heading for each group, and its options below it."""
    text = CliRunner().invoke(program([]), ["--help"]).output
    assert "Where the work is kept " in text
    assert text.index("Where the work is kept") < text.index("--out")
    assert "Nobody reads on" not in text
