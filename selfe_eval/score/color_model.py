"""The CLIP model that names colours: where its weights come from, and proof that it is the one it should be.

GenEval's own is ViT-L-14 with OpenAI's weights, trained with QuickGELU. From release 2.29 on, open_clip builds
``ViT-L-14`` with plain GELU, loads those weights and only warns; and where it finds no weights it goes on with
random ones. Either judge prints a score. Here the built network is looked at, and both are errors.
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
from selfe_eval.score.clip_file import OPENAI_SHA256, OPENAI_URL, ClipFile, read_clip_file, reason_of
from selfe_eval.score.judge_weights import read_weights

ARCHITECTURE = "ViT-L-14-quickgelu"
"""open_clip's name of the reference's network as OpenAI trained it."""
OPENAI = "openai"
"""open_clip's tag of the reference's weights."""
CLIP_FILE = Path(".cache") / "clip" / "ViT-L-14.pt"
"""Under the home folder: where the clip package keeps OpenAI's file."""
OWN_COLORS = "own-colors"
"""The variant of a score whose colours another model named."""
BUNDLED_FORMAT = "selfe-eval-clip/1"
BUNDLED_FILE = "open_clip_model.safetensors"
CONFIG_FILE = "open_clip_config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorModel:
    """A CLIP network with trained weights, and what it needs to see and read."""

    network: Any
    """With ``encode_image`` and ``encode_text``, in float32."""
    preprocess: Callable[[Image.Image], Tensor]
    """open_clip's validation transform: a picture to (3, size, size)."""
    tokenizer: Callable[[list[str]], Tensor]
    """N sentences to (N, context length) token numbers."""
    record: dict[str, Any]
    """Which model and weights; JSON types, without paths."""


def bundled_model(folder: Path | None = None) -> ColorModel:
    """The tiny model of the openmoji world, after checking its hash.

    Args:
        folder: Another folder of the same form than the bundled one.

    Raises:
        UsageError: The weights are missing or corrupt.
    """
    folder = folder or _bundled_folder()
    weights = read_weights(folder, expected_format=BUNDLED_FORMAT, file_name=BUNDLED_FILE)
    network, preprocess, tokenizer = _from_folder(folder)
    record = _record(weights.config["name"], None, weights.sha256, network)
    return ColorModel(network=network, preprocess=preprocess, tokenizer=tokenizer, record=record)


def official_model() -> ColorModel:
    """GenEval's own: OpenAI's weights from the hub, its cache or the clip package's, in ViT-L-14 with QuickGELU.

    Raises:
        UsageError: The weights are neither cached nor to be had, or not what they should be.
    """
    try:
        path = open_clip.download_pretrained(open_clip.get_pretrained_cfg(ARCHITECTURE, OPENAI))
    except (OSError, RuntimeError, ValueError) as error:
        kept = Path.home() / CLIP_FILE
        if kept.is_file():
            return model_from_file(kept)
        reason = str(error).partition("\n")[0]
        raise UsageError(
            f"The weights of GenEval's colour model ({ARCHITECTURE}, {OPENAI}) are not in the hub's cache and "
            f"could not be downloaded ({reason}). Try again with a network connection, or "
            f"fetch {OPENAI_URL} on another machine (its SHA-256 is part of the address) and put it at {kept}, or "
            "name it: --color-weights ViT-L-14.pt"
        ) from error
    return model_from_file(Path(path), is_official=True)


def official_file(path: Path) -> ColorModel:
    """OpenAI's own file, by its hash.

    Raises:
        UsageError: The file is missing, damaged, unsafe, or another one.
    """
    model = model_from_file(path)
    refuse_unknown_origin(path, model)
    return model


def refuse_unknown_origin(path: Path, model: ColorModel) -> None:
    """Of a file that is not OpenAI's nobody knows the activation, which its tensors do not tell.

    Raises:
        UsageError: The model is not the official one.
    """
    if "color_variant" in model.record:
        raise UsageError(
            f"{path} is not OpenAI's ViT-L-14.pt (expected SHA-256 {OPENAI_SHA256}, found "
            f"{model.record['color_weights_sha256']}), and a bare file does not say whether its network was trained "
            f"with QuickGELU or plain GELU: colours could be silently wrong. Put it into a folder with the "
            f"{CONFIG_FILE} that belongs to it, and name the folder."
        )


