"""Where a frozen network lies, what it is, and which weight files it has: all known before a weight is read.

A place is a directory or a hub name. Two layouts are read: a network and its tokenizer together, as ``save_pretrained``
writes them (``config.json`` at the top), and a diffusers pipeline such as FLUX.1's (``model_index.json`` at the top, each
part in its subfolder); so one and the same place can be named for all three roles. Weights are safetensors, never pickles,
and no code of a place is ever run. What a hub name stands for is fetched into the hub's own cache and then read as a
directory; ``HF_HUB_OFFLINE=1`` keeps to that cache.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfe.file_hash import sha256_of

CONFIG_FILE = "config.json"
PIPELINE_FILE = "model_index.json"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class EncoderError(ValueError):
    """A frozen encoder that is missing, of the wrong kind or width, or out of reach; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One of the three frozen networks around a large denoiser."""

    name: str
    """As the entries of a checkpoint and the options of the program call it."""
    about: str
    """For messages."""
    class_name: str
    """The class that ``model_index.json`` of a pipeline names."""
    kinds: tuple[str, ...]
    """What ``config.json`` may say under ``model_type`` or ``_class_name``."""
    stem: str
    """Of its weight files."""
    variable: str
    """Environment variable that says where it lies, whatever a checkpoint names."""
    has_tokenizer: bool = True
    """Whether it reads texts."""


T5 = Role(
    name="t5",
    about="T5 text encoder",
    class_name="T5EncoderModel",
    kinds=("t5",),
    stem="model",
    variable="SELFE_T5",
)
CLIP = Role(
    name="clip",
    about="CLIP text encoder",
    class_name="CLIPTextModel",
    kinds=("clip_text_model", "clip"),
    stem="model",
    variable="SELFE_CLIP",
)
AUTOENCODER = Role(
    name="autoencoder",
    about="autoencoder",
    class_name="AutoencoderKL",
    kinds=("AutoencoderKL",),
    stem="diffusion_pytorch_model",
    variable="SELFE_AUTOENCODER",
    has_tokenizer=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenPart:
    """A frozen network whose configuration has been read; its weights have not."""

    role: Role
    """What it is for."""
    place: str
    """The directory (absolute) or hub name it was found at."""
    root: Path
    """The place as a directory of this machine."""
    folder: Path
    """Holds ``config.json`` and the weights: ``root`` or a subfolder of it."""
    tokenizer: Path
    """Holds the tokenizer's files: ``folder`` itself, or its sister in a pipeline."""
    config: Mapping[str, Any]
    """The parsed ``config.json``."""

    def size(self, name: str, *, below: str | None = None) -> int:
        """A number of the configuration, or of the object ``below`` in it where there is one.

        Raises:
            EncoderError: it is not there.
        """
        sizes = self.config.get(below, self.config) if below else self.config
        try:
            return int(sizes[name])
        except (KeyError, TypeError, ValueError) as error:
            raise EncoderError(
                f"{self.folder / CONFIG_FILE} has no whole number {name!r}, which a {self.role.about} has. Copy it again."
            ) from error

    def require(self, what: str, *, found: int, expected: int, of: str) -> None:
        """Refuse a network of another size.

        Raises:
            EncoderError: the numbers differ.
        """
        if found != expected:
            raise EncoderError(
                f"The {self.role.about} {self.place} does not fit: {self.folder / CONFIG_FILE} says {what} {found}, expected "
                f"{expected}, {of}. Name the {self.role.about} that the model was made for, or a model made for this one."
            )


def relocated(role: Role, place: str) -> str:
    """The place that the environment names for a role, else the given one: encoders lie elsewhere on each machine."""
    return os.environ.get(role.variable) or place


def settled(place: str) -> str:
    """A directory by its absolute path, so that it is found from anywhere on this machine; a hub name as it is."""
    return str(Path(place).expanduser().resolve()) if _is_directory(place) else place


def find_part(role: Role, place: str) -> FrozenPart:
    """Locate a frozen network and read its configuration, without a weight.

    Raises:
        EncoderError: there is nothing at the place, the hub cannot be reached, or it is another kind of network.
    """
    root = _local(role, place, ["*.json"])
    subfolder = _subfolder(role, root) if (root / PIPELINE_FILE).is_file() else ""
    folder = root / subfolder
    config = _read_json(role, folder / CONFIG_FILE)
    kind = config.get("model_type") or config.get("_class_name")
    if kind not in role.kinds:
        raise EncoderError(
            f"{folder / CONFIG_FILE} is the configuration of a {kind!r}; that of the {role.about} says "
            f"{' or '.join(map(repr, role.kinds))}. {_what_to_name(role)}"
        )
    return FrozenPart(
        role=role,
        place=settled(place),
        root=root,
        folder=folder,
        tokenizer=root / subfolder.replace("text_encoder", "tokenizer"),
        config=config,
    )


