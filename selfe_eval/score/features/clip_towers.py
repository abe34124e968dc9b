"""Extractors that are CLIP models: they see images and read texts, into one space.

Images go through open_clip's validation transform: Pillow's bicubic with antialiasing, a centre crop, OpenAI's mean and
deviation. torch-fidelity's CLIP resizes without antialiasing, and the hub's processor of transformers resizes tensors:
the same network, other vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from selfe_eval.errors import UsageError
from selfe_eval.score.clip_model import (
    ClipModel,
    bundled_model,
    known_file,
    model_from_file,
    model_from_folder,
    published_model,
    uses_quick_gelu,
)
from selfe_eval.score.exact_float32 import exact_float32
from selfe_eval.score.features.network_extractor import CPU_BATCH, NetworkExtractor
from selfe_eval.score.features.protocol import Texts
from selfe_eval.score.published_clip import (
    VIT_B_32,
    VIT_G_14,
    VIT_L_14,
    VIT_L_14_336,
    PublishedClip,
    find_on_disk,
)

OWN_WEIGHTS = "own-weights"
"""The variant of an extractor with weights of a user's own."""
TINY_CPU_BATCH = 64
"""Images that the tiny model of the openmoji world sees at a time on a CPU: its images of 48 px take no memory."""
TEXT_BATCH = 256
"""Texts that go through the network together."""
DMD2_SIDE = 256
"""Pixels to which DMD2 brings an image before CLIP's own resize."""


def load_openmoji(device: str, weights: Path | None) -> ClipExtractor:
    """The tiny model of the openmoji world, d = 64.

    Args:
        device: A torch device string.
        weights: An open_clip folder in the place of the bundled one.

    Raises:
        UsageError: The weights are missing, corrupt, or no folder.
    """
    if weights is not None and not weights.is_dir():
        raise UsageError(
            f"The extractor openmoji-clip takes a folder with open_clip_config.json and weights, and {weights} is none."
        )
    model = bundled_model() if weights is None else model_from_folder(weights)
    return ClipExtractor("openmoji-clip", model, device=device, cpu_batch=TINY_CPU_BATCH)


def load_vit_l_14(device: str, weights: Path | None) -> ClipExtractor:
    """ViT-L-14 with OpenAI's weights, d = 768: the CLIP-score of most papers. As `load_published`."""
    return load_published("clip-vit-l-14", VIT_L_14, device, weights)


def load_vit_l_14_336(device: str, weights: Path | None) -> ClipExtractor:
    """ViT-L-14 at 336 px with OpenAI's weights, d = 768: CMMD's. As `load_published`."""
    return load_published("clip-vit-l-14-336", VIT_L_14_336, device, weights)


def load_vit_b_32(device: str, weights: Path | None) -> ClipExtractor:
    """ViT-B-32 with OpenAI's weights, d = 512: Hessel's. As `load_published`."""
    return load_published("clip-vit-b-32", VIT_B_32, device, weights)


def load_vit_g_14_256(device: str, weights: Path | None) -> ClipExtractor:
    """ViT-g-14 of LAION, d = 1024, of images that are first cropped to a square and brought to 256 px: DMD2's.

    As `load_published`.
    """
    return load_published("clip-vit-g-14-256", VIT_G_14, device, weights, first_side=DMD2_SIDE)


def load_published(
    name: str, clip: PublishedClip, device: str, weights: Path | None, *, first_side: int | None = None
) -> ClipExtractor:
    """A published model as an extractor.

    Args:
        name: Of the extractor.
        clip: Which model.
        device: A torch device string.
        weights: OpenAI's own file, or an open_clip folder of a user's own; by default looked for, then downloaded.
        first_side: Pixels to which images are brought before open_clip's own transform.

    Raises:
        UsageError: The weights are missing, damaged, unsafe, of another network, or were trained with another
            activation.
    """
    if weights is None:
        model = _looked_for(name, clip)
    else:
        model = model_from_folder(weights) if weights.is_dir() else known_file(weights, clip)
    return ClipExtractor(name, model, device=device, first_side=first_side)


