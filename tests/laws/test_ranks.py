from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from selfe_eval.report.ranks import letter_display, tie_groups

Pairs = frozenset[tuple[int, int]]


@st.composite
def relations(draw: st.DrawFn) -> tuple[list[float], Pairs]:
    """Scores of up to seven models, and any pairs that differ: transitive or not."""
    values = draw(st.lists(st.floats(0, 1), min_size=1, max_size=7))
    pairs = list(combinations(range(len(values)), 2))
    return values, draw(st.frozensets(st.sampled_from(pairs))) if pairs else frozenset()


@given(relations())
def test_two_models_share_a_letter_exactly_where_they_do_not_differ(
    relation: tuple[list[float], Pairs],
) -> None:
    """Neither a tie nor a difference is ever hidden, whatever the relation."""
    values, differing = relation
    letters = letter_display(values, lambda i, j: (i, j) in differing)

    for pair in combinations(range(len(values)), 2):
        assert bool(set(letters[pair[0]]) & set(letters[pair[1]])) == (pair not in differing)


@given(relations())
def test_the_best_model_has_the_first_letter(relation: tuple[list[float], Pairs]) -> None:
    """Every model has a letter, and the best one an a."""
    values, differing = relation
    letters = letter_display(values, lambda i, j: (i, j) in differing)

    assert all(letters)
    assert any("a" in own for own, value in zip(letters, values, strict=True) if value == max(values))


@given(relations())
def test_no_group_of_ties_can_grow(relation: tuple[list[float], Pairs]) -> None:
    """There are no more letters than needed by this rule: each group lacks only models that differ from one in it."""
    values, differing = relation
    for group in tie_groups(len(values), lambda i, j: (i, j) in differing):
        for other in set(range(len(values))) - group:
            assert any((min(other, one), max(other, one)) in differing for one in group)


@given(relations(), st.randoms(use_true_random=False))
def test_the_order_of_the_runs_does_not_matter(relation: tuple[list[float], Pairs], random: object) -> None:
    """Models with different scores have the same letters in whatever order the runs are typed."""
    values, differing = relation
    if len(set(values)) < len(values):
        return
    order = list(range(len(values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    letters = letter_display(values, lambda i, j: (i, j) in differing)
    shuffled = letter_display(
        [values[model] for model in order],
        lambda i, j: (min(order[i], order[j]), max(order[i], order[j])) in differing,
    )

    assert [letters[model] for model in order] == list(shuffled)
