"""Encoded pictures and captions on disk: safetensors shards of one grid each, format ``selfe-latents/1``.

A folder holds
- ``settings.json``: what was encoded, how, and the SHA-256 of the encoders' weight files; written first;
- ``null.safetensors``: the null prompt phi as one row;
- ``latents-ROWSxCOLUMNS-NUMBER.safetensors`` and a ``.json`` beside each with its hash, names and captions;
- ``manifest.json``: every shard, and what was left out and why; written last, so a folder without it is not finished.

Tensors of a shard of N rows: ``latents`` float16 (N, L, D); ``text.tokens`` bfloat16 (the real tokens of all rows one after
the other, X), ``text.lengths`` int64 (N,) and ``text.pooled`` bfloat16 (N, Y); and the same under ``fake.`` where captions
with the phrase "fake image" were encoded too. Padding is not stored: of 256 tokens a caption fills few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from selfe.condition import Condition
from selfe.training.trainer import Captioned

FORMAT = "selfe-latents/1"
SETTINGS_FILE = "settings.json"
MANIFEST_FILE = "manifest.json"
NULL_FILE = "null.safetensors"
TEXT, FAKE = "text", "fake"


class ShardError(ValueError):
    """Encoded data that is missing, unfinished, or not of this format; the message says what to do."""


def shard_name(grid: tuple[int, int], number: int) -> str:
    """The file name of a shard."""
    return f"latents-{grid[0]}x{grid[1]}-{number:05d}.safetensors"


def packed(c: Condition, prefix: str = TEXT) -> dict[str, Tensor]:
    """Prompts as the tensors of a shard, on the CPU. The real tokens of a row come before its padding."""
    assert c.pooled is not None, "embeddings of frozen encoders come with their pooled vector"
    return {
        f"{prefix}.tokens": c.tokens[c.mask].to("cpu", torch.bfloat16),
        f"{prefix}.lengths": c.mask.sum(dim=1).cpu(),
        f"{prefix}.pooled": c.pooled.to("cpu", torch.bfloat16),
    }


def packed_rows(rows: Captioned) -> dict[str, Tensor]:
    """Encoded pictures with their captions as the tensors of a shard, on the CPU."""
    fake = {} if rows.c_fake is None else packed(rows.c_fake, FAKE)
    return {"latents": rows.latents.to("cpu", torch.float16), **packed(rows.c), **fake}


def write_shard(path: Path, chunks: Sequence[Mapping[str, Tensor]]) -> None:
    """Write packed rows, one chunk after the other, as one file that is whole as soon as it has its name."""
    partial = path.with_name(f"{path.name}.partial")
    save_file({name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}, partial)
    partial.replace(path)


class LatentShard:
    """A shard's rows, read one at a time from the mapped file."""

    def __init__(self, path: Path) -> None:
        self._file: Any = safe_open(path, framework="pt")

    @cached_property
    def num_rows(self) -> int:
        """N."""
        return len(self._ends(TEXT))

    def latents(self, row: int) -> Tensor:
        """Float16 (L, D)."""
        latents: Tensor = self._file.get_slice("latents")[row]
        return latents

    def prompt(self, row: int, prefix: str = TEXT) -> tuple[Tensor, Tensor]:
        """The real tokens (n, X) of a row's prompt, and its pooled vector (Y,), bfloat16."""
        ends = self._ends(prefix)
        first = int(ends[row - 1]) if row else 0
        tokens: Tensor = self._file.get_slice(f"{prefix}.tokens")[first : int(ends[row])]
        pooled: Tensor = self._file.get_slice(f"{prefix}.pooled")[row]
        return tokens, pooled

    def _ends(self, prefix: str) -> Tensor:
        if prefix not in self._all_ends:
            self._all_ends[prefix] = self._file.get_tensor(f"{prefix}.lengths").cumsum(0)
        return self._all_ends[prefix]

    @cached_property
    def _all_ends(self) -> dict[str, Tensor]:
        return {}


def padded(prompts: Sequence[tuple[Tensor, Tensor]], num_tokens: int) -> Condition:
    """Prompts of different lengths as one condition of T tokens; padding is zero and masked."""
    tokens = torch.zeros(len(prompts), num_tokens, prompts[0][0].shape[1], dtype=prompts[0][0].dtype)
    mask = torch.zeros(len(prompts), num_tokens, dtype=torch.bool)
    for row, (real, _) in enumerate(prompts):
        tokens[row, : len(real)] = real
        mask[row, : len(real)] = True
    return Condition(tokens, mask, torch.stack([pooled for _, pooled in prompts]))
