"""Which files of a diffusers folder are loaded, and what such a folder must not hold. There is no torch here.

A pipeline is a folder with ``model_index.json``, which names the class of each part, and a subfolder for each part. Weights
are safetensors, never pickles; classes are those of diffusers and transformers, never code that lies beside the weights.
Of a hub name exactly the files that are loaded are fetched, into the hub's own cache; then it is read as a folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from selfe_eval.errors import UsageError
from selfe_eval.generate.peers import PeerSettings
from selfe_eval.provenance import file_sha256

INDEX_FILE = "model_index.json"
LIBRARIES = ("diffusers", "transformers")
"""Where the classes of a pipeline's parts may come from."""
LEFT_OUT = ("safety_checker",)
"""Parts that are not loaded: a picture blacked out by a filter would count as a bad picture."""

_WEIGHTLESS = (
    "Tokenizer",
    "TokenizerFast",
    "TokenizersBackend",
    "Processor",
    "FeatureExtractor",
    "Scheduler",
)
"""How the classes of parts without weights end."""
_SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
"""Configurations, vocabularies and templates."""
_ADAPTER = "adapter_config.json"
"""Where peft is installed, transformers loads the adapter beside a network unasked."""
_KERNELS = frozenset({"attn_implementation", "_attn_implementation"})
"""Where a configuration may name code of the hub, as ``owner/name``, that transformers fetches and runs."""
_PICKLES = (".bin", ".ckpt", ".pt", ".pth")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineFolder:
    """A pipeline on disk that is safe to load."""

    root: Path
    """Holds ``model_index.json``."""
    commit: str | None
    """Of a hub name; None for a folder."""
    class_name: str
    """The pipeline's class, as ``model_index.json`` has it; nobody has looked yet whether diffusers has it."""
    parts: Mapping[str, tuple[str, str]]
    """Part that is loaded -> its library and class."""
    left_out: tuple[str, ...]
    """Parts that the pipeline has and that are not loaded."""
    networks: Mapping[str, Path]
    """Part with weights -> folder that they come from, which settings may have moved."""
    files: Mapping[str, Path]
    """Name for the record -> path of every file that is loaded."""


def diffusers_files(source: str, settings: PeerSettings | None = None) -> dict[str, str]:
    """Relative file name -> SHA-256 of every file that is loaded.

    Args:
        source: A folder in the layout of diffusers, or a hub name.
        settings: Its variant, revision and replaced parts decide which files those are.

    Raises:
        UsageError: as `pipeline_folder` does.
    """
    return hashes_of(pipeline_folder(source, settings or PeerSettings()))


def hashes_of(folder: PipelineFolder) -> dict[str, str]:
    """Relative file name -> SHA-256 of every file that is loaded; of unchanged files computed once a process."""
    return {name: _hash_as_of(path, path.stat().st_mtime_ns) for name, path in sorted(folder.files.items())}


@cache
def _hash_as_of(path: Path, _changed_ns: int) -> str:
    """Weights of tens of gigabytes are hashed where a run is planned and asked for again where it is drawn."""
    return file_sha256(path)


def pipeline_folder(source: str, settings: PeerSettings) -> PipelineFolder:
    """Find a pipeline and look through it, without reading a weight.

    Raises:
        UsageError: nothing is there, a part is missing, weights are pickles, or loading it would run foreign code.
    """
    root = _local(source, settings.revision, [INDEX_FILE, "*/*.json"])
    commit = None if _is_directory(source) else root.name
    index = _read_index(root)
    parts = dict(_parts(root / INDEX_FILE, index))
    _refuse_code_in_the_place_of_a_library(root, parts)
    unknown = sorted(set(settings.parts) - set(parts))
    if unknown:
        raise UsageError(
            f"The settings replace {', '.join(unknown)}, but {root / INDEX_FILE} has no such part: it has {', '.join(parts)}."
        )
    files: dict[str, Path] = {INDEX_FILE: root / INDEX_FILE}
    networks = {}
    for part, (_, class_name) in parts.items():
        place = settings.parts.get(part)
        if place is None:
            found = _Part(place=source, revision=commit, root=root, subfolder=part)
        else:
            found = _Part(place=place, revision=None, root=_local(place, None, ["*.json"]), subfolder="")
        if _has_weights(class_name):
            networks[part] = found.folder
        files |= {f"{part}/{path.name}": path for path in _part_files(found, class_name, settings.variant)}
    return PipelineFolder(
        root=root,
        commit=commit,
        class_name=index["_class_name"],
        parts=parts,
        left_out=tuple(name for name in LEFT_OUT if _is_part(index.get(name))),
        networks=networks,
        files=files,
    )


