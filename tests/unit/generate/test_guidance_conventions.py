"""What pipelines do with a guidance scale, from their calls and configurations alone."""

from __future__ import annotations

from typing import Any

import pytest

from selfe_eval.errors import UsageError
from selfe_eval.generate.guidance_conventions import Convention, chosen_guidance, convention_of

GUIDED = {"guidance_scale": 5.0, "negative_prompt": None}
FLUX = {**GUIDED, "true_cfg_scale": 1.0}
EMBEDDED_NEGATIVE = {"guidance_scale": 4.0, "negative_prompt_embeds": None}


@pytest.mark.parametrize(
    ("call", "network", "convention"),
    [
        (GUIDED, {}, "classifier-free"),
        (GUIDED, {"time_cond_proj_dim": None}, "classifier-free"),
        (GUIDED, {"time_cond_proj_dim": 256}, "embedded"),
        ({"guidance_scale": 4.5}, {"guidance_embeds": True}, "embedded"),
        (FLUX, {"guidance_embeds": True}, "embedded"),
        (FLUX, {"guidance_embeds": False}, "none"),
        ({"negative_prompt": None}, {}, "none"),
        (EMBEDDED_NEGATIVE, {}, "classifier-free"),
        (EMBEDDED_NEGATIVE, {"is_distilled": False}, "classifier-free"),
        (EMBEDDED_NEGATIVE, {"is_distilled": True}, "none"),
    ],
)
def test_conventions_follow_from_call_and_network(
    call: dict[str, Any], network: dict[str, Any], convention: Convention
) -> None:
    """A network with an input for the scale embeds it; a call with something negative and no other scale compares two passes."""
    assert convention_of(call, [{}, network]) == convention


@pytest.mark.parametrize(
    ("asked", "setting", "used"),
    [(None, None, 5.0), (None, 3.0, 3.0), (7.0, 3.0, 7.0), (1.0, 3.0, 1.0), (None, 0.0, 0.0)],
)
def test_the_caller_comes_before_the_setting_before_the_pipeline(
    asked: float | None, setting: float | None, used: float
) -> None:
    """Nobody's zero is mistaken for silence: a setting of 0 is a scale, and the pipeline's default is not taken."""
    guidance = chosen_guidance(
        "mine", "classifier-free", GUIDED, scale=setting, asked=asked, negative_prompt=None
    )

    assert guidance.scale == used
    assert guidance.convention == ("classifier-free" if used > 1 else "none")
    assert guidance.arguments(3) == {"guidance_scale": used}


def test_a_negative_prompt_is_given_to_every_image() -> None:
    """The call gets as many negative prompts as prompts; an empty one is given too."""
    for text in ("a cat", ""):
        guidance = chosen_guidance(
            "mine", "classifier-free", GUIDED, scale=None, asked=None, negative_prompt=text
        )

        assert guidance.arguments(2) == {"guidance_scale": 5.0, "negative_prompt": [text, text]}


@pytest.mark.parametrize(
    ("convention", "asked"), [("embedded", 7.0), ("none", None), ("classifier-free", 1.0)]
)
def test_what_nothing_reads_is_refused(convention: Convention, asked: float | None) -> None:
    """A negative prompt needs an unconditional branch at the scale that is used."""
    with pytest.raises(UsageError, match="mine has no unconditional branch"):
        chosen_guidance("mine", convention, GUIDED, scale=None, asked=asked, negative_prompt="a cat")


def test_a_negative_prompt_needs_a_call_that_takes_one() -> None:
    """A pipeline that takes the embeddings of a negative prompt alone is guided, and is given no text that it does not take."""
    guidance = chosen_guidance(
        "mine", "classifier-free", EMBEDDED_NEGATIVE, scale=None, asked=2.0, negative_prompt=None
    )

    assert guidance.arguments(1) == {"guidance_scale": 2.0}
    with pytest.raises(UsageError, match="mine takes no negative prompt as text"):
        chosen_guidance(
            "mine", "classifier-free", EMBEDDED_NEGATIVE, scale=None, asked=None, negative_prompt="a cat"
        )


def test_no_guidance_may_be_asked_of_what_has_none() -> None:
    """Scale 1 is no guidance, which such a model gives; any other scale is an error."""
    plain = chosen_guidance("mine", "none", GUIDED, scale=0.0, asked=1.0, negative_prompt=None)

    assert plain.scale is None
    assert plain.arguments(1) == {}
    with pytest.raises(UsageError, match=r"--guidance 2\.0: mine reads no such scale"):
        chosen_guidance("mine", "none", GUIDED, scale=0.0, asked=2.0, negative_prompt=None)
