"""CLIP models with trained weights: where these come from, and proof that the network is the one they were trained in.

OpenAI's were trained with QuickGELU. From release 2.29 on, open_clip builds ``ViT-L-14`` with plain GELU, loads them
and only warns; and where it finds no weights it goes on with random ones. Either model prints a score. Here the built
network is looked at, and both are errors.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.transformer import QuickGELU
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from selfe_eval.errors import UsageError
from selfe_eval.provenance import file_sha256, json_sha256
from selfe_eval.resources import checkpoints_dir
from selfe_eval.score.clip_file import ClipFile, read_clip_file, reason_of
from selfe_eval.score.judge_weights import read_weights
from selfe_eval.score.published_clip import OPENAI, OPENAI_FILES, PublishedClip

BUNDLED_FORMAT = "selfe-eval-clip/1"
BUNDLED_FILE = "open_clip_model.safetensors"
CONFIG_FILE = "open_clip_config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipModel:
    """A CLIP network with trained weights, and what it needs to see and read."""

    network: Any
    """With ``encode_image`` and ``encode_text``, in float32."""
    preprocess: Callable[[Image.Image], Tensor]
    """open_clip's validation transform: a picture to (3, size, size)."""
    tokenizer: Callable[..., Tensor]
    """N sentences to (N, context length) token numbers."""
    name: str
    """open_clip's name of the network, the bundled model's own, or ``local-dir``."""
    pretrained: str | None
    """open_clip's tag of the weights; None where they are no published ones."""
    weights_sha256: str
    """Of the weight file."""
    config_sha256: str | None = None
    """Of the configuration, where it lies in a folder beside the weights."""
    is_own: bool = False
    """Whether the weights are a user's: neither published nor bundled."""
    is_bundled: bool = False
    """Whether it is the tiny model of the openmoji world."""

    @property
    def library(self) -> dict[str, Any]:
        """The release of open_clip, for a description of the model.

        It identifies the published models, whose transform is the release's default. The bundled one states its
        transform in a configuration with a hash, and its activation; there the release is only kept beside the scores.
        """
        release = {"open_clip": open_clip.__version__}
        return {"releases": release} if self.is_bundled else release


def bundled_model(folder: Path | None = None) -> ClipModel:
    """The tiny model of the openmoji world, after checking its hash.

    Args:
        folder: Another folder of the same form than the bundled one.

    Raises:
        UsageError: The weights are missing or corrupt.
    """
    folder = folder or _bundled_folder()
    weights = read_weights(folder, expected_format=BUNDLED_FORMAT, file_name=BUNDLED_FILE)
    network, preprocess, tokenizer = _from_folder(folder)
    return ClipModel(
        network=network,
        preprocess=preprocess,
        tokenizer=tokenizer,
        name=weights.config["name"],
        pretrained=None,
        weights_sha256=weights.sha256,
        config_sha256=_config_sha256(folder),
        is_bundled=True,
    )


def published_model(clip: PublishedClip, *, purpose: str, option: str) -> ClipModel:
    """A published model: its weights from the hub, the hub's cache or the clip package's.

    Args:
        clip: Which model.
        purpose: What to call it in the error.
        option: What to type to name the weights, up to the file's own name.

    Raises:
        UsageError: The weights are neither cached nor to be had, or not what they should be.
    """
    try:
        path = open_clip.download_pretrained(open_clip.get_pretrained_cfg(clip.architecture, clip.pretrained))
    except (OSError, RuntimeError, ValueError) as error:
        if clip.file is not None and clip.file.kept.is_file():
            return model_from_file(clip.file.kept, clip)
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"The weights of {purpose} ({clip.architecture}, {clip.pretrained}) are not in the hub's cache and "
            f"could not be downloaded ({reason}). Try again with a network connection, or {clip.advice(option)}"
        ) from error
    return model_from_file(Path(path), clip, is_official=True)


def known_file(path: Path, clip: PublishedClip) -> ClipModel:
    """The published file itself, by its hash.

    Raises:
        UsageError: The file is missing, damaged, unsafe, or another one.
    """
    model = model_from_file(path, clip)
    refuse_unknown_origin(path, model, clip)
    return model


def refuse_unknown_origin(path: Path, model: ClipModel, clip: PublishedClip) -> None:
    """Of a file that is not OpenAI's nobody knows the activation, which its tensors do not tell.

    Raises:
        UsageError: The model is not the published one.
    """
    if not model.is_own:
        return
    wanted = "a file of known hash" if clip.file is None else f"OpenAI's {clip.file.name}"
    expected = "" if clip.file is None else f"expected SHA-256 {clip.file.sha256}, "
    raise UsageError(
        f"{path} is not {wanted} ({expected}found {model.weights_sha256}), and a bare file does not say whether its "
        f"network was trained with QuickGELU or plain GELU: the model could be silently wrong. Put it into a folder "
        f"with the {CONFIG_FILE} that belongs to it, and name the folder."
    )


