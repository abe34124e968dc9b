from __future__ import annotations

import pytest

from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.registry import OBJECTIVES
from selfe.objectives.self_e import SelfE
from selfe.objectives.self_e_meanflow import SelfEMeanFlow
from selfe_eval.errors import UsageError
from selfe_eval.train.objectives import objective_from, rows_of_a_part


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_bare_name_is_the_objective_with_its_defaults(name: str) -> None:
    """Every objective of the table can be named without options."""
    assert objective_from(name) == OBJECTIVES[name]()


def test_options_are_read_by_their_types() -> None:
    """A number comes out as the number of its field, and true as what it says."""
    assert objective_from("self_e:anneal_steps=600") == SelfE(anneal_steps=600)
    assert objective_from("self_e:noise_share=0.15,equal_delta=true") == SelfE(
        noise_share=0.15, equal_delta=True
    )
    assert objective_from("self_e_meanflow:meanflow_share=0.25") == SelfEMeanFlow(meanflow_share=0.25)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selfe", "Did you mean 'self_e'?"),
        ("self_e:aneal_steps=3", "Did you mean 'anneal_steps'?"),
        ("self_e:target=eq16,target=convex", "give target once"),
        ("self_e:anneal_steps=many", "self_e:anneal_steps=many: expected a value of the kind int"),
        ("self_e:", "option of self_e"),
        ("self_e:noise_share=1.5", "noise_share 1.5: expected a share between 0 and 1"),
        ("self_e:equal_delta=yes", "value of self_e:equal_delta"),
        ("self_e_meanflow:meanflow_share=1", "the ends are the objectives self_e and meanflow"),
        ("self_e:anneal_steps", "self_e:anneal_steps=: expected a value of the kind int"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, message: str) -> None:
    """Unknown names get the nearest one; a value that does not fit says what was expected."""
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        objective_from(text)


def test_a_batch_is_cut_into_whole_parts_of_whole_groups() -> None:
    """Parts have equally many rows; rows that share a caption stay together; the least fitting multiple is named."""
    imm, self_e = objective_from("imm"), objective_from("self_e")

    assert (rows_of_a_part(self_e, 6, 3), rows_of_a_part(imm, 24, 3)) == (2, 8)
    with pytest.raises(UsageError, match=r"--batch-size 7: expected a multiple of 2, for 2 equal parts"):
        rows_of_a_part(self_e, 7, 2)
    with pytest.raises(
        UsageError, match=r"--batch-size 20: expected a multiple of 8, for .* of groups of 4 rows"
    ):
        rows_of_a_part(imm, 20, 2)


def test_a_default_gives_way_to_the_text_and_to_objectives_without_the_option() -> None:
    """A preset's annealing holds for Self-E unless its text says another; flow matching has none."""
    assert objective_from("self_e:target=convex", anneal_steps=7) == SelfE(target="convex", anneal_steps=7)
    assert objective_from("self_e:anneal_steps=600", anneal_steps=7) == SelfE(anneal_steps=600)
    assert objective_from("flow_matching", anneal_steps=7) == FlowMatching()
