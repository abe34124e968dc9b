"""Prompts in, pictures out, at any number of steps.

pipeline = AnyStepPipeline.load("model/checkpoints/selfe-tiny")
images = pipeline(["a photo of a red car"], seeds=[7], num_steps=2)      # uint8 (1, 3, 64, 64)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from selfe.autoencoder import Autoencoder, to_uint8, unpatchify
from selfe.checkpoint import (
    Checkpoint,
    autoencoder_config,
    load_checkpoint,
    model_config,
    read_config,
)
from selfe.condition import Condition, concatenate
from selfe.encoders.flux_autoencoder import FluxAutoencoder
from selfe.encoders.frozen_text import FrozenText
from selfe.encoders.of_checkpoint import autoencoder_of, text_encoders_of
from selfe.encoders.protocol import LatentCoder, PromptReader
from selfe.parametrisation import predicted_clean
from selfe.sampler import CleanFunction, SamplerError, SamplerOptions, guided, sample
from selfe.text import TextConfig, Tokeniser

CPU_TOKENS = 1024
"""Image tokens of a batch above which a CPU calls the two branches of guidance one after the other: one call of both is
2/5 faster for 4 pictures of 64 tokens, where it fills the cores, and a tenth slower for 64, where it empties the caches."""


class AnyStepPipeline:
    """A checkpoint ready to draw: reader of prompts, model, sampler and decoder."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: torch.device | str = "cpu",
        reader: PromptReader | None = None,
        coder: LatentCoder | None = None,
    ) -> None:
        """Load the frozen encoders that the checkpoint names, if any, unless they are given.

        Args:
            checkpoint: Network and what it names; its own modules are moved to ``device`` where they lie elsewhere, as the
                averaged network of a sharded training does.
            device: Where to compute.
            reader: Reads its prompts; lies on ``device``.
            coder: Decodes its latents; lies on ``device``.

        Raises:
            selfe.encoders.places.EncoderError: one of them is missing or does not fit.
        """
        self.checkpoint = checkpoint
        self.device = torch.device(device)
        self.sampler = checkpoint.sampler
        self._read = reader or prompt_reader(checkpoint, device)
        self._coder = coder or latent_coder(checkpoint, device)
        for module in (checkpoint.model, self._coder):
            if isinstance(module, torch.nn.Module):
                module.to(self.device)
        self.grid = checkpoint.model.config.denoiser.grid

    @classmethod
    def load(cls, folder: str | Path, *, device: torch.device | str = "cpu") -> AnyStepPipeline:
        """Load a checkpoint folder.

        Frozen encoders are found, and their widths compared with the network's, before any weight is read.

        Raises:
            selfe.checkpoint.CheckpointError: it is missing or damaged.
            selfe.encoders.places.EncoderError: a frozen encoder is missing or does not fit.
        """
        config = read_config(Path(folder))
        network = model_config(config["network"])
        text_encoders_of(network)
        autoencoder_of(network, autoencoder_config(config["autoencoder"]))
        return cls(load_checkpoint(Path(folder), device=device), device=device)

    @property
    def encoder_files(self) -> dict[str, dict[str, str]]:
        """The weight files of frozen encoders: role -> file name -> SHA-256; empty where the model has its own."""
        files: dict[str, dict[str, str]] = {}
        for part in (self._read, self._coder):
            if isinstance(part, FrozenText | FluxAutoencoder):
                files |= part.files
        return files

    @property
    def num_truncated(self) -> int:
        """Prompts that were longer than the model reads and have been cut, so far; its own text encoder refuses them."""
        return self._read.num_truncated if isinstance(self._read, FrozenText) else 0

    def unknown_words(self, prompt: str) -> list[str]:
        """Words of the prompt that are not in the model's vocabulary."""
        return self._read.unknown_words(prompt)

    @staticmethod
    def nfe(num_steps: int, options: SamplerOptions) -> int:
        """Network evaluations for one image: guidance needs two a step."""
        return num_steps * (1 if options.guidance == 1.0 else 2)

    @torch.inference_mode()
    def __call__(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        num_steps: int,
        options: SamplerOptions | None = None,
        *,
        grid: tuple[int, int] | None = None,
    ) -> Tensor:
        """One picture for each prompt and its seed: uint8 (B, 3, H, W), RGB.

        Args:
            prompts: The texts.
            seeds: One for each prompt, of its noise.
            num_steps: N.
            options: How to sample; None: the checkpoint's own way.
            grid: Rows and columns of image tokens, 16 pixels each; None: the checkpoint's own. Any grid runs, and the warp
                follows it; the pictures are as good as the training on such sizes was.

        Raises:
            SamplerError: the options do not fit the step count, or num_steps or the grid is less than 1.
            ValueError: prompts and seeds differ in number, or a prompt is too long.
        """
        rows, columns = grid = grid or self.grid
        latents = self.latents(prompts, seeds, num_steps, options, grid=grid)
        with torch.autocast(self.device.type, torch.bfloat16):
            images = self._coder.decode(unpatchify(latents, 2 * rows, 2 * columns))
        return to_uint8(images)

    @torch.inference_mode()
    def latents(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        num_steps: int,
        options: SamplerOptions | None = None,
        *,
        grid: tuple[int, int] | None = None,
    ) -> Tensor:
        """What a call decodes: standardised latents as tokens, float32 (B, L, D); arguments and errors are the call's."""
        if len(prompts) != len(seeds):
            raise ValueError(
                f"Expected one seed for each prompt, found {len(prompts)} prompts and {len(seeds)} seeds."
            )
        options = options or self.sampler
        rows, columns = grid = grid or self.grid
        if min(grid) < 1:
            raise SamplerError(f"A grid has at least one row and one column of tokens; got {grid}.")
        c, negative = (
            self._read(texts).to(self.device) for texts in (list(prompts), [options.negative_prompt])
        )
        with torch.autocast(self.device.type, torch.bfloat16):
            return sample(
                self._clean_function(c, negative, options, grid),
                generators=[torch.Generator().manual_seed(seed) for seed in seeds],
                shape=(rows * columns, self.checkpoint.model.config.denoiser.token_dims),
                num_steps=num_steps,
                mu=self.checkpoint.model.config.mu(grid),
                options=options,
                device=self.device,
            )

    def _clean_function(
        self, c: Condition, negative: Condition, options: SamplerOptions, grid: tuple[int, int]
    ) -> CleanFunction:
        model = self.checkpoint.model
        kind = model.config.parametrisation

        def predict(x_t: Tensor, t: float, s: float, prompts: Condition) -> Tensor:
            times = _filled(x_t, t)
            return predicted_clean(model(x_t, times, _filled(x_t, s), prompts, grid), x_t, times, kind)

        if options.guidance == 1.0:
            return partial(predict, prompts=model.read(c))
        with_negative = model.read(concatenate([c, negative.repeated(len(c.tokens))]))

        def both(x_t: Tensor, t: float, s: float) -> tuple[Tensor, Tensor]:
            if x_t.device.type == "cpu" and x_t.shape[0] * x_t.shape[1] > CPU_TOKENS:
                first, second = (predict(x_t, t, s, prompts) for prompts in _halves(with_negative))
            else:
                first, second = predict(torch.cat([x_t, x_t]), t, s, with_negative).chunk(2)
            return first, second

        return guided(both, options.guidance, options.guidance_norm)


