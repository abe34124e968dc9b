"""The published CLIP models that we use: network, weights, and where they lie. There is no torch here.

OpenAI published a file for each network, whose address holds its SHA-256; the hub has copies with other hashes, which
its cache keeps under their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OPENAI = "openai"
"""open_clip's tag of OpenAI's weights."""
CLIP_CACHE = Path(".cache") / "clip"
"""Under the home folder: where the clip package keeps OpenAI's files."""
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""The names under which the hub keeps open_clip's weights, the preferred one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAiFile:
    """A weight file as OpenAI published it."""

    name: str
    """Of the file."""
    sha256: str
    """Of its bytes."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://openaipublic.azureedge.net/clip/models/{self.sha256}/{self.name}"

    @property
    def kept(self) -> Path:
        """Where the clip package keeps it."""
        return Path.home() / CLIP_CACHE / self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedClip:
    """A network with the weights that published numbers are made with."""

    architecture: str
    """open_clip's name of the network as it was trained: OpenAI's with QuickGELU."""
    pretrained: str
    """open_clip's tag of the weights."""
    hub: str
    """The repository of the hub that holds them."""
    file: OpenAiFile | None
    """OpenAI's own file; None for weights of others."""

    def advice(self, option: str) -> str:
        """How to get the weights without a network connection, as the end of a sentence.

        Args:
            option: What to type to name the weights, up to the file's own name.
        """
        if self.file is None:
            return (
                f"fetch the repository {self.hub} on another machine and copy its folder of the hub's cache, where each "
                f"file is named by its SHA-256, or name a folder with its open_clip_config.json and weights: {option}FOLDER"
            )
        return (
            f"fetch {self.file.url} on another machine (its SHA-256 is part of the address) and put it at "
            f"{self.file.kept}, or name it: {option}{self.file.name}"
        )


VIT_L_14 = PublishedClip(
    architecture="ViT-L-14-quickgelu",
    pretrained=OPENAI,
    hub="timm/vit_large_patch14_clip_224.openai",
    file=OpenAiFile(
        name="ViT-L-14.pt", sha256="b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"
    ),
)
"""GenEval's colours, and the CLIP-score of most papers."""
VIT_L_14_336 = PublishedClip(
    architecture="ViT-L-14-336-quickgelu",
    pretrained=OPENAI,
    hub="timm/vit_large_patch14_clip_336.openai",
    file=OpenAiFile(
        name="ViT-L-14-336px.pt", sha256="3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02"
    ),
)
"""CMMD's."""
VIT_B_32 = PublishedClip(
    architecture="ViT-B-32-quickgelu",
    pretrained=OPENAI,
    hub="timm/vit_base_patch32_clip_224.openai",
    file=OpenAiFile(
        name="ViT-B-32.pt", sha256="40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
    ),
)
"""Hessel's."""
VIT_G_14 = PublishedClip(
    architecture="ViT-g-14",
    pretrained="laion2b_s12b_b42k",
    hub="laion/CLIP-ViT-g-14-laion2B-s12B-b42K",
    file=None,
)
"""DMD2's."""

OPENAI_FILES = {
    clip.file.sha256: clip.file for clip in (VIT_L_14, VIT_L_14_336, VIT_B_32) if clip.file is not None
}
"""SHA-256 -> OpenAI's file."""


def find_on_disk(clip: PublishedClip, hub_cache: Path | None = None) -> Path | None:
    """The weights that lie on this disk, without downloading: the hub's copy, else OpenAI's own file.

    Args:
        clip: Whose weights.
        hub_cache: The folder of the hub's cache; by default the one that the environment names.
    """
    from huggingface_hub import try_to_load_from_cache

    for name in HUB_FILES:
        cached = try_to_load_from_cache(clip.hub, name, cache_dir=hub_cache)
        if isinstance(cached, str):
            return Path(cached)
    return clip.file.kept if clip.file is not None and clip.file.kept.is_file() else None
