"""Checkpoints on disk: a folder with ``config.json`` and ``model.safetensors``, hashed, never pickled.

``config.json`` holds the format, the name, the suite the model was made for, the SHA-256 of the weights file, the sizes of
network and autoencoder, the sampler defaults and what is known of the training. Weights are stored as float16, which keeps
three bits more of each than bfloat16; a weight that float16 cannot hold is refused.

A large model's text encoders and autoencoder are frozen networks of others: ``network.text`` and ``autoencoder`` then name
them (a directory or a hub name), ``encoders`` holds the SHA-256 of their weight files where the trainer knew them, and
``model.safetensors`` holds the denoiser alone.

Both files are written whole under other names and then renamed, one right after the other. A kill between the two renames
leaves weights that the older configuration does not name: the hash shows it, and the newer one lies beside it (PENDING).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from selfe.autoencoder import Autoencoder, AutoencoderConfig
from selfe.denoiser import DenoiserConfig
from selfe.encoders.flux_autoencoder import FrozenAutoencoderConfig
from selfe.encoders.places import settled
from selfe.file_hash import sha256_of
from selfe.model import ConditionalModel, FrozenTextConfig, ModelConfig
from selfe.sampler import SamplerOptions
from selfe.text import TextConfig
from selfe.times import SELFE_ANCHORS, Anchor

FORMAT = "selfe-checkpoint/1"
CONFIG_FILE = "config.json"
ENTRIES = ("name", "suite", "files", "network", "autoencoder", "sampler", "training")
"""What every ``config.json`` has beside its format."""
WEIGHTS_FILE = "model.safetensors"
PENDING = ".pending"
"""Ends the names of both files until they are whole."""


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
    """Denoiser and its own text encoder if it has one, float32, in eval mode."""
    autoencoder: Autoencoder | FrozenAutoencoderConfig
    """The model's own, float32, in eval mode; or where a frozen one lies."""
    sampler: SamplerOptions
    """Defaults chosen for this model."""
    training: Mapping[str, Any]
    """What the trainer recorded: objective, images seen, seeds, seconds."""
    sha256: str
    """Of the weights file."""
    encoders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of each frozen encoder's weight files: role -> file name -> SHA-256; empty where the trainer did not know."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint folder; its ``sha256`` field is ignored and computed from what was written.

    Raises:
        CheckpointError: a weight is NaN, infinite or too large for float16; the folder is left as it was.
    """
    weights, config_file = (folder / f"{name}{PENDING}" for name in (WEIGHTS_FILE, CONFIG_FILE))
    modules: dict[str, torch.nn.Module] = {"model": checkpoint.model}
    if isinstance(checkpoint.autoencoder, Autoencoder):
        modules["autoencoder"] = checkpoint.autoencoder
    tensors = {
        f"{prefix}.{name}": _half(f"{prefix}.{name}", tensor)
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, weights)
    config_file.write_text(
        json.dumps(_config(checkpoint, sha256_of(weights)), indent=1, allow_nan=False) + "\n"
    )
    weights.replace(folder / WEIGHTS_FILE)
    config_file.replace(folder / CONFIG_FILE)


def _config(checkpoint: Checkpoint, sha256: str) -> dict[str, Any]:
    network, coder = checkpoint.model.config, checkpoint.autoencoder
    config = {
        "format": FORMAT,
        "name": checkpoint.name,
        "suite": checkpoint.suite,
        "files": {WEIGHTS_FILE: sha256},
        "network": {**asdict(network), "text": _settled(asdict(network.text), ("t5", "clip"))},
        "autoencoder": (
            asdict(coder.config) if isinstance(coder, Autoencoder) else _settled(asdict(coder), ("frozen",))
        ),
        "sampler": asdict(checkpoint.sampler),
        "training": dict(checkpoint.training),
    }
    if checkpoint.encoders:
        config["encoders"] = {role: dict(files) for role, files in checkpoint.encoders.items()}
    return config


def _settled(names: dict[str, Any], places: Sequence[str]) -> dict[str, Any]:
    """The same, with directories among the places by their absolute paths."""
    return {name: settled(value) if name in places else value for name, value in names.items()}


def load_checkpoint(folder: Path, *, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint folder, verify its hash, and build the model strictly.

    Raises:
        CheckpointError: a file is missing, the hash differs, or names or shapes do not fit the configuration.
    """
    config = read_config(folder)
    weights = folder / WEIGHTS_FILE
    with _reading("sampler"):
        sampler = SamplerOptions(**config["sampler"])
    sha256 = _verified(weights, config["files"].get(WEIGHTS_FILE))
    with torch.device("meta"):
        model = ConditionalModel(model_config(config["network"]))
        sizes = autoencoder_config(config["autoencoder"])
        autoencoder = Autoencoder(sizes) if isinstance(sizes, AutoencoderConfig) else sizes
    _fill(model, weights, "model.", device)
    if isinstance(autoencoder, Autoencoder):
        _fill(autoencoder, weights, "autoencoder.", device)
    return Checkpoint(
        name=config["name"],
        suite=config["suite"],
        model=model.eval(),
        autoencoder=autoencoder.eval() if isinstance(autoencoder, Autoencoder) else autoencoder,
        sampler=sampler,
        training=config["training"],
        sha256=sha256,
        encoders=config.get("encoders", {}),
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
    if not isinstance(config["files"], dict):
        raise CheckpointError(
            f"{path}: 'files' should name {WEIGHTS_FILE} and its SHA-256. Copy the checkpoint again."
        )
    return config


def model_config(network: Mapping[str, Any]) -> ModelConfig:
    """The ``network`` entry of a config.json as a ModelConfig.

    Raises:
        CheckpointError: something in it is missing, unknown or without a meaning.
    """
    with _reading("network"):
        denoiser = dict(network["denoiser"])
        for name in ("rope_dims", "grid"):
            denoiser[name] = tuple(denoiser[name])
        return ModelConfig(
            denoiser=DenoiserConfig(**denoiser),
            text=_text_config(network["text"]),
            parametrisation=network["parametrisation"],
            anchors=_anchors(network.get("anchors", SELFE_ANCHORS)),
        )


def _text_config(text: Mapping[str, Any]) -> TextConfig | FrozenTextConfig:
    if "t5" in text:
        return FrozenTextConfig(**text)
    lists = {name: tuple(text[name]) for name in ("phrases", "silent")}
    return TextConfig(**{**text, **lists})


def _anchors(values: Sequence[Sequence[float]]) -> tuple[Anchor, Anchor]:
    (low, mu_low), (high, mu_high) = values
    return (int(low), float(mu_low)), (int(high), float(mu_high))


def autoencoder_config(sizes: Mapping[str, Any]) -> AutoencoderConfig | FrozenAutoencoderConfig:
    """The ``autoencoder`` entry of a config.json: the sizes of the model's own, or where a frozen one lies.

    Raises:
        CheckpointError: something in it is missing or unknown.
    """
    with _reading("autoencoder"):
        if "frozen" in sizes:
            return FrozenAutoencoderConfig(**sizes)
        return AutoencoderConfig(
            latent_channels=sizes["latent_channels"],
            encoder_widths=tuple(sizes["encoder_widths"]),
            decoder_widths=tuple(sizes["decoder_widths"]),
        )


@contextmanager
def _reading(entry: str) -> Iterator[None]:
    """Whatever goes wrong while an entry of a config.json becomes options is the entry's fault."""
    try:
        yield
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The entry {entry!r} of {CONFIG_FILE} cannot be read ({type(error).__name__}: {error}). Copy the checkpoint "
            "again; if it is whole, a newer version of this package wrote it."
        ) from error