def _looked_for(name: str, clip: PublishedClip) -> ClipModel:
    """What lies on this disk before anything is downloaded: a sweep counts on that."""
    found = find_on_disk(clip)
    if found is None:
        return published_model(clip, purpose=f"the extractor {name}", option=f"--weights {name}=")
    if clip.file is not None and found == clip.file.kept:
        return known_file(found, clip)
    return model_from_file(found, clip, is_official=True)


class ClipExtractor(NetworkExtractor):
    """A CLIP model that sees and reads; see ``ClipTowers``."""

    def __init__(
        self,
        name: str,
        model: ClipModel,
        *,
        device: str,
        first_side: int | None = None,
        cpu_batch: int = CPU_BATCH,
    ) -> None:
        self._model = model
        self._first_side = first_side
        super().__init__(
            name,
            _ImageTower(model.network),
            width=_width(model),
            prepare=self._see,
            device=device,
            record=_record(model, first_side),
            cpu_batch=cpu_batch,
        )

    @torch.inference_mode()
    def read(self, texts: Sequence[str]) -> Texts:
        """The vectors of N texts, and whose end did not fit the model's context."""
        features = np.zeros((len(texts), self.width), dtype=np.float32)
        truncated = np.zeros(len(texts), dtype=np.bool_)
        for start in range(0, len(texts), TEXT_BATCH):
            part = slice(start, start + TEXT_BATCH)
            tokens, truncated[part] = _tokens(self._model, list(texts[part]))
            with exact_float32():
                vectors = self._model.network.encode_text(tokens.to(self._device))
            features[part] = vectors.float().cpu().numpy()
        return Texts(features=features, truncated=truncated)

    def _see(self, pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
        pictures = [Image.fromarray(image) for image in pixels]
        if self._first_side is not None:
            pictures = [square(picture, self._first_side) for picture in pictures]
        return torch.stack([self._model.preprocess(picture) for picture in pictures]).to(device)


class _ImageTower(nn.Module):
    """A CLIP network, called for its vectors of images."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self._network = network

    def forward(self, pictures: Tensor) -> Tensor:
        vectors: Tensor = self._network.encode_image(pictures)
        return vectors


def square(picture: Image.Image, side: int) -> Image.Image:
    """The largest square in the middle, by Lanczos to ``side`` px.

    Source: tianweiy/DMD2 at 4e54501, ``main/coco_eval/coco_evaluator.py``, ``compute_clip_score``; the corner is
    rounded as torchvision's ``center_crop`` does.
    """
    width, height = picture.size
    edge = min(width, height)
    left, top = round((width - edge) / 2), round((height - edge) / 2)
    cropped = picture.crop((left, top, left + edge, top + edge))
    return cropped.resize((side, side), Image.Resampling.LANCZOS)


def _width(model: ClipModel) -> int:
    """Numbers of a vector, from the text tower: it needs no picture."""
    with torch.inference_mode():
        return int(model.network.eval().encode_text(model.tokenizer([""])).shape[1])


def _tokens(model: ClipModel, texts: list[str]) -> tuple[Tensor, NDArray[np.bool_]]:
    """Token numbers (N, L) of N texts, and which of them the tokenizer would have gone on with."""
    tokens = model.tokenizer(texts)
    length = tokens.shape[1]
    longer = model.tokenizer(texts, context_length=length + 1)[:, :length]
    return tokens, (tokens != longer).any(dim=1).numpy()


def _record(model: ClipModel, first_side: int | None) -> dict[str, Any]:
    side = model.network.visual.image_size
    record = {
        "model": model.name,
        "pretrained": model.pretrained,
        "weights_sha256": model.weights_sha256,
        "quick_gelu": uses_quick_gelu(model.network),
        "resize": "open_clip's validation transform, Pillow",
        "image_px": side if isinstance(side, int) else list(side),
        "layer": "joint embedding, not normalised",
        "context_length": int(model.tokenizer([""]).shape[1]),
        **model.library,
    }
    if first_side is not None:
        record["first_resize"] = f"centre square, Lanczos to {first_side} px"
    if model.config_sha256 is not None:
        record["config_sha256"] = model.config_sha256
    if model.is_own:
        record["variant"] = OWN_WEIGHTS
    return record
