"""Somebody else's model as ``--model`` names it: read without importing torch and without running anything.

diffusers:PATH_OR_NAME   a diffusers pipeline in a folder or on the hub, as it comes; a preset's own hub name is the preset
PRESET, PRESET=PATH      the same with the settings of a preset, from the hub or a folder
module:attribute         an object of the generator protocol, or a function, in a Python module
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from selfe_eval.errors import UsageError, unknown_name
from selfe_eval.generate.callable_model import load_module_generator, module_files
from selfe_eval.generate.checkpoints import bundled_checkpoints
from selfe_eval.generate.diffusers_files import diffusers_files, hashes_of, pipeline_folder
from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.generate.peers import PRESETS, PeerSettings
from selfe_eval.generate.protocol import Generator

DIFFUSERS = "diffusers"
"""The adapter of pipelines without a preset."""

_KINDS = ("diffusers:PATH_OR_NAME", "module:attribute")
_NAME = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_MODULE = re.compile(rf"{_NAME}:{_NAME}", re.ASCII)
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_PINNED = re.compile(rf"(?P<place>{_HUB_NAME.pattern})@(?P<commit>[0-9a-f]{{40}})", re.ASCII)
_DIFFUSERS_OPTIONS = frozenset({"guidance", "negative_prompt"})
"""Options of the sampler that a diffusers pipeline has too."""


_PRESET_OF = {peer.source: name for name, peer in PRESETS.items() if not peer.settings.parts}
"""Hub name -> the preset that is this very model: called as it comes, a turbo model would be given guidance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Where a model is and what draws for it; nothing of it has been opened."""

    adapter: str
    """``diffusers``, the name of a preset, or ``module:attribute``."""
    place: str
    """Absolute path of a folder, ``owner/name`` on the hub, or ``module:attribute``."""
    commit: str | None = None
    """Of a hub name, once it was found: the hub may hold other files tomorrow."""

    @property
    def reference(self) -> str:
        """What `model_again` finds the same files by: the place, with its commit where it has one."""
        return self.place if self.commit is None else f"{self.place}@{self.commit}"

    @property
    def is_code(self) -> bool:
        """Whether a module of Python is imported, which runs it."""
        return ":" in self.adapter

    @property
    def name(self) -> str:
        """As the leaderboard shows it: the preset, the module and attribute, or the last part of path or hub name."""
        return Path(self.place).name if self.adapter == DIFFUSERS else self.adapter


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundModel:
    """A model whose files have been found and hashed; none of it is loaded."""

    source: ModelSource
    """Where it is and what draws for it."""
    settings: PeerSettings | None
    """How a pipeline is loaded and called; None for a module, which has its own."""
    sha256: Mapping[str, str]
    """File name -> SHA-256 of everything that is loaded."""

    @property
    def name(self) -> str:
        """As the leaderboard shows it, unless the caller says another."""
        return self.source.name

    @property
    def batch_size(self) -> int | None:
        """Images that its preset draws together; None where it does not say."""
        return None if self.settings is None else self.settings.batch_size


def find_model(text: str) -> FoundModel:
    """The model that ``--model`` names. To find ``a.b:c``, Python imports ``a``.

    Raises:
        UsageError: there is no such model, or it could not be loaded safely.
    """
    source = parse_model(text)
    settings = model_settings(source)
    if settings is None:
        return FoundModel(source=source, settings=None, sha256=module_files(source.place))
    folder = pipeline_folder(source.place, settings)
    return FoundModel(
        source=replace(source, commit=folder.commit), settings=settings, sha256=hashes_of(folder)
    )


def model_again(adapter: str, reference: str) -> ModelSource:
    """The model of a run: of a hub name the files of the commit that it began with, whatever came later.

    >>> model_again("diffusers", "stabilityai/sdxl-turbo").commit is None
    True
    """
    pinned = _PINNED.fullmatch(reference)
    if pinned is None or ":" in adapter:
        return ModelSource(adapter=adapter, place=reference)
    return ModelSource(adapter=adapter, place=pinned["place"], commit=pinned["commit"])


def parse_model(text: str) -> ModelSource:
    """What ``--model`` names.

    Raises:
        UsageError: there is no such kind of model, preset or folder.

    >>> parse_model("my_model:Generator")
    ModelSource(adapter='my_model:Generator', place='my_model:Generator')
    >>> parse_model("diffusers:stabilityai/sdxl-turbo").name
    'sdxl-turbo'
    """
    preset, has_path, path = text.partition("=")
    if preset in PRESETS:
        return ModelSource(adapter=preset, place=_folder(text, path) if has_path else PRESETS[preset].source)
    kind, _, place = text.partition(":")
    if kind == DIFFUSERS:
        found = _folder_or_hub_name(text, place)
        return ModelSource(adapter=_PRESET_OF.get(found, DIFFUSERS), place=found)
    if _MODULE.fullmatch(text):
        return ModelSource(adapter=text, place=text)
    if text in bundled_checkpoints():
        raise UsageError(f"--model {text}: this is a checkpoint of Self-E. Say --ckpt {text}.")
    if text and Path(text).expanduser().is_dir():
        raise UsageError(
            f"--model {text}: this is a folder. Say diffusers:{text} for a diffusers pipeline, or --ckpt {text} for a "
            "checkpoint of Self-E."
        )
    raise unknown_name("model", text, [*PRESETS, *_KINDS])


def model_settings(model: ModelSource) -> PeerSettings | None:
    """How a pipeline is loaded and called: as its preset says, or as it comes; None for a module."""
    if model.is_code:
        return None
    return PRESETS[model.adapter].settings if model.adapter in PRESETS else PeerSettings()


def refuse_foreign_options(model: ModelSource, overrides: SamplerOverrides) -> None:
    """Options of the sampler of Self-E mean nothing to another one.

    Raises:
        UsageError: one is given that this model does not have.
    """
    known = frozenset() if model.is_code else _DIFFUSERS_OPTIONS
    foreign = sorted(set(overrides.changes()) - known)
    if foreign:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in foreign)
        instead = (
            "Its module decides how it samples: set it there."
            if model.is_code
            else "A diffusers pipeline takes --guidance and --negative-prompt."
        )
        raise UsageError(f"--model {model.adapter}: {options} belongs to the sampler of Self-E. {instead}")


def model_files(model: ModelSource, settings: PeerSettings | None) -> dict[str, str]:
    """File name -> SHA-256 of every file of a pipeline that is loaded, or of the module's source file.

    Raises:
        UsageError: nothing is there, or it cannot be loaded safely.
    """
    if model.is_code:
        return module_files(model.place)
    return diffusers_files(model.place, _pinned(model, settings))


def load_model_generator(
    model: ModelSource, settings: PeerSettings | None, overrides: SamplerOverrides, device: str
) -> Generator:
    """The generator of a model; the caller has compared its files.

    Args:
        model: Where it is. A module is imported, which runs it.
        settings: How a pipeline is loaded and called; None: as it comes.
        overrides: Changes to a pipeline's guidance and negative prompt.
        device: A torch device string; a module chooses its own.

    Raises:
        UsageError: it cannot be loaded, or is no generator.
    """
    if model.is_code:
        return load_module_generator(model.place)
    from selfe_eval.generate.diffusers_pipeline import load_diffusers_generator

    return load_diffusers_generator(model.place, _pinned(model, settings), overrides, device)


def _pinned(model: ModelSource, settings: PeerSettings | None) -> PeerSettings:
    settings = settings or PeerSettings()
    return settings if model.commit is None else replace(settings, revision=model.commit)


def _folder_or_hub_name(text: str, place: str) -> str:
    if place and Path(place).expanduser().exists():
        return _folder(text, place)
    if not _HUB_NAME.fullmatch(place):
        raise UsageError(
            f"--model {text}: expected a folder with a diffusers pipeline after 'diffusers:', or its name on the hub as "
            f"owner/name; found no folder {place!r} from {Path.cwd()}."
        )
    return place


def _folder(text: str, place: str) -> str:
    path = Path(place).expanduser()
    if not place or not path.is_dir():
        raise UsageError(
            f"--model {text}: expected a folder with a diffusers pipeline, as save_pretrained writes it; found "
            f"{'a file' if path.is_file() else 'nothing'} at {place!r} (looked from {Path.cwd()})."
        )
    return str(path.resolve())
