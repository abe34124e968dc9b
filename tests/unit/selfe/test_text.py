from __future__ import annotations

import pytest
import torch

from selfe.text import NULL, NUM_SPECIAL, PAD, UNKNOWN, TextEncoder, Tokeniser
from tests.unit.selfe import tiny


def numbers(prompt: str) -> list[int]:
    return [int(n) for n in Tokeniser(tiny.TEXT)([prompt]).tokens[0] if n != PAD]


def token(phrase: str) -> int:
    return NUM_SPECIAL + tiny.PHRASES.index(phrase)


def test_the_longest_phrase_wins() -> None:
    """``traffic light`` is one token although ``light`` is a token too."""
    assert numbers("a photo of a traffic light") == [token("traffic light")]


def test_spellings_of_a_phrase_share_a_token() -> None:
    """``dog`` and ``dogs`` are the same token."""
    assert numbers("a photo of two dogs") == [token("two"), token("dog|dogs")]
    assert numbers("dog") == [token("dog|dogs")]


def test_order_is_kept_and_silent_words_are_dropped() -> None:
    """``of`` inside ``left of`` is part of the phrase, elsewhere it is silent."""
    assert numbers("a photo of a red dog left of a cat") == [
        token("red"),
        token("dog|dogs"),
        token("left of"),
        token("cat"),
    ]


def test_unknown_words_are_marked_and_named() -> None:
    """A word outside the vocabulary becomes UNKNOWN and is reported."""
    assert numbers("a zorse and a cat") == [UNKNOWN, token("cat")]
    assert Tokeniser(tiny.TEXT).unknown_words("a zorse and a cat") == ["zorse"]


def test_the_empty_prompt_is_the_null_prompt() -> None:
    """The prompt of no words is phi, the null prompt of guidance."""
    phi = Tokeniser(tiny.TEXT)([""])

    assert numbers("") == [NULL]
    assert phi.mask.tolist() == [[True, False, False, False]]


def test_a_prompt_that_is_too_long_is_refused() -> None:
    """More tokens than the model reads is an error that says both numbers."""
    with pytest.raises(ValueError, match=r"5 tokens.*at most 4"):
        Tokeniser(tiny.TEXT)(["red red red red red"])


def test_padding_does_not_enter_the_pooled_text() -> None:
    """The pooled vector is the mean over the real tokens only."""
    torch.manual_seed(0)
    encoder = TextEncoder(tiny.TEXT).eval()
    tokens = Tokeniser(tiny.TEXT)(["red dog"])
    text, pooled = encoder(tokens.tokens, tokens.mask)

    assert torch.allclose(pooled[0], text[0, :2].mean(dim=0), atol=1e-6)
