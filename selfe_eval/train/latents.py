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
from selfe.loop import step_generator
from selfe.text import Tokeniser
from selfe.trainer import Captioned
from selfe_eval.openmoji.scenes import render
from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.openmoji.training_scenes import sample_training_scenes
from selfe_eval.train.vocabulary import text_config

CHUNK = 2048
"""Scenes that are rendered and encoded at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentPool:
    """Encoded scenes with their captions; implements ``selfe.trainer.LatentSource``."""

    latents: Tensor
    """float16 (N, L, D)."""
    tokens: Tensor
    """int64 (N, T)."""
    batch_size: int
    """Rows of a batch."""
    seed: int
    """Of the draws."""

    def batch(self, step: int) -> Captioned:
        """A uniform draw of ``batch_size`` scenes, a function of (seed, step)."""
        generator = step_generator(self.seed, step, purpose="data")
        rows = torch.randint(len(self.latents), (self.batch_size,), generator=generator)
        return Captioned(self.latents[rows].float(), self.tokens[rows])


def load_pool(
    autoencoder: Autoencoder,
    folder: Path,
    *,
    num_scenes: int,
    batch_size: int,
    seed: int,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> LatentPool:
    """The pool of this autoencoder, size and seed: read from ``folder`` if it was made before, else made and kept there."""
    path = folder / f"latents-{_key(autoencoder, num_scenes, seed)}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        save_file(_encode_scenes(autoencoder, num_scenes, seed, on_progress), partial)
        partial.replace(path)
    tensors = load_file(path)
    return LatentPool(latents=tensors["latents"], tokens=tensors["tokens"], batch_size=batch_size, seed=seed)


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
        tokens.append(tokenise([prompt.text for prompt in labelled.prompts]))
        on_progress(start + count, num_scenes)
    return {"latents": torch.cat(latents).contiguous(), "tokens": torch.cat(tokens)}


def _chunk_seed(seed: int, start: int) -> int:
    return seed * 1_000_003 + start


def _key(autoencoder: Autoencoder, num_scenes: int, seed: int) -> str:
    digest = hashlib.sha256(f"{num_scenes}/{seed}/{text_config()}".encode())
    for name, tensor in autoencoder.state_dict().items():
        digest.update(name.encode() + tensor.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]