def model_from_file(path: Path, clip: PublishedClip, *, is_official: bool = False) -> ClipModel:
    """A weight file in the network of a published model.

    Args:
        path: A file that ``read_clip_file`` takes.
        clip: Says the network.
        is_official: True where the file is known to be the published one though its hash is not: the hub's copy.

    Raises:
        UsageError: The file is missing, damaged, unsafe or another network's; or OpenAI's in a network with plain
            GELU.
    """
    file = read_clip_file(path)
    _refuse_damaged(file)
    network = open_clip.CLIP(**open_clip.get_model_config(clip.architecture))
    file.load_into(network, clip.architecture)
    is_official = is_official or (clip.file is not None and file.sha256 == clip.file.sha256)
    if (is_official and clip.pretrained == OPENAI) or _is_openai_s(path, file.sha256):
        _require_quick_gelu(network, clip.architecture, path)
    return ClipModel(
        network=network,
        preprocess=image_transform_v2(PreprocessCfg(size=network.visual.image_size), is_train=False),
        tokenizer=open_clip.get_tokenizer(clip.architecture),
        name=clip.architecture,
        pretrained=clip.pretrained if is_official else None,
        weights_sha256=file.sha256,
        is_own=not is_official,
    )


def model_from_folder(folder: Path) -> ClipModel:
    """An open_clip model of a user's own: ``open_clip_config.json`` and one weight file.

    Raises:
        UsageError: There is no weight file or more than one, they do not fit, or they are OpenAI's in a
            network with plain GELU.
    """
    if folder.resolve() == _bundled_folder().resolve():
        return bundled_model()
    weights = _only_weight_file(folder)
    sha256 = file_sha256(weights)
    network, preprocess, tokenizer = _from_folder(folder)
    if _is_openai_s(weights, sha256):
        _require_quick_gelu(network, str(folder), weights)
    return ClipModel(
        network=network,
        preprocess=preprocess,
        tokenizer=tokenizer,
        name="local-dir",
        pretrained=None,
        weights_sha256=sha256,
        config_sha256=_config_sha256(folder),
        is_own=True,
    )


def uses_quick_gelu(network: nn.Module) -> bool:
    """Whether every GELU of a built network is OpenAI's approximation of it, x * sigmoid(1.702 x).

    The configuration is not asked: it says what was wanted.
    """
    kinds = {type(module) for module in network.modules() if isinstance(module, QuickGELU | nn.GELU)}
    return kinds == {QuickGELU}


def _bundled_folder() -> Path:
    return checkpoints_dir() / "openmoji-clip"


def _refuse_damaged(file: ClipFile) -> None:
    """The hub's cache calls a large file by its SHA-256, so whether it is whole can be seen."""
    kept = file.path.resolve()
    if kept.parent.name == "blobs" and len(kept.name) == len(file.sha256) and kept.name != file.sha256:
        raise UsageError(
            f"{file.path} is damaged: the hub's file has SHA-256 {kept.name}, and this one has {file.sha256}. "
            f"Delete {kept}; it is then downloaded again."
        )


def _is_openai_s(path: Path, sha256: str) -> bool:
    """Whether a file is one of OpenAI's, or it or its folder bears OpenAI's name."""
    path = path.absolute()
    return sha256 in OPENAI_FILES or OPENAI in path.name.lower() or OPENAI in path.parent.name.lower()


def _require_quick_gelu(network: nn.Module, name: str, path: Path) -> None:
    if not uses_quick_gelu(network):
        raise UsageError(
            f"{path} holds OpenAI's weights, which were trained with QuickGELU, and {name} was built with "
            "plain GELU: all that it says would be silently wrong. Use the published model, or write "
            f'"quick_gelu": true into the model_cfg of {CONFIG_FILE}.'
        )


def _only_weight_file(folder: Path) -> Path:
    """The file that open_clip will take: with one candidate there is no doubt."""
    if not (folder / CONFIG_FILE).is_file():
        raise UsageError(
            f"{folder} should be an open_clip model and has no {CONFIG_FILE}. Name a folder that has one "
            "beside its weights, or a weight file as OpenAI published it."
        )
    found = sorted(path for path in folder.iterdir() if path.suffix in {".safetensors", ".bin", ".pth"})
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UsageError(
            f"{folder} should hold one weight file (.safetensors, .bin or .pth) and holds {names}. A CLIP "
            "model without trained weights would still print a score, and one of several would be a guess. Remove "
            "the others, or name a weight file as OpenAI published it."
        )
    return found[0]


def _config_sha256(folder: Path) -> str:
    return json_sha256(json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")))


def _from_folder(folder: Path) -> tuple[Any, Any, Any]:
    """Network, validation transform and tokenizer of an open_clip folder."""
    name = f"local-dir:{folder}"
    with _clip_errors(folder):
        network, preprocess = open_clip.create_model_from_pretrained(name)
        return network, preprocess, open_clip.get_tokenizer(name)


@contextmanager
def _clip_errors(folder: Path) -> Iterator[None]:
    """Turn open_clip's exceptions into one paragraph."""
    try:
        yield
    except (
        AttributeError,
        KeyError,
        OSError,
        pickle.UnpicklingError,
        RuntimeError,
        SafetensorError,
        TypeError,
        ValueError,
    ) as error:
        raise UsageError(
            f"The CLIP model in {folder} could not be loaded with trained weights ({reason_of(error)}). Expected "
            f"open_clip's {CONFIG_FILE} and weights that fit it, as safetensors or as a torch file of tensors."
        ) from error
