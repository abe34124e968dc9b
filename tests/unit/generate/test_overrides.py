from __future__ import annotations

from typing import Any

import pytest

from selfe_eval.errors import UsageError
from selfe_eval.generate.overrides import SamplerOverrides


def test_only_what_was_given_is_changed() -> None:
    """None keeps the checkpoint's own option; zero is not None."""
    assert SamplerOverrides().changes() == {}
    assert SamplerOverrides(eta=0.0, s_schedule="0").changes() == {"eta": 0.0, "s_schedule": 0.0}
    assert SamplerOverrides(guidance=1.0, s_schedule="current").changes() == {
        "guidance": 1.0,
        "s_schedule": "current",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"guidance": 0.5},
        {"guidance": float("nan")},
        {"guidance": float("inf")},
        {"eta": -0.1},
        {"eta": 1.1},
        {"eta": float("nan")},
        {"s_schedule": "later"},
        {"s_schedule": "1.5"},
        {"s_schedule": "nan"},
    ],
)
def test_an_impossible_option_is_a_usage_error(wrong: dict[str, Any]) -> None:
    """Options out of range are refused before anything is loaded, and the option is named."""
    name = next(iter(wrong)).replace("_", "-")
    with pytest.raises(UsageError, match=f"--{name}"):
        SamplerOverrides(**wrong)
