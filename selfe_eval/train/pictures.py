"""Presets ``0.5b`` and ``2b``: the paper's networks on pictures of one's own, between frozen encoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from selfe.buckets import TOKEN_PX, aspect_buckets
from selfe.data.batches import BatchOptions, PictureBatches, Turn
from selfe.data.encoded import EncodedPictures
from selfe.data.latent_shards import MANIFEST_FILE
from selfe.data.opening import open_pictures
from selfe.data.precomputed import PrecomputedLatents
from selfe.data.skipped_file import add_skipped
from selfe.encoders.flux_autoencoder import PATCH, FluxAutoencoder, FrozenAutoencoderConfig, find_autoencoder
from selfe.encoders.frozen_text import FrozenText, find_text
from selfe.model import FrozenTextConfig, ModelConfig
from selfe.objectives.protocol import Objective
from selfe.objectives.self_e import SelfE
from selfe.presets import half_b, smoke_frozen, two_b
from selfe.sampler import SamplerOptions
from selfe.training import parallel
from selfe.training.loop import LoopEvent, LoopOptions
from selfe.training.trainer import LatentSource, Recipe
from selfe_eval.errors import UsageError
from selfe_eval.train.budget import PAPER_ANNEAL_END, PAPER_STEPS
from selfe_eval.train.generator import Ends, GeneratorPlan, Machine, train_generator
from selfe_eval.train.objectives import objective_from, rows_of_a_part
from selfe_eval.train.options import TrainOptions, flag
from selfe_eval.train.presets import TrainingJob

PAPER_DECAY = 0.9999
"""Of the averaged weights; the paper's, for hundreds of thousands of steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturePreset:
    """A network of the paper with its training; all of it may be chosen otherwise."""

    name: str
    """Of the preset."""
    network: Callable[[FrozenTextConfig], ModelConfig]
    """Makes its configuration."""
    num_steps: int
    """Optimiser steps."""
    batch_size: int
    """Rows of an optimiser step."""
    anneal_steps: int
    """Over which tau of Self-E goes 0 -> 1 (S.13)."""
    micro_batches: int = 8
    """Parts of a batch: one for each of eight GPUs."""


HALF_B = PicturePreset(name="0.5b", network=half_b, num_steps=300_000, batch_size=1024, anneal_steps=300_000)
TWO_B = PicturePreset(
    name="2b", network=two_b, num_steps=PAPER_STEPS, batch_size=1024, anneal_steps=PAPER_ANNEAL_END
)
SMOKE = replace(HALF_B, network=smoke_frozen, num_steps=4, batch_size=4, anneal_steps=2, micro_batches=1)
"""Between the same frozen encoders the smallest network, to see that everything runs."""


def train_on_pictures(preset: PicturePreset, job: TrainingJob, machine: Machine) -> Path:
    """Train (or resume) a preset on the pictures that the caller names, or on what `selfe-eval encode` made of them.

    Returns:
        The folder of the checkpoint.

    Raises:
        UsageError: a choice is missing or makes no sense.
        EncoderError: an encoder is missing, out of reach, or does not fit the network; no weight was read before.
        NoPicturesError, ShardError: there is no usable data.
        TrainingError: the training does not begin or go on.
    """
    chosen = job.options
    data = Path(_needed(chosen, "data")).expanduser()
    preset = SMOKE if chosen.smoke else preset
    if (data / MANIFEST_FILE).is_file():
        plan, source, ends = _encoded(preset, job, data)
    else:
        plan, source, ends = _encoding(preset, job, data)

    skipped = _skipped_of(source)

    def on_step(event: LoopEvent) -> None:
        left_out = {"skipped_pictures": float(len(skipped()))} if skipped() else {}
        job.on_phase(plan.name, event.step, event.num_steps, event.metrics | left_out)

    device = torch.device(job.device)
    try:
        return train_generator(
            plan, source, ends, job.folder, device=device, machine=machine, on_step=on_step
        )
    finally:
        add_skipped(job.folder / _skipped_file(), skipped())


def _skipped_of(source: LatentSource) -> Callable[[], Mapping[str, str]]:
    """The pictures that this process has left out so far, and why; encoded shards have none."""
    return lambda: source.batches.skipped if isinstance(source, EncodedPictures) else {}


def _skipped_file() -> str:
    """Each process meets other broken pictures, and keeps a file of its own."""
    return "skipped.jsonl" if parallel.is_first() else f"skipped-process-{parallel.rank()}.jsonl"


def _encoded(preset: PicturePreset, job: TrainingJob, data: Path) -> tuple[GeneratorPlan, LatentSource, Ends]:
    """Latents and embeddings from shards, which name the frozen networks; no sample is drawn on the way."""
    foreign = [flag(name) for name in ("t5", "clip", "autoencoder", "sizes") if getattr(job.options, name)]
    if foreign:
        raise UsageError(
            f"{data} holds encoded pictures, which were made by frozen networks and at sizes of their own: leave out "
            f"{', '.join(foreign)}."
        )
    objective = _objective(preset, job.options)
    options = _batch_options(preset, job.options, objective)
    source = PrecomputedLatents(data, options, with_fake=objective.needs_fake_prompts)
    network = _network(preset, source.text, source.widths, size_px=source.size_px)
    expected = (network.denoiser.text_width, network.denoiser.pooled_width, network.denoiser.token_dims)
    if source.widths != expected:
        raise UsageError(
            f"{data} was encoded for another network: text tokens, pooled text and image tokens there have the widths "
            f"{source.widths}, preset {preset.name} reads {expected}. Encode with the frozen networks of the paper, or train "
            "with --smoke, which takes any."
        )
    ends = Ends(autoencoder=source.autoencoder, encoders=source.encoders)
    return _plan(preset, job, network, objective), source, ends