def _half(name: str, tensor: Tensor) -> Tensor:
    half = tensor.detach().to("cpu", torch.float16).contiguous()
    if not half.isfinite().all():
        raise CheckpointError(
            f"The weight {name} holds a number that is NaN, infinite or beyond 65504, the largest of float16: the training "
            "has diverged. Nothing was written. Go on from an earlier state with a lower learning rate."
        )
    return half


def _verified(weights: Path, expected: str | None) -> str:
    """The SHA-256 of the weights file, which is the expected one."""
    if not weights.is_file():
        raise CheckpointError(
            f"No {WEIGHTS_FILE} in {weights.parent}, beside its {CONFIG_FILE}. Copy the checkpoint again."
        )
    found = sha256_of(weights)
    if expected == found:
        return found
    pending = weights.with_name(f"{CONFIG_FILE}{PENDING}")
    raise CheckpointError(
        f"{weights} is damaged or was replaced: its SHA-256 is {found}, but {CONFIG_FILE} beside it names {expected}. "
        + (
            f"If its writer was killed, {pending} is the configuration of these weights: rename it to {CONFIG_FILE}. "
            if pending.is_file()
            else ""
        )
        + "Copy the checkpoint again, or restore the file that belongs to this configuration."
    )


def _fill(module: torch.nn.Module, weights: Path, prefix: str, device: torch.device | str) -> None:
    """Give a module without memory its weights, in float32 on a device, one copy and no more."""
    try:
        with safe_open(weights, framework="pt", device=str(device)) as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 - not a dict
            own = {name.removeprefix(prefix): file.get_tensor(name).float() for name in names}
    except SafetensorError as error:
        raise CheckpointError(f"{weights} is not a readable safetensors file: {error}.") from error
    try:
        module.load_state_dict(own, strict=True, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{weights} does not fit the sizes in {CONFIG_FILE}: {error}") from error
