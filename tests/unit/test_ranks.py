from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfe_eval.errors import UsageError
from selfe_eval.ranks import ALONE, Ranks, joined, ranks_here

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
}
"""What torchrun sets in the sixth of eight processes, the second on its machine."""


@given(st.lists(st.integers()), st.integers(min_value=1, max_value=9))
def test_shares_are_a_partition(items: list[int], count: int) -> None:
    """Every item belongs to exactly one process, and no process has two more than another."""
    shares = [list(Ranks(index=index, count=count).share(items)) for index in range(count)]
    assert sorted(item for share in shares for item in share) == sorted(items)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_that_nobody_launched_with_others_is_alone() -> None:
    """Without a launcher, or with only a part of what one sets, there is one process."""
    assert ranks_here({}) == ALONE
    for name in TORCHRUN:
        assert ranks_here({key: value for key, value in TORCHRUN.items() if key != name}) == ALONE
    assert ALONE.is_first


def test_the_launcher_says_which_process_this_is() -> None:
    """RANK, WORLD_SIZE and LOCAL_RANK are read; only rank 0 is the first."""
    assert ranks_here(TORCHRUN) == Ranks(index=5, count=8, local_index=1)
    assert not ranks_here(TORCHRUN).is_first
    assert ranks_here({**TORCHRUN, "RANK": "0"}).is_first


@pytest.mark.parametrize(
    "wrong",
    [{"RANK": "8"}, {"RANK": "-1"}, {"WORLD_SIZE": "many"}, {"WORLD_SIZE": "0"}, {"LOCAL_RANK": "-2"}],
    ids=str,
)
def test_impossible_numbers_are_a_usage_error(wrong: dict[str, str]) -> None:
    """A rank outside the job, or no number at all, is told and never guessed at."""
    with pytest.raises(UsageError, match="Expected RANK from 0 to WORLD_SIZE - 1"):
        ranks_here({**TORCHRUN, **wrong})


def test_alone_nobody_is_waited_for() -> None:
    """A single process meets itself at once, says what it says, and loads no torch for it."""
    program = (
        "import sys\n"
        "from selfe_eval.ranks import joined\n"
        "with joined() as ranks:\n"
        "    ranks.meet()\n"
        "    assert ranks.first_says([True, False]) == [True, False]\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    with joined() as ranks:
        assert ranks == ALONE