def weight_hashes(part: FrozenPart, expected: Mapping[str, str] | None = None) -> dict[str, str]:
    """Fetch what is missing of a network; the SHA-256 of each of its weight files, by name.

    Args:
        part: The network.
        expected: What a checkpoint says that these hashes are; None or empty: it says nothing.

    Raises:
        EncoderError: a weight file is missing, there are none but pickles, or they are not the expected ones.
    """
    names = _weight_names(part)
    if not _is_directory(part.place):
        inside = part.folder.relative_to(part.root)
        merges = part.tokenizer.relative_to(part.root) / "*.txt"
        _local(
            part.role, part.place, [path.as_posix() for path in (*(inside / name for name in names), merges)]
        )
    missing = [name for name in names if not (part.folder / name).is_file()]
    if missing:
        others = sorted(path.name for path in part.folder.iterdir() if path.suffix in {".bin", ".pt", ".pth"})
        raise EncoderError(
            f"The {part.role.about} {part.place} lacks {', '.join(missing)} in {part.folder}"
            + (f" (there is {', '.join(others)}, but pickles are not read)" if others else "")
            + f". {_what_to_name(part.role)}"
        )
    found = {name: sha256_of(part.folder / name) for name in names}
    if expected and dict(expected) != found:
        raise EncoderError(
            f"The {part.role.about} in {part.folder} is not the one that the model was trained with: expected SHA-256 "
            f"{dict(expected)}, found {found}. Set {part.role.variable} to a copy of that one; to draw with another all "
            "the same, take its entry out of 'encoders' in the checkpoint's config.json."
        )
    return found


def _is_directory(place: str) -> bool:
    return bool(place) and Path(place).expanduser().is_dir()


def _local(role: Role, place: str, patterns: list[str]) -> Path:
    """The place as a directory; of a hub name, the files that match the patterns are there or cannot be had."""
    if _is_directory(place):
        return Path(place).expanduser()
    if not _HUB_NAME.fullmatch(place):
        raise EncoderError(
            f"No {role.about} at {place!r}: expected a directory of this machine, or a hub name as OWNER/NAME. "
            f"{_what_to_name(role)}"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, RevisionResolutionError

    try:
        return Path(snapshot_download(place, allow_patterns=patterns))
    except (OSError, ValueError, EntryNotFoundError, RevisionResolutionError) as error:
        raise EncoderError(
            f"The {role.about} {place!r} is no directory here, and the hub did not give it: {type(error).__name__}, "
            f"{str(error).splitlines()[0]}. On a machine with network (and access to it), run `hf download {place}` once, "
            f"or copy it as a directory. {_what_to_name(role)}"
        ) from error


def _what_to_name(role: Role) -> str:
    layout = f"{CONFIG_FILE}, {role.stem}.safetensors" + (" and its tokenizer" if role.has_tokenizer else "")
    return (
        f"Expected for the {role.about}: a directory with {layout}, or a pipeline with {PIPELINE_FILE} such as FLUX.1's; give "
        f"its path, for a checkpoint through the environment variable {role.variable}."
    )


def _subfolder(role: Role, root: Path) -> str:
    parts = _read_json(role, root / PIPELINE_FILE)
    names = [
        name for name, part in parts.items() if isinstance(part, list) and part[-1:] == [role.class_name]
    ]
    if any(Path(name).name != name for name in names):
        raise EncoderError(f"{root / PIPELINE_FILE} should name parts in folders beside it, found {names}.")
    if len(names) != 1:
        raise EncoderError(
            f"{root / PIPELINE_FILE} names {len(names)} parts of the class {role.class_name}; expected one, the "
            f"{role.about}. {_what_to_name(role)}"
        )
    return str(names[0])


def _read_json(role: Role, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EncoderError(
            f"The {role.about} has no readable {path}: {type(error).__name__}. {_what_to_name(role)}"
        ) from error
    if not isinstance(document, dict):
        raise EncoderError(f"{path} should hold a JSON object, found a {type(document).__name__}.")
    return document


def _weight_names(part: FrozenPart) -> list[str]:
    """The names that an index lists, or the one name without an index."""
    whole = f"{part.role.stem}.safetensors"
    index = part.folder / f"{whole}.index.json"
    if not index.is_file():
        return [whole]
    shards = _read_json(part.role, index).get("weight_map")
    names = sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []
    if not names or any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
        raise EncoderError(f"{index} should map weights to .safetensors files beside it. Copy it again.")
    return names
