"""Checkpoints on disk: a folder with ``config.json`` and ``model.safetensors``, hashed, never pickled.

``config.json`` holds the format, the name, the suite the model was made for, the SHA-256 of the weights file, the sizes of
network and autoencoder, the sampler defaults and what is known of the training. Weights are stored in 16 bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from selfe.autoencoder import Autoencoder, AutoencoderConfig
from selfe.denoiser import DenoiserConfig
from selfe.model import ConditionalModel, ModelConfig
from selfe.sampler import SamplerOptions
from selfe.text import TextConfig
from selfe.times import SELFE_ANCHORS, Anchor

FORMAT = "selfe-checkpoint/1"
CONFIG_FILE = "config.json"
ENTRIES = ("name", "suite", "files", "network", "autoencoder", "sampler", "training")
"""What every ``config.json`` has beside its format."""
WEIGHTS_FILE = "model.safetensors"


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or not of this format; the message says which and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A loaded any-step model."""

    name: str
    """As it appears on leaderboards."""
    suite: str | None
    """The suite whose prompts it was made for."""
    model: ConditionalModel
    """Text encoder and denoiser, float32, in eval mode."""
    autoencoder: Autoencoder
    """Float32, in eval mode."""
    sampler: SamplerOptions
    """Defaults chosen for this model."""
    training: Mapping[str, Any]
    """What the trainer recorded: objective, images seen, seeds, seconds."""
    sha256: str
    """Of the weights file."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint folder; its ``sha256`` field is ignored and computed from what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": tensor for name, tensor in checkpoint.model.state_dict().items()}
    tensors |= {f"autoencoder.{name}": tensor for name, tensor in checkpoint.autoencoder.state_dict().items()}
    save_file({name: _half(tensor) for name, tensor in tensors.items()}, folder / WEIGHTS_FILE)
    config = {
        "format": FORMAT,
        "name": checkpoint.name,
        "suite": checkpoint.suite,
        "files": {WEIGHTS_FILE: sha256_of(folder / WEIGHTS_FILE)},
        "network": asdict(checkpoint.model.config),
        "autoencoder": asdict(checkpoint.autoencoder.config),
        "sampler": asdict(checkpoint.sampler),
        "training": dict(checkpoint.training),
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1, allow_nan=False) + "\n")


def load_checkpoint(folder: Path, *, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint folder, verify its hash, and build the model strictly.

    Raises:
        CheckpointError: a file is missing, the hash differs, or names or shapes do not fit the configuration.
    """
    config = read_config(folder)
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise CheckpointError(
            f"No {WEIGHTS_FILE} in {folder}, beside its {CONFIG_FILE}. Copy the checkpoint again."
        )
    expected, found = config["files"].get(WEIGHTS_FILE), sha256_of(weights)
    if expected != found:
        raise CheckpointError(
            f"{weights} is damaged or was replaced: its SHA-256 is {found}, but {CONFIG_FILE} beside it names {expected}. "
            "Copy the checkpoint again, or restore the file that belongs to this configuration."
        )
    try:
        tensors = load_file(weights, device=str(device))
    except SafetensorError as error:
        raise CheckpointError(f"{weights} is not a readable safetensors file: {error}.") from error
    model = ConditionalModel(model_config(config["network"])).to(device)
    autoencoder = Autoencoder(autoencoder_config(config["autoencoder"])).to(device)
    _load_strictly(model, tensors, "model.", weights)
    _load_strictly(autoencoder, tensors, "autoencoder.", weights)
    return Checkpoint(
        name=config["name"],
        suite=config["suite"],
        model=model.eval(),
        autoencoder=autoencoder.eval(),
        sampler=SamplerOptions(**config["sampler"]),
        training=config["training"],
        sha256=found,
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed ``config.json`` of a checkpoint folder, checked for its format.

    Raises:
        CheckpointError: the file is missing, is not JSON, or names another format.
    """
    path = folder / CONFIG_FILE
    try:
        config: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise CheckpointError(
            f"No {CONFIG_FILE} in {folder}: a checkpoint is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}."
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise CheckpointError(f"{path}: expected the format {FORMAT!r}, found {found!r}.")
    missing = [entry for entry in ENTRIES if entry not in config]
    if missing:
        raise CheckpointError(f"{path} lacks the entries {', '.join(missing)}. Copy the checkpoint again.")
    return config


def model_config(network: Mapping[str, Any]) -> ModelConfig:
    """The ``network`` entry of a config.json as a ModelConfig."""
    denoiser, text = dict(network["denoiser"]), dict(network["text"])
    for name in ("rope_dims", "grid"):
        denoiser[name] = tuple(denoiser[name])
    for name in ("phrases", "silent"):
        text[name] = tuple(text[name])
    return ModelConfig(
        denoiser=DenoiserConfig(**denoiser),
        text=TextConfig(**text),
        parametrisation=network["parametrisation"],
        anchors=_anchors(network.get("anchors", SELFE_ANCHORS)),
    )


def _anchors(values: Sequence[Sequence[float]]) -> tuple[Anchor, Anchor]:
    (low, mu_low), (high, mu_high) = values
    return (int(low), float(mu_low)), (int(high), float(mu_high))


def autoencoder_config(sizes: Mapping[str, Any]) -> AutoencoderConfig:
    """The ``autoencoder`` entry of a config.json as an AutoencoderConfig."""
    return AutoencoderConfig(
        latent_channels=sizes["latent_channels"],
        encoder_widths=tuple(sizes["encoder_widths"]),
        decoder_widths=tuple(sizes["decoder_widths"]),
    )


def _half(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float16).contiguous()


def _load_strictly(module: torch.nn.Module, tensors: Mapping[str, Tensor], prefix: str, path: Path) -> None:
    own = {
        name.removeprefix(prefix): tensor.float()
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    try:
        module.load_state_dict(own, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit the sizes in {CONFIG_FILE}: {error}") from error
