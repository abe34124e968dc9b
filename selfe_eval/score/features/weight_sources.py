"""Where the weights of extractors lie: on this machine, or where to get them. One table; nothing is loaded here.

Whether weights are here can be asked without fetching them: a sweep leaves out what it has no weights for and says
so, and only a metric that was asked for by name is worth a download of gigabytes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.mask2former_weights import FOLDER_VARIABLE, weights_folder
from selfe_eval.score.published_clip import (
    VIT_B_32,
    VIT_G_14,
    VIT_L_14,
    VIT_L_14_336,
    PublishedClip,
    find_on_disk,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """One file at an address."""

    title: str
    """What it is."""
    file: str
    """Its name."""
    url: str
    """Its address."""
    sha256: str
    """Of the official file."""
    other_names: tuple[str, ...] = ()
    """What other programs call the same file."""

    def here(self) -> Path | None:
        """The file, in the folder of weights or in torch.hub's cache."""
        folders = (weights_folder(), _torch_cache())
        candidates = (folder / name for name in (self.file, *self.other_names) for folder in folders)
        return next((path for path in candidates if path.is_file()), None)

    def fetch(self) -> Path:
        """Download the file; it appears under its name only when it is whole, and is the official one.

        Raises:
            OSError, HTTPException, RuntimeError: it cannot be had, or is another one.
        """
        path = weights_folder() / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            self.url, str(path), hash_prefix=self.sha256, progress=sys.stderr.isatty()
        )
        return path

    def advice(self, name: str) -> str:
        """What to do where it is missing, for the extractor of this name."""
        return (
            f"{self.file} is neither in {weights_folder()} nor in {_torch_cache()}. Get it from {self.url} (SHA-256 "
            f"{self.sha256}) and put it into the first of the two, which ${FOLDER_VARIABLE} may name, or name it: "
            f"--weights {name}=PATH"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """Files of a repository of the Hugging Face hub."""

    title: str
    """What it is."""
    repo: str
    """Owner and name."""
    files: tuple[str, ...]
    """What is needed of it. One file is found as itself, several are found as the folder that holds them."""

    def here(self) -> Path | None:
        """The file or folder in the hub's cache, which is not asked over the network."""
        try:
            return self._at(local_files_only=True)
        except LocalEntryNotFoundError:
            return None

    def fetch(self) -> Path:
        """The file or folder, downloaded into the hub's cache.

        Raises:
            OSError, ValueError: it cannot be had; what the hub raises is one of these.
        """
        return self._at(local_files_only=False)

    def advice(self, name: str) -> str:
        """What to do where it is missing, for the extractor of this name."""
        files = " and ".join(self.files)
        put = "name it" if len(self.files) == 1 else "put them into one folder and name that"
        return (
            f"the cache of the Hugging Face hub lacks {files} of {self.repo}. Get {files} from "
            f"https://huggingface.co/{self.repo} and {put}: --weights {name}=PATH"
        )

    def _at(self, *, local_files_only: bool) -> Path:
        paths = [
            Path(hf_hub_download(self.repo, file, local_files_only=local_files_only)) for file in self.files
        ]
        return paths[0] if len(paths) == 1 else paths[0].parent


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSource:
    """A published CLIP model, which open_clip fetches where it is loaded."""

    clip: PublishedClip
    """Which model."""

    @property
    def title(self) -> str:
        """What it is."""
        return f"open_clip's {self.clip.architecture}, {self.clip.pretrained}"

    def here(self) -> Path | None:
        """The file, in the hub's cache or the clip package's."""
        return find_on_disk(self.clip)

    def advice(self, name: str) -> str:
        """What to do where it is missing, for the extractor of this name."""
        return (
            f"the cache of the Hugging Face hub has nothing of {self.clip.hub}. Load them once where there is a network "
            f"connection, or {self.clip.advice(f'--weights {name}=')}"
        )


Source = FileSource | HubSource | ClipSource

INCEPTION = FileSource(
    title="InceptionV3 of 2015-12-05 with TensorFlow's weights, converted for torch-fidelity",
    file="weights-inception-2015-12-05-6726825d.pth",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    other_names=("pt_inception-2015-12-05-6726825d.pth",),
)
DINOV2 = HubSource(
    title="DINOv2 ViT-L/14", repo="facebook/dinov2-large", files=("config.json", "model.safetensors")
)

SOURCES: Mapping[str, Source] = {
    "inception": INCEPTION,
    "inception-clean": INCEPTION,
    "dinov2": DINOV2,
    "clip-vit-l-14": ClipSource(clip=VIT_L_14),
    "clip-vit-l-14-336": ClipSource(clip=VIT_L_14_336),
    "clip-vit-b-32": ClipSource(clip=VIT_B_32),
    "clip-vit-g-14-256": ClipSource(clip=VIT_G_14),
}
"""Name of an extractor -> where its weights are had. An extractor that is not in it brings them along."""


def problem_with_weights(name: str, source: Source | None, given: Path | None) -> str | None:
    """Why an extractor's weights are not at hand, as one paragraph; None where they are. Fetches and loads nothing.

    Args:
        name: Of the extractor.
        source: Where its weights are had; None for one that brings them along.
        given: Where the user says that they are.
    """
    if given is not None and not given.exists():
        return (
            f"The weights of the extractor {name!r} should be at {given}, where there is nothing. Check the path, or leave "
            f"--weights {name} out: they are then looked for."
        )
    if source is None or given is not None or source.here() is not None:
        return None
    return f"The weights of the extractor {name!r} ({source.title}) are missing: {source.advice(name)}"


def find_weights(name: str, source: FileSource | HubSource, given: Path | None) -> Path:
    """An extractor's weights: those given, those on this machine, or a fresh download.

    Args:
        name: Of the extractor.
        source: Where its weights are had.
        given: Where the user says that they are.

    Raises:
        UsageError: There is nothing where the user says, or nothing here and the download failed. It says which file
            to get, from where, its hash where it is known, and where to put it.
    """
    problem = problem_with_weights(name, source, given)
    found = given or source.here()
    if problem is None and found is not None:
        return found
    if given is not None:
        raise UsageError(problem)
    try:
        return source.fetch()
    except (OSError, HTTPException, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{problem} (Downloading it failed: {reason})") from error


def _torch_cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"