def _read_index(root: Path) -> dict[str, Any]:
    path = root / INDEX_FILE
    if not path.is_file():
        raise UsageError(
            f"{root} is no diffusers pipeline: expected {INDEX_FILE} and a subfolder for each part, as save_pretrained writes "
            "them. A single file of weights does not say how to draw with it: convert it with diffusers first."
        )
    index = _read_json(path)
    class_name = index.get("_class_name")
    if not isinstance(class_name, str) or not class_name.isidentifier():
        raise UsageError(
            f"{path} names the pipeline {class_name!r}; expected the name of a pipeline class of diffusers. A pipeline whose "
            "class is code in its own folder is not loaded: give it as --model module:attribute, with code of yours."
        )
    return index


def _parts(path: Path, index: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, entry in index.items():
        if name.startswith("_") or name in LEFT_OUT or not _is_part(entry):
            continue
        library, class_name = entry
        if library not in LIBRARIES or not isinstance(class_name, str) or not name.isidentifier():
            raise UsageError(
                f"{path} takes its part {name!r} from {library!r} ({class_name!r}); expected a class of "
                f"{' or '.join(LIBRARIES)}. Anything else is code of the folder or of one pipeline, which is not loaded; "
                "give such a model as --model module:attribute, with code of yours."
            )
        yield name, (library, class_name)


def _is_part(entry: object) -> bool:
    """``[library, class]``; a part that is left empty is ``[null, null]``, and options are no lists."""
    return isinstance(entry, list) and len(entry) == 2 and entry != [None, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Where one part of a pipeline lies."""

    place: str
    """The folder or hub name of it, or of the pipeline it belongs to."""
    revision: str | None
    """Of a hub name."""
    root: Path
    """The place as a folder."""
    subfolder: str
    """In the place; empty where the part is the whole place."""

    @property
    def folder(self) -> Path:
        """Holds the part's files."""
        return self.root / self.subfolder

    def fetch(self, names: Sequence[str]) -> None:
        """See that files of these names or patterns are there, as far as a hub has them."""
        if not _is_directory(self.place):
            prefix = f"{self.subfolder}/" if self.subfolder else ""
            _local(self.place, self.revision, [prefix + name for name in names])


def _part_files(part: _Part, class_name: str, variant: str | None) -> Sequence[Path]:
    """The files of one part, all there."""
    folder = part.folder
    part.fetch(_SMALL_FILES)
    if not folder.is_dir():
        raise UsageError(
            f"{part.root} lacks the folder {part.subfolder}, a {class_name}. Copy the whole pipeline again."
        )
    _refuse_foreign_code(folder)
    weights = _weight_names(part, variant) if _has_weights(class_name) else ()
    _require(folder, class_name, weights)
    small = {path for pattern in _SMALL_FILES for path in folder.glob(pattern) if ".index." not in path.name}
    return sorted({*small, *(folder / name for name in weights)})


def _has_weights(class_name: str) -> bool:
    return not class_name.endswith(_WEIGHTLESS)


def _require(folder: Path, class_name: str, weights: Sequence[str]) -> None:
    missing = [name for name in weights if not (folder / name).is_file()]
    if not missing:
        return
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    advice = (
        f"There is {', '.join(pickles)}, but pickles can run code and are not read: convert them, loading the part on a machine "
        "you can afford to lose and saving it with save_pretrained(safe_serialization=True)."
        if pickles
        else "Copy the whole pipeline again, or name the variant that its files have."
    )
    raise UsageError(f"{folder}, a {class_name}, lacks {', '.join(missing)}. {advice}")


def _weight_names(part: _Part, variant: str | None) -> tuple[str, ...]:
    """One file, or an index and its shards, of the variant where the part has it; where both are there, the one that is read."""
    is_diffusers = _is_diffusers(part.folder)
    stem = "diffusion_pytorch_model" if is_diffusers else "model"
    for infix in [f".{variant}", ""] if variant else [""]:
        whole, index = f"{stem}{infix}.safetensors", part.folder / f"{stem}.safetensors.index{infix}.json"
        part.fetch([whole, f"{stem}{infix}-*-of-*.safetensors"])
        has_whole, has_index = (part.folder / whole).is_file(), index.is_file()
        if has_index and (is_diffusers or not has_whole):
            return (index.name, *_shards(index))
        if has_whole:
            return (whole,)
    return (whole,)


def _is_diffusers(folder: Path) -> bool:
    """Whether diffusers wrote the part: its configurations name a class, those of transformers a type of model."""
    path = folder / "config.json"
    return path.is_file() and "_class_name" in _read_json(path)


def _shards(index: Path) -> list[str]:
    shards = _read_json(index).get("weight_map")
    names = sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []
    if not names or any(Path(name).name != name or not name.endswith(".safetensors") for name in names):
        raise UsageError(
            f"{index} should map weights to .safetensors files beside it, found {names}. Copy it again."
        )
    return names


def _refuse_code_in_the_place_of_a_library(root: Path, parts: Mapping[str, tuple[str, str]]) -> None:
    """Where a file has the name of a part's library, or of no custom pipeline, diffusers below 0.38 runs it unasked."""
    for path in (root / "None.py", *(root / part / f"{library}.py" for part, (library, _) in parts.items())):
        if path.exists():
            raise UsageError(
                f"{path} is code that diffusers would run in the place of its own. A pipeline needs no such file, so this folder "
                "is not to be trusted: get it again from where it was published."
            )


def _refuse_foreign_code(folder: Path) -> None:
    if (folder / _ADAPTER).exists():
        raise UsageError(
            f"{folder} holds an adapter ({_ADAPTER}), which would change the network by weights that are neither looked through "
            "nor recorded. Merge it into the weights and save the part again, or remove its files."
        )
    for path in sorted(folder.glob("*config.json")):
        for key, value in _entries(_read_json(path)):
            if key == "auto_map" or (key in _KERNELS and "/" in str(value)):
                raise UsageError(
                    f"{path} asks to run code of its folder or of the hub ({key}). Such a part is not loaded: use a pipeline "
                    "made of classes of diffusers and transformers, or give the model as --model module:attribute, with code of "
                    "yours."
                )


def _entries(document: object) -> Iterator[tuple[str, object]]:
    """Every entry of a configuration, those of the configurations inside it too."""
    if isinstance(document, dict):
        yield from document.items()
        document = list(document.values())
    if isinstance(document, list):
        for inner in document:
            yield from _entries(inner)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read: expected a JSON object, but {error}. Copy it again."
        ) from error
    if not isinstance(document, dict):
        raise UsageError(
            f"{path} should hold a JSON object, found a {type(document).__name__}. Copy it again."
        )
    return document


def _is_directory(place: str) -> bool:
    return Path(place).expanduser().is_dir()


def _local(place: str, revision: str | None, patterns: list[str]) -> Path:
    """The place as a folder; of a hub name, the files that match the patterns are there or cannot be had."""
    if _is_directory(place):
        return Path(place).expanduser().resolve()
    if not _HUB_NAME.fullmatch(place):
        raise UsageError(
            f"No diffusers pipeline at {place!r}: expected a folder with {INDEX_FILE}, or a hub name as OWNER/NAME."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, RevisionResolutionError

    try:
        return Path(snapshot_download(place, revision=revision, allow_patterns=patterns))
    except (OSError, ValueError, EntryNotFoundError, RevisionResolutionError) as error:
        raise not_given(place, revision, error) from error


def not_given(place: str, revision: str | None, error: Exception) -> UsageError:
    """What to do where the hub did not give a pipeline."""
    from huggingface_hub.errors import GatedRepoError

    if isinstance(error, GatedRepoError):
        return UsageError(
            f"{place!r} is given only to those who accepted its terms on the hub: do that at https://huggingface.co/{place}, say "
            "who you are with `hf auth login`, and repeat the command; or copy the pipeline and give its path."
        )
    command = f"hf download {place}" + (f" --revision {revision}" if revision else "")
    reason = f"{type(error).__name__}, {str(error).partition(chr(10))[0]}"
    return UsageError(
        f"{place!r} is no folder here, and the hub did not give it: {reason} On a machine with network (and access to it), run "
        f"`{command}` once, or copy it and give its path."
    )
