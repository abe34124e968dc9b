"""The bundled models' text encoder: a word-level vocabulary and a small transformer, trained with the denoiser.

The vocabulary is a list of phrases ("traffic light" and "left of" are one token each, "dog|dogs" are two
spellings of one token); the longest phrase wins, and the words of ``silent`` ("a", "photo", ...) carry nothing
and are dropped. Text is short and its order matters ("a dog left of a cat"), so tokens get learned positions
here: the denoiser itself sees all text at position zero, as in FLUX.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from selfe.condition import Condition

PAD, UNKNOWN, NULL = 0, 1, 2
NUM_SPECIAL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """Vocabulary and sizes of the text encoder."""

    phrases: tuple[str, ...]
    """Lower-case phrases, each one token; spellings of the same token are separated by ``|``."""
    silent: tuple[str, ...]
    """Words that are dropped."""
    num_tokens: int
    """T: prompts are padded to this many tokens; longer ones are refused."""
    width: int
    """X."""
    num_layers: int
    """Transformer layers."""


class Tokeniser:
    """Prompts -> token numbers, by the longest phrase."""

    def __init__(self, config: TextConfig) -> None:
        self._numbers = {
            spelling: NUM_SPECIAL + i
            for i, phrase in enumerate(config.phrases)
            for spelling in phrase.split("|")
        }
        self._silent = frozenset(config.silent)
        self._longest = max(len(spelling.split()) for spelling in self._numbers)
        self._num_tokens = config.num_tokens

    def __call__(self, prompts: list[str]) -> Condition:
        """Prompts -> token numbers (B, T). The empty prompt is the null prompt phi of guidance.

        Raises:
            ValueError: a prompt has more than T tokens.
        """
        tokens = torch.tensor([self._padded(prompt) for prompt in prompts], dtype=torch.int64)
        return Condition(tokens, tokens != PAD)

    def unknown_words(self, prompt: str) -> list[str]:
        """The words of a prompt that the model has never seen."""
        return [word for word, number in self._tokens(prompt) if number == UNKNOWN]

    def _padded(self, prompt: str) -> list[int]:
        numbers = [number for _, number in self._tokens(prompt)] or [NULL]
        if len(numbers) > self._num_tokens:
            raise ValueError(
                f"The prompt has {len(numbers)} tokens, the model reads at most {self._num_tokens}: {prompt!r}."
            )
        return numbers + [PAD] * (self._num_tokens - len(numbers))

    def _tokens(self, prompt: str) -> list[tuple[str, int]]:
        words = re.findall(r"[a-z0-9]+", prompt.lower())
        tokens: list[tuple[str, int]] = []
        at = 0
        while at < len(words):
            for length in range(min(self._longest, len(words) - at), 0, -1):
                phrase = " ".join(words[at : at + length])
                if phrase in self._numbers:
                    tokens.append((phrase, self._numbers[phrase]))
                    break
                if length == 1 and phrase not in self._silent:
                    tokens.append((phrase, UNKNOWN))
            at += length
        return tokens


class TextEncoder(nn.Module):
    """Token numbers -> token vectors and their mean, for the denoiser."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(NUM_SPECIAL + len(config.phrases), config.width)
        self.position = nn.Parameter(torch.zeros(config.num_tokens, config.width))
        self.layers = nn.ModuleList(
            [
                nn.TransformerEncoderLayer(
                    config.width,
                    nhead=config.width // 32,
                    dim_feedforward=2 * config.width,
                    dropout=0.0,
                    activation="gelu",
                    batch_first=True,
                    norm_first=True,
                )
                for _ in range(config.num_layers)
            ]
        )
        self.norm = nn.LayerNorm(config.width)
        nn.init.normal_(self.embedding.weight, std=0.5)
        nn.init.normal_(self.position, std=0.1)

    def forward(self, tokens_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """int64 (B, T) -> text tokens (B, T, X) and their mean over the real tokens (B, X)."""
        x = self.embedding(tokens_BT) + self.position
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)
        real = mask_BT.to(x.dtype)[..., None]
        pooled = (x * real).sum(dim=1) / real.sum(dim=1)
        return x, pooled
