"""How the bundled colour model is trained: ``selfe-eval train openmoji-clip``.

A tiny open_clip model learns by contrast from two kinds of pairs: masked grey crops of single objects with
GenEval's colour sentences, cut and prepared by the very code that scores with it, and whole scenes with their
captions. Equal or equally true sentences in a batch share the target, since a world of 80 classes and ten
colours repeats itself. In float32: attention this small is slower in bf16.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor
from torch.nn import functional

from selfe.training.loop import LoopEvent
from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.records import COLORS, RELATIONS
from selfe_eval.score.clip_model import BUNDLED_FILE, BUNDLED_FORMAT
from selfe_eval.score.colors import TEMPLATES
from selfe_eval.score.geneval.crops import masked_crop
from selfe_eval.score.judge_weights import write_weights
from selfe_eval.suites.vocabulary import CLASSES, plural
from selfe_eval.train.judge_scenes import LabelledImages, labelled_scenes
from selfe_eval.train.judge_spoil import spoil
from selfe_eval.train.judge_training import JudgeRecipe, JudgeTraining, Losses, train_network

RECOLORED_SHARE = 0.8
"""Share of the scenes that give object crops whose objects get random colours."""
ANY = -1
"""In a ``Sentence``: says nothing about the class, or nothing about the colour."""


def _default_model() -> dict[str, Any]:
    return {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 48, "patch_size": 8, "width": 96, "head_width": 32, "layers": 3},
        "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPreset:
    """Everything that decides the weights; the defaults are the bundled colour model."""

    model_cfg: dict[str, Any] = field(default_factory=_default_model)
    """open_clip's own description of the network."""
    loop: JudgeRecipe = field(
        default_factory=lambda: JudgeRecipe(
            num_steps=500,
            batch_size=64,
            learning_rate=1.5e-3,
            weight_decay=0.1,
            warmup_steps=50,
            clip_norm=1.0,
        )
    )
    """How long and how fast; batch_size counts captioned scenes, as many more give their objects."""
    seed: int = 1
    """Of the initial weights and of all scenes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """A caption of one object and what it claims."""

    text: str
    """What the text tower reads."""
    class_index: int
    """Index into CLASSES, or ANY."""
    color_index: int
    """Index into COLORS, or ANY."""


def train(
    preset: ClipPreset,
    out_dir: Path,
    *,
    threads: int = 1,
    on_step: Callable[[LoopEvent], None] = lambda _: None,
) -> Path:
    """Train the colour model and write a checkpoint folder.

    Args:
        preset: Everything that decides the weights.
        out_dir: Gets the training state, metrics.jsonl, and the checkpoint folder ``checkpoint``; where there is a state
            already, the training goes on from it.
        threads: CPU threads of torch.
        on_step: Called after each step.

    Returns:
        The checkpoint folder: ``config.json``, ``open_clip_config.json`` and ``open_clip_model.safetensors``,
        which open_clip loads as ``local-dir:FOLDER``.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(preset.seed)
    network = open_clip.CLIP(**preset.model_cfg)
    tokenizer = open_clip.SimpleTokenizer(context_length=preset.model_cfg["text_cfg"]["context_length"])
    _forget_other_words(network, tokenizer)
    losses_at = batch_losses(network, tokenizer, preset)
    training = JudgeTraining(network, losses_at, preset.loop, seed=preset.seed)
    trained = train_network(training, out_dir, on_step=on_step)
    folder = out_dir / "checkpoint"
    config = {
        "format": BUNDLED_FORMAT,
        "name": "openmoji-clip",
        "suite": "openmoji",
        "training": {
            "seed": preset.seed,
            "loop": asdict(preset.loop),
            "scenes_seen": preset.loop.num_steps * preset.loop.batch_size,
            "seconds": round(trained.seconds),
            "threads": threads,
            "last_metrics": trained.metrics,
        },
    }
    write_weights(folder, trained.weights, config, file_name=BUNDLED_FILE)
    document = {"model_cfg": preset.model_cfg, "preprocess_cfg": asdict(preprocess_cfg(preset))}
    (folder / "open_clip_config.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return folder


def preprocess_cfg(preset: ClipPreset) -> PreprocessCfg:
    """open_clip's validation transform: shortest side bicubic, centre crop, its usual mean and deviation."""
    return PreprocessCfg(size=preset.model_cfg["vision_cfg"]["image_size"])


def batch_losses(
    network: Any, tokenizer: Callable[[list[str]], Tensor], preset: ClipPreset
) -> Callable[[int], Losses]:
    """The function step -> losses on that step's batch."""
    bank = load_sprite_bank()
    prepare = image_transform_v2(preprocess_cfg(preset), is_train=False)

    @cache
    def tokens_of(text: str) -> Tensor:
        return tokenizer([text])

    def losses_at(step: int) -> Losses:
        generator = torch.Generator().manual_seed(preset.seed * 1_000_003 + step)
        scene_seed = int(torch.randint(2**62, (), generator=generator))
        size = preset.loop.batch_size
        batch = labelled_scenes(bank, size, scene_seed, recolored_share=RECOLORED_SHARE)
        captioned = labelled_scenes(bank, size, scene_seed + 1)
        crops, classes, colors = object_crops(batch, to_bytes(spoil(batch.images, generator)), generator)
        pixels = to_bytes(spoil(captioned.images, generator))
        sentences = [
            sentence
            for class_index, color_index in zip(classes, colors, strict=True)
            for sentence in draw_sentences(class_index, color_index, generator)
        ]
        captions = [prompt.text for prompt in captioned.prompts]
        inputs = torch.stack([prepare(Image.fromarray(picture)) for picture in (*crops, *pixels)])
        pictures = network.encode_image(inputs, normalize=True)
        tokens = torch.cat([tokens_of(text) for text in (*(s.text for s in sentences), *captions)])
        texts = network.encode_text(tokens, normalize=True)
        scale = network.logit_scale.clamp(max=float(np.log(100))).exp()
        allowed, true = claims(classes, colors, sentences)
        objects = contrastive_loss(scale * pictures[: len(crops)] @ texts[: len(sentences)].T, true, allowed)
        same = torch.tensor([[a == b for b in captions] for a in captions])
        scenes = contrastive_loss(
            scale * pictures[len(crops) :] @ texts[len(sentences) :].T,
            same,
            torch.ones_like(same),
        )
        return {"loss": objects + scenes, "objects": objects, "scenes": scenes, "scale": scale.detach()}

    return losses_at


def to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """(B, 3, H, W) in [0, 1] -> (B, H, W, 3) uint8, as a generator's images are stored."""
    pixels: NDArray[np.uint8] = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return pixels


def object_crops(
    batch: LabelledImages, pixels: NDArray[np.uint8], generator: torch.Generator
) -> tuple[list[NDArray[np.uint8]], list[int], list[int]]:
    """Masked grey crops of all objects, masks and boxes off by a pixel or so as a detector's are.

    Returns:
        Crops (h, w, 3), class indices, colour indices (ANY for natural colours).
    """
    rough = _rough_masks(batch.masks, generator)
    jitter = torch.randint(-2, 3, batch.boxes.shape, generator=generator)
    rough_boxes = (batch.boxes + jitter).clamp(0, pixels.shape[1])
    near, far = rough_boxes[..., :2].clamp(max=pixels.shape[1] - 1), rough_boxes[..., 2:]
    boxes = torch.cat((near, far.maximum(near + 1)), dim=-1).tolist()
    crops, classes, colors = [], [], []
    for image, slot in torch.nonzero(batch.class_index >= 0).tolist():
        x0, y0, x1, y1 = boxes[image][slot]
        crops.append(masked_crop(pixels[image], rough[image, slot].numpy(), (x0, y0, x1, y1)))
        classes.append(int(batch.class_index[image, slot]))
        colors.append(int(batch.scenes.color_index[image, slot]))
    return crops, classes, colors


def _rough_masks(masks: Tensor, generator: torch.Generator) -> Tensor:
    """Masks a pixel larger, a pixel smaller, or as they are: bool of the same shape."""
    solid = masks.float().flatten(0, 1)[:, None]
    larger = functional.max_pool2d(solid, 3, stride=1, padding=1)
    smaller = -functional.max_pool2d(-solid, 3, stride=1, padding=1)
    choice = torch.randint(3, (len(solid), 1, 1, 1), generator=generator)
    rough = torch.where(choice == 0, larger, torch.where(choice == 1, smaller, solid))
    return (rough[:, 0] > 0.5).reshape(masks.shape)


def draw_sentences(class_index: int, color_index: int, generator: torch.Generator) -> list[Sentence]:
    """A true sentence about an object and a false one: another colour, or another class."""
    template = int(torch.randint(len(TEMPLATES), (), generator=generator))
    other_color = (max(color_index, 0) + int(torch.randint(1, len(COLORS), (), generator=generator))) % 10
    if color_index == ANY:
        other_class = (class_index + int(torch.randint(1, len(CLASSES), (), generator=generator))) % 80
        return [_plain(class_index), _plain(other_class)]
    return [_colored(template, class_index, color_index), _colored(template, class_index, other_color)]


def _plain(class_index: int) -> Sentence:
    return Sentence(text=f"a photo of a {CLASSES[class_index]}", class_index=class_index, color_index=ANY)


def _colored(template: int, class_index: int, color_index: int) -> Sentence:
    text = TEMPLATES[template].format(color=COLORS[color_index], name=CLASSES[class_index])
    named = class_index if "{name}" in TEMPLATES[template] else ANY
    return Sentence(text=text, class_index=named, color_index=color_index)


def claims(
    classes: Sequence[int], colors: Sequence[int], sentences: Sequence[Sentence]
) -> tuple[Tensor, Tensor]:
    """Which sentences may be compared with which objects, and which are true of them.

    An object in natural colours has no known colour: sentences that name one are left out for it, unless
    they name another class.

    Returns:
        allowed, true: (objects, sentences) bool.
    """
    object_class = torch.tensor(classes)[:, None]
    object_color = torch.tensor(colors)[:, None]
    said_class = torch.tensor([sentence.class_index for sentence in sentences])[None]
    said_color = torch.tensor([sentence.color_index for sentence in sentences])[None]
    class_holds = (said_class == ANY) | (said_class == object_class)
    color_holds = (said_color == ANY) | (said_color == object_color)
    unknown = (object_color == ANY) & (said_color != ANY) & class_holds
    return ~unknown, class_holds & color_holds


def contrastive_loss(logits: Tensor, true: Tensor, allowed: Tensor) -> Tensor:
    """CLIP's symmetric loss with several right answers: minus the log of their joint probability.

    Args:
        logits: (pictures, texts).
        true: The same shape, which pairs belong together; every picture has at least one.
        allowed: Pairs that may be compared.
    """
    logits = logits.masked_fill(~allowed, -torch.inf)
    right = logits.masked_fill(~true, -torch.inf)
    by_picture = logits.logsumexp(1) - right.logsumexp(1)
    has_picture = true.any(dim=0)
    by_text = logits[:, has_picture].logsumexp(0) - right[:, has_picture].logsumexp(0)
    return (by_picture.mean() + by_text.mean()) / 2


def _forget_other_words(network: Any, tokenizer: Callable[[list[str]], Tensor]) -> None:
    """Zero the embeddings of words that no caption of this world uses: they stay zero and compress away."""
    words = ["a photo of an and two three four object", *COLORS, *(f"{color}-colored" for color in COLORS)]
    used = tokenizer([*words, *RELATIONS, *CLASSES, *map(plural, CLASSES)]).unique()
    weight = network.token_embedding.weight
    with torch.no_grad():
        kept = torch.zeros(weight.shape[0], 1)
        kept[used] = 1
        weight.mul_(kept)
