from __future__ import annotations

import pytest

from selfe.objectives.registry import OBJECTIVES
from selfe.objectives.self_e import SelfE
from selfe_eval.errors import UsageError
from selfe_eval.train.objectives import objective_from


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_bare_name_is_the_objective_with_its_defaults(name: str) -> None:
    """Every objective of the table can be named without options."""
    assert objective_from(name) == OBJECTIVES[name]()


def test_options_are_read_by_their_types() -> None:
    """A number comes out as the number of its field."""
    assert objective_from("self_e:anneal_steps=600") == SelfE(anneal_steps=600)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selfe", "Did you mean 'self_e'?"),
        ("self_e:aneal_steps=3", "Did you mean 'anneal_steps'?"),
        ("self_e:anneal_steps=many", "self_e:anneal_steps=many: expected a value of the kind int"),
        ("self_e:anneal_steps", "self_e:anneal_steps=: expected a value of the kind int"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, message: str) -> None:
    """Unknown names get the nearest one; a value that does not fit says what was expected."""
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        objective_from(text)
