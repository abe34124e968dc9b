"""Hold a checkpoint's evaluation of its own samples beside a teacher's, on fresh scenes of the openmoji world.

The scenes are captioned training scenes of a seed of their own, encoded by the autoencoder that all models share. Each model
reads the prompts with its own vocabulary. All of it is float32: the directions are small differences of large numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfe.autoencoder import Autoencoder, patchify, to_uint8, to_unit_range, unpatchify
from selfe.checkpoint import Checkpoint
from selfe.condition import Condition
from selfe.parametrisation import predicted_clean
from selfe.probe import Evaluator, Noises, cosine, energy_share, norm_ratio, probe_directions
from selfe.text import TextConfig, Tokeniser
from selfe_eval.errors import UsageError
from selfe_eval.generate.checkpoints import CheckpointFolder
from selfe_eval.generate.selfe_checkpoint import load_pipeline
from selfe_eval.openmoji.scenes import render
from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.openmoji.training_scenes import sample_training_scenes

ROWS = 64
"""Scenes that go through the networks together."""

SEED_OFFSET = 7_000_000_019
"""Added to the seed of the scenes, so that they are none of those a model was trained on."""

MEASURES = {"cosine": cosine, "norm_ratio": norm_ratio, "energy_share": energy_share}
"""What is measured of (student's direction, teacher's direction)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """On what the models are compared."""

    num_scenes: int
    """Scenes, each with its own noises; the same for every checkpoint and every s."""
    times: tuple[float, ...]
    """The values of s, in (0, 1], ascending."""
    start: float | None
    """t, from which xhat0 is predicted, at least the greatest s; None draws it for each scene, evenly in [s, 1]."""
    seed: int
    """Of scenes and noises."""
    num_pictures: int
    """Scenes that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picture:
    """One scene as the probe sees it; images are (H, W, 3) uint8, red, green, blue."""

    prompt: str
    """What is in it."""
    images: tuple[NDArray[np.uint8], ...]
    """Decoded: x0, xhat0, xhat0 - Delta of the student, xhat0 - Delta of the teacher."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probed:
    """One checkpoint against the teacher."""

    values: dict[str, dict[float, NDArray[np.float64]]]
    """Measure -> s -> one value for each scene; NaN where a direction is zero."""
    pictures: tuple[Picture, ...]
    """The first scenes, at ``picture_time``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenes:
    """The scenes of a question."""

    prompts: list[str]
    """Their captions."""
    latents: Tensor
    """float32 (N, L, D)."""
    noises: Noises
    """float32, each (N, L, D)."""
    place: Tensor
    """(N,) in [0, 1]: where t lies between s and 1, if it is drawn."""


def picture_time(question: Question) -> float:
    """The s at which pictures are made: the middle one."""
    return question.times[len(question.times) // 2]


def load_subjects(folders: Sequence[CheckpointFolder], device: str) -> list[Checkpoint]:
    """The checkpoints, the teacher last, seen to share the latent space.

    Raises:
        UsageError: one cannot be loaded, is of another kind, or has another autoencoder or number of tokens.
    """
    loaded = [load_pipeline(folder, device).checkpoint for folder in folders]
    for folder, checkpoint in zip(folders, loaded, strict=True):
        if not isinstance(checkpoint.model.config.text, TextConfig) or not isinstance(
            checkpoint.autoencoder, Autoencoder
        ):
            raise UsageError(
                f"{folder.reference} has frozen encoders of others; `probe` is made for checkpoints of the openmoji world, "
                "which bring their own (`selfe-eval train tiny`)."
            )
    teacher = loaded[-1]
    for folder, checkpoint in zip(folders, loaded, strict=True):
        reason = _difference(checkpoint, teacher)
        if reason:
            raise UsageError(
                f"{folder.reference} and the teacher {folders[-1].reference} cannot be compared: {reason}. Both have to "
                "speak of the same latents. Give a teacher that was trained with the same autoencoder, as `selfe-eval train "
                "tiny`, selfe-tiny and flow-tiny are."
            )
    return loaded


def _difference(a: Checkpoint, b: Checkpoint) -> str:
    mine, other = a.model.config.denoiser, b.model.config.denoiser
    if (mine.grid, mine.token_dims) != (other.grid, other.token_dims):
        return (
            f"its latents are {mine.grid} tokens of {mine.token_dims} numbers, the teacher's {other.grid} tokens of "
            f"{other.token_dims}"
        )
    weights, others = (cast("Autoencoder", one.autoencoder).state_dict() for one in (a, b))
    same = weights.keys() == others.keys() and all(
        weights[name].shape == others[name].shape and torch.equal(weights[name], others[name])
        for name in weights
    )
    return "" if same else "their autoencoders have other weights"


@torch.no_grad()
def draw_scenes(question: Question, subjects: Sequence[Checkpoint]) -> Scenes:
    """Scenes and noises of a question, encoded by the autoencoder that all subjects share.

    Raises:
        UsageError: a subject does not know a word of a caption.
    """
    labelled = sample_training_scenes(
        question.num_scenes, question.seed + SEED_OFFSET, include_held_out=False
    )
    prompts = [prompt.text for prompt in labelled.prompts]
    for subject in subjects:
        reader = Tokeniser(cast("TextConfig", subject.model.config.text))
        unknown = sorted({word for prompt in prompts for word in reader.unknown_words(prompt)})
        if unknown:
            raise UsageError(
                f"{subject.name} does not know {', '.join(unknown[:5])} of the scenes' captions: its vocabulary is not that of "
                "the openmoji world. Give checkpoints of `selfe-eval train tiny`, or bundled ones."
            )
    autoencoder = cast("Autoencoder", subjects[0].autoencoder)
    device = next(autoencoder.parameters()).device
    images = to_unit_range(render(load_sprite_bank(), labelled.scenes))
    latents = torch.cat([patchify(autoencoder.encode(part.to(device))) for part in images.split(ROWS)])
    generator = torch.Generator().manual_seed(question.seed)
    eps, fresh = (torch.randn(latents.shape, generator=generator).to(device) for _ in range(2))
    place = torch.rand(len(latents), generator=generator).to(device)
    return Scenes(prompts=prompts, latents=latents.float(), noises=Noises(eps, fresh), place=place)


@torch.no_grad()
def probe(student: Checkpoint, teacher: Checkpoint, scenes: Scenes, question: Question) -> Probed:
    """Compare the two directions for every s, and decode what they do to the first scenes."""
    values: dict[str, dict[float, list[Tensor]]] = {name: {} for name in MEASURES}
    pictures: list[Picture] = []
    for s in question.times:
        for begin in range(0, len(scenes.prompts), ROWS):
            rows = slice(begin, begin + ROWS)
            x0, prompts = scenes.latents[rows], scenes.prompts[rows]
            own, other = evaluator(student, prompts), evaluator(teacher, prompts)
            second = torch.full((len(x0),), s, device=x0.device)
            first = (
                second + (1.0 - second) * scenes.place[rows]
                if question.start is None
                else torch.full_like(second, question.start)
            )
            noises = Noises(scenes.noises.eps[rows], scenes.noises.fresh[rows])
            found = probe_directions(own, other, x0, first, second, noises)
            for name, measure in MEASURES.items():
                values[name].setdefault(s, []).append(measure(found.student, found.teacher).cpu())
            if begin == 0 and s == picture_time(question):
                shown = (x0, found.xhat0, found.xhat0 - found.student, found.xhat0 - found.teacher)
                pictures = decoded(student, [tokens[: question.num_pictures] for tokens in shown], prompts)
    return Probed(
        values={
            name: {s: torch.cat(parts).numpy() for s, parts in by_time.items()}
            for name, by_time in values.items()
        },
        pictures=tuple(pictures),
    )


def evaluator(checkpoint: Checkpoint, prompts: Sequence[str]) -> Evaluator:
    """A checkpoint's network with these prompts in its own vocabulary."""
    model, device = checkpoint.model, next(checkpoint.model.parameters()).device
    read = Tokeniser(cast("TextConfig", model.config.text))

    def clean(x_t: Tensor, t: Tensor, s: Tensor, c: Condition) -> Tensor:
        return predicted_clean(model(x_t, t, s, c), x_t, t, model.config.parametrisation)

    return Evaluator(clean=clean, c=read(list(prompts)).to(device), phi=read([""]).to(device))


def decoded(checkpoint: Checkpoint, columns: Sequence[Tensor], prompts: Sequence[str]) -> list[Picture]:
    """The pictures of latents: columns of the same rows, each (N, L, D), and the rows' prompts."""
    rows, cols = checkpoint.model.config.denoiser.grid
    autoencoder = cast("Autoencoder", checkpoint.autoencoder)
    images = [
        to_uint8(autoencoder.decode(unpatchify(tokens, 2 * rows, 2 * cols))).permute(0, 2, 3, 1).cpu().numpy()
        for tokens in columns
    ]
    return [
        Picture(prompt=prompt, images=tuple(column[number] for column in images))
        for number, prompt in enumerate(prompts[: len(images[0])])
    ]
