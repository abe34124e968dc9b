"""The training data of the bundled models: scenes of the openmoji world, encoded once, drawn by step number.

Encoding a scene costs about as much as training on it, so a pool of scenes is encoded up front and kept on disk; batch k
is a seeded draw from the pool. The pool depends on (autoencoder weights, size, seed) and its file is named by their hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from selfe.autoencoder import Autoencoder, patchify, to_unit_range
from selfe.condition import Condition
from selfe.text import PAD, Tokeniser
from selfe.training.loop import step_generator
from selfe.training.trainer import Captioned
from selfe_eval.openmoji.scenes import render
from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.openmoji.training_scenes import sample_training_scenes
from selfe_eval.train.vocabulary import FAKE_PHRASE, text_config

GRID = (4, 4)
"""Image tokens of a scene of 64 px, as (rows, columns)."""
CHUNK = 2048
"""Scenes that are rendered and encoded at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """How batches are drawn from a pool."""

    num_rows: int
    """Of a part of a batch."""
    seed: int
    """Of the pool and of the draws."""
    rows_per_caption: int = 1
    """Neighbouring rows that show scenes of one caption; divides ``num_rows``."""
    with_fake: bool = False
    """Whether a batch carries its captions with the phrase "fake image" too."""


class LatentPool:
    """Encoded scenes with their captions; implements ``selfe.training.trainer.LatentSource``."""

    def __init__(self, latents: Tensor, tokens: Tensor, *, grid: tuple[int, int], draw: Draw) -> None:
        """Hold float16 latents (N, L, D), L on ``grid``, and the int64 token numbers (N, T) of their captions."""
        self.latents = latents
        self.tokens = tokens
        self.grid = grid
        self.draw = draw
        self._scenes = ScenesByCaption(tokens)

    @property
    def null(self) -> Condition:
        """The null prompt, one row."""
        return Tokeniser(text_config())([""])

    def batch(self, step: int, part: int) -> Captioned:
        """A uniform draw of scenes, a function of (seed, step, part)."""
        draw = self.draw
        generator = step_generator(draw.seed, step, purpose=f"data {part}")
        num_captions = draw.num_rows // draw.rows_per_caption
        rows = torch.randint(len(self.latents), (num_captions,), generator=generator)
        if draw.rows_per_caption > 1:
            rows = self._scenes.draw(rows.repeat_interleave(draw.rows_per_caption), generator)
        tokens = self.tokens[rows]
        c = Condition(tokens, tokens != PAD)
        return Captioned(
            self.latents[rows].float(), c, self.grid, with_fake_phrase(c) if draw.with_fake else None
        )


class ScenesByCaption:
    """Which scenes of a pool share a caption."""

    def __init__(self, tokens: Tensor) -> None:
        """Index the token numbers (N, T)."""
        _, self._caption, self._count = tokens.unique(dim=0, return_inverse=True, return_counts=True)
        self._order = self._caption.argsort(stable=True)
        self._first = self._count.cumsum(0) - self._count

    def draw(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """For each row number one of the scenes with its caption, uniformly and with replacement."""
        caption = self._caption[rows]
        place = (torch.rand(len(rows), generator=generator) * self._count[caption]).long()
        scenes: Tensor = self._order[self._first[caption] + place]
        return scenes


def with_fake_phrase(c: Condition) -> Condition:
    """The same captions followed by the token of FAKE_PHRASE.

    Raises:
        ValueError: a caption has no room for one more token.
    """
    if c.mask.all(dim=1).any():
        raise ValueError(
            f"A caption fills all {c.mask.shape[1]} tokens and leaves no room for {FAKE_PHRASE!r}."
        )
    fake = Tokeniser(text_config())([FAKE_PHRASE]).tokens[0, 0]
    end = c.mask.sum(dim=1, keepdim=True)
    return Condition(c.tokens.scatter(1, end, fake.expand_as(end)), c.mask.scatter(1, end, value=True))


def load_pool(
    autoencoder: Autoencoder,
    folder: Path,
    *,
    num_scenes: int,
    draw: Draw,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> LatentPool:
    """The pool of this autoencoder, size and ``draw.seed``: read from ``folder`` if it is there, else made and kept there."""
    path = folder / f"latents-{_key(autoencoder, num_scenes, draw.seed)}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        save_file(_encode_scenes(autoencoder, num_scenes, draw.seed, on_progress), partial)
        partial.replace(path)
    tensors = load_file(path)
    return LatentPool(tensors["latents"], tensors["tokens"], grid=GRID, draw=draw)


@torch.inference_mode()
def _encode_scenes(
    autoencoder: Autoencoder, num_scenes: int, seed: int, on_progress: Callable[[int, int], None]
) -> dict[str, Tensor]:
    bank, tokenise = load_sprite_bank(), Tokeniser(text_config())
    device = next(autoencoder.parameters()).device
    latents, tokens = [], []
    for start in range(0, num_scenes, CHUNK):
        count = min(CHUNK, num_scenes - start)
        labelled = sample_training_scenes(count, _chunk_seed(seed, start), include_held_out=False)
        images = to_unit_range(render(bank, labelled.scenes)).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            encoded = torch.cat([autoencoder.encode(part) for part in images.split(256)])
        latents.append(patchify(encoded.float()).to("cpu", torch.float16))
        tokens.append(tokenise([prompt.text for prompt in labelled.prompts]).tokens)
        on_progress(start + count, num_scenes)
    return {"latents": torch.cat(latents).contiguous(), "tokens": torch.cat(tokens)}


def _chunk_seed(seed: int, start: int) -> int:
    return seed * 1_000_003 + start


def _key(autoencoder: Autoencoder, num_scenes: int, seed: int) -> str:
    digest = hashlib.sha256(f"{num_scenes}/{seed}/{text_config()}".encode())
    for name, tensor in autoencoder.state_dict().items():
        digest.update(name.encode() + tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]