def _encoding(
    preset: PicturePreset, job: TrainingJob, data: Path
) -> tuple[GeneratorPlan, LatentSource, Ends]:
    """Pictures, encoded while the model trains."""
    chosen = job.options
    text = FrozenTextConfig(t5=_needed(chosen, "t5"), clip=_needed(chosen, "clip"))
    frozen = FrozenAutoencoderConfig(frozen=_needed(chosen, "autoencoder"))
    sizes = _sizes(chosen.sizes or "256")
    turns = [Turn(buckets=aspect_buckets(size)) for size in sizes]
    objective = _objective(preset, chosen)
    options = _batch_options(preset, chosen, objective)
    widths = (*find_text(text).widths, PATCH * find_autoencoder(frozen).size("latent_channels"))
    network = _network(preset, text, widths, size_px=max(sizes))
    found_text = find_text(text, network.denoiser)
    found_coder = find_autoencoder(frozen, network.denoiser.token_dims)
    with parallel.first_before_others():  # it looks at the pictures, the others read what it kept
        pictures = open_pictures(data, cache=job.folder / "pictures")
    device = torch.device(job.device)
    reader, coder = FrozenText(found_text, device=device), FluxAutoencoder(found_coder, device=device)
    source = EncodedPictures(
        PictureBatches(pictures, turns, options),
        coder,
        reader,
        device=device,
        parts=parallel.own_parts(options.num_parts),
        with_fake=objective.needs_fake_prompts,
    )
    ends = Ends(autoencoder=frozen, encoders=reader.files | coder.files, reader=reader, coder=coder)
    return _plan(preset, job, network, objective), source, ends


def _network(
    preset: PicturePreset, text: FrozenTextConfig, widths: tuple[int, int, int], *, size_px: int
) -> ModelConfig:
    """The preset's network, whose own pictures are the largest squares it is trained on.

    The one that only shows that everything runs takes frozen networks of any widths.
    """
    network = preset.network(text)
    side = size_px // TOKEN_PX
    denoiser = replace(network.denoiser, grid=(side, side))
    if preset is SMOKE:
        text_width, pooled_width, token_dims = widths
        denoiser = replace(denoiser, text_width=text_width, pooled_width=pooled_width, token_dims=token_dims)
    return replace(network, denoiser=denoiser)


def _objective(preset: PicturePreset, chosen: TrainOptions) -> Objective:
    return objective_from(chosen.objective or SelfE.name, anneal_steps=preset.anneal_steps)


def _batch_options(preset: PicturePreset, chosen: TrainOptions, objective: Objective) -> BatchOptions:
    batch_size = chosen.batch_size or preset.batch_size
    num_parts = chosen.micro_batches or preset.micro_batches
    return BatchOptions(
        num_rows=rows_of_a_part(objective, batch_size, num_parts),
        num_parts=num_parts,
        seed=chosen.seed or 0,
        rows_per_caption=objective.rows_per_caption,
    )


def _plan(
    preset: PicturePreset, job: TrainingJob, network: ModelConfig, objective: Objective
) -> GeneratorPlan:
    chosen = job.options
    num_steps = chosen.iterations or preset.num_steps
    return GeneratorPlan(
        name=job.folder.name,
        suite="geneval",
        network=network,
        recipe=Recipe(
            objective=objective,
            num_steps=num_steps,
            micro_batches=chosen.micro_batches or preset.micro_batches,
            peak_lr=3e-4,
            final_lr=1e-5,
            warmup_steps=min(1000, max(1, num_steps // 10)),
            ema_decay=PAPER_DECAY,
            seed=chosen.seed or 0,
        ),
        loop=LoopOptions(
            num_steps=num_steps, log_every=min(50, num_steps), save_every=1000, sample_every=5000
        ),
        sampler=SamplerOptions(),
        batch_size=chosen.batch_size or preset.batch_size,
        data={"pictures": _needed(chosen, "data"), "sizes": chosen.sizes},
    )


def _needed(chosen: TrainOptions, option: str) -> str:
    value = getattr(chosen, option)
    if value is None:
        raise UsageError(
            f"This preset needs {flag(option)}: pictures with captions (--data) and the frozen networks between which the "
            "model works (--t5, --clip, --autoencoder; directories or hub names, FLUX.1's folder serves as all three). "
            "What `selfe-eval encode` wrote needs --data alone."
        )
    return str(value)


def _sizes(text: str) -> list[int]:
    try:
        sizes = [int(part) for part in text.split(",")]
        for size in sizes:
            aspect_buckets(size)
    except ValueError as error:
        raise UsageError(
            f"--sizes {text}: expected pixels such as 256 or 256,512, multiples of 16. {error}"
        ) from error
    return sizes
