from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfe_eval.cli.options import parse_one_step_count, parse_steps
from selfe_eval.errors import UsageError


@given(st.sets(st.integers(min_value=1, max_value=999_999), min_size=1, max_size=9))
def test_steps_are_read_in_any_order(steps: set[int]) -> None:
    """Any list of different positive whole numbers is read, ascending, with or without spaces."""
    assert parse_steps(", ".join(map(str, steps))) == tuple(sorted(steps))


@pytest.mark.parametrize("bad", ["0", "-1", "x", "1.5", "", " ", "1e3", "+2", "٣", "²", "10000000"])
def test_each_bad_item_is_named(bad: str) -> None:
    """Everything that is not a whole number of at least 1 is named, all at once."""
    with pytest.raises(UsageError) as failure:
        parse_steps(f"4,{bad},zwei")
    assert f"found {bad.strip()!r}, 'zwei'" in str(failure.value)


def test_a_repeated_step_count_is_an_error() -> None:
    """A curve has one point at each step count."""
    with pytest.raises(UsageError, match="repeated: 2, 8"):
        parse_steps("8,2,1,8,2")


def test_one_step_count_is_one() -> None:
    """Where one is asked for, a list is an error that says how several are given."""
    assert parse_one_step_count("50") == 50
    with pytest.raises(UsageError, match="steps-004"):
        parse_one_step_count("1,2")