def model_from_file(path: Path, *, architecture: str = ARCHITECTURE, is_official: bool = False) -> ColorModel:
    """A weight file in an architecture of open_clip.

    Args:
        path: A file that ``read_clip_file`` takes.
        architecture: open_clip's name of it.
        is_official: True where the file is known to be OpenAI's though its hash is not: the hub's copy.

    Raises:
        UsageError: The file is missing, damaged, unsafe or another network's; or OpenAI's in a network with plain
            GELU.
    """
    file = read_clip_file(path)
    _refuse_damaged(file)
    network = open_clip.CLIP(**open_clip.get_model_config(architecture))
    file.load_into(network, architecture)
    is_official = is_official or file.sha256 == OPENAI_SHA256
    if is_official or _is_called_openai(path):
        _require_quick_gelu(network, architecture, path)
    return ColorModel(
        network=network,
        preprocess=image_transform_v2(PreprocessCfg(size=network.visual.image_size), is_train=False),
        tokenizer=open_clip.get_tokenizer(architecture),
        record=_record(architecture, OPENAI if is_official else None, file.sha256, network)
        | ({} if is_official else {"color_variant": OWN_COLORS}),
    )


def model_from_folder(folder: Path) -> ColorModel:
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
    if sha256 == OPENAI_SHA256 or _is_called_openai(weights):
        _require_quick_gelu(network, str(folder), weights)
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    record = _record("local-dir", None, sha256, network)
    record |= {"color_config_sha256": json_sha256(config), "color_variant": OWN_COLORS}
    return ColorModel(network=network, preprocess=preprocess, tokenizer=tokenizer, record=record)


def uses_quick_gelu(network: nn.Module) -> bool:
    """Whether every GELU of a built network is OpenAI's approximation of it, x * sigmoid(1.702 x).

    The configuration is not asked: it says what was wanted.
    """
    kinds = {type(module) for module in network.modules() if isinstance(module, QuickGELU | nn.GELU)}
    return kinds == {QuickGELU}


def _record(name: str, pretrained: str | None, sha256: str, network: nn.Module) -> dict[str, Any]:
    return {
        "color_model": name,
        "color_pretrained": pretrained,
        "color_weights_sha256": sha256,
        "color_quick_gelu": uses_quick_gelu(network),
    }


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


def _is_called_openai(path: Path) -> bool:
    """Whether a file, or its folder, bears OpenAI's name."""
    path = path.absolute()
    return OPENAI in path.name.lower() or OPENAI in path.parent.name.lower()


def _require_quick_gelu(network: nn.Module, name: str, path: Path) -> None:
    if not uses_quick_gelu(network):
        raise UsageError(
            f"{path} holds OpenAI's weights, which were trained with QuickGELU, and {name} was built with "
            f"plain GELU: colours would be silently wrong. Use {ARCHITECTURE} (--color-weights openai), or "
            f'write "quick_gelu": true into the model_cfg of {CONFIG_FILE}.'
        )


def _only_weight_file(folder: Path) -> Path:
    """The file that open_clip will take: with one candidate there is no doubt."""
    if not (folder / CONFIG_FILE).is_file():
        raise UsageError(
            f"{folder} should be an open_clip model and has no {CONFIG_FILE}. Name a folder that has one "
            "beside its weights, or a weight file of ViT-L-14."
        )
    found = sorted(path for path in folder.iterdir() if path.suffix in {".safetensors", ".bin", ".pth"})
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise UsageError(
            f"{folder} should hold one weight file (.safetensors, .bin or .pth) and holds {names}. A colour "
            "model without trained weights would still print a score, and one of several would be a guess. Remove "
            "the others, or name a file of ViT-L-14 itself."
        )
    return found[0]


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
            f"The colour model in {folder} could not be loaded with trained weights ({reason_of(error)}). Expected "
            f"open_clip's {CONFIG_FILE} and weights that fit it, as safetensors or as a torch file of tensors."
        ) from error