def prompt_reader(checkpoint: Checkpoint, device: torch.device | str = "cpu") -> PromptReader:
    """What turns prompts into the conditions of a model: its own tokeniser, or frozen encoders, loaded.

    Raises:
        selfe.encoders.places.EncoderError: a frozen encoder is missing or does not fit.
    """
    config = checkpoint.model.config
    found = text_encoders_of(config)
    if found is not None:
        return FrozenText(found, device=device, expected=checkpoint.encoders)
    assert isinstance(config.text, TextConfig)
    return Tokeniser(config.text)


def latent_coder(checkpoint: Checkpoint, device: torch.device | str = "cpu") -> LatentCoder:
    """What turns latents into pictures: the model's own autoencoder, or a frozen one, loaded.

    Raises:
        selfe.encoders.places.EncoderError: the frozen autoencoder is missing or does not fit.
    """
    found = autoencoder_of(checkpoint.model.config, checkpoint.autoencoder)
    if found is not None:
        return FluxAutoencoder(found, device=device, expected=checkpoint.encoders)
    assert isinstance(checkpoint.autoencoder, Autoencoder)
    return checkpoint.autoencoder


def _halves(prompts: Condition) -> tuple[Condition, Condition]:
    rows = torch.arange(len(prompts.tokens), device=prompts.tokens.device)
    first, second = rows.chunk(2)
    return prompts.rows(first), prompts.rows(second)


def _filled(x: Tensor, value: float) -> Tensor:
    return torch.full((len(x),), value, device=x.device)
