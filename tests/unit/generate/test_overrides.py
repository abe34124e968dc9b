from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

import pytest

from selfe import guidance, sampler
from selfe.sampler import SamplerOptions
from selfe_eval.errors import UsageError
from selfe_eval.generate.overrides import GuidanceNorm, NoiseRule, SamplerOverrides


def test_only_what_was_given_is_changed() -> None:
    """None keeps the checkpoint's own option; zero is not None."""
    assert SamplerOverrides().changes() == {}
    assert SamplerOverrides(eta=0.0, s_schedule="0").changes() == {"eta": 0.0, "s_schedule": 0.0}
    assert SamplerOverrides(guidance=1.0, s_schedule="current").changes() == {
        "guidance": 1.0,
        "s_schedule": "current",
    }
    assert SamplerOverrides(negative_prompt="", warp=0.0, noise_rule="heuristic").changes() == {
        "negative_prompt": "",
        "warp": 0.0,
        "noise_rule": "heuristic",
    }


def test_every_override_is_an_option_of_the_sampler() -> None:
    """The field names are the sampler's own, its choices too: a change can always be made."""
    options = {field.name for field in fields(SamplerOptions)}
    assert {field.name for field in fields(SamplerOverrides)} <= options
    assert set(get_args(NoiseRule)) == set(get_args(sampler.NoiseRule))
    assert set(get_args(GuidanceNorm)) == set(get_args(guidance.GuidanceNorm))


@pytest.mark.parametrize(
    ("text", "expected"), [("0.8,0.5,0", (0.8, 0.5, 0.0)), ("1, .5", (1.0, 0.5)), ("0.25", 0.25)]
)
def test_second_times_are_typed_with_commas(text: str, expected: float | tuple[float, ...]) -> None:
    """One number interpolates; several are the second times themselves."""
    assert SamplerOverrides(s_schedule=text).changes() == {"s_schedule": expected}


def test_a_list_refuses_every_other_step_count() -> None:
    """Three second times are for three steps, alone; words and numbers are for any."""
    SamplerOverrides(s_schedule="0.8,0.5,0").refuse_other_step_counts((3,))
    SamplerOverrides(s_schedule="0.5").refuse_other_step_counts((1, 2, 50))
    SamplerOverrides().refuse_other_step_counts((1, 2, 50))
    for steps in ((2,), (3, 4)):
        with pytest.raises(UsageError, match=r"lists 3 second times, .* Say --steps 3"):
            SamplerOverrides(s_schedule="0.8,0.5,0").refuse_other_step_counts(steps)


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
        {"s_schedule": "0.5,1.5"},
        {"s_schedule": "0.5,,0"},
        {"s_schedule": ""},
        {"warp": float("inf")},
        {"warp": float("nan")},
        {"warp": 1e9},
        {"negative_prompt": "a dog", "guidance": 1.0},
    ],
)
def test_an_impossible_option_is_a_usage_error(wrong: dict[str, Any]) -> None:
    """Options out of range are refused before anything is loaded, and the option is named."""
    name = next(iter(wrong)).replace("_", "-")
    with pytest.raises(UsageError, match=f"--{name}"):
        SamplerOverrides(**wrong)
