"""How the bundled detector is trained: ``selfe-eval train openmoji-detector``.

Losses: penalty-reduced focal loss on centres (CenterNet, arXiv 1904.07850, equation 1), cross entropy on
classes and generalised IoU on boxes in the 3 x 3 cells around each centre, binary cross entropy on masks.
bf16 autocast, because it trains twice as fast on processors with AVX512-BF16; losses stay in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss  # type: ignore[import-untyped]

from selfe.training.loop import LoopEvent
from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.score.detectors.openmoji import FORMAT, OpenmojiDetector
from selfe_eval.score.detectors.openmoji_network import (
    CELL_PX,
    IMAGE_PX,
    NetworkOptions,
    OpenmojiNetwork,
    RawOutput,
    boxes_from_edges,
)
from selfe_eval.score.detectors.protocol import Thresholds
from selfe_eval.score.judge_weights import write_weights
from selfe_eval.train.judge_scenes import LabelledImages, labelled_scenes, with_unreal
from selfe_eval.train.judge_spoil import spoil
from selfe_eval.train.judge_thresholds import choose_thresholds
from selfe_eval.train.judge_training import JudgeRecipe, JudgeTraining, Losses, train_network

RECOLORED_SHARE = 0.4
"""Share of scenes whose objects get random colours: the detector must not take colour for class."""
CROWDED_SHARE = 0.2
"""Share of crowded scenes in the second part of the training."""
GRID = IMAGE_PX // CELL_PX


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorPreset:
    """Everything that decides the weights; the defaults are the bundled detector."""

    network: NetworkOptions = field(default_factory=NetworkOptions)
    """Widths."""
    loop: JudgeRecipe = field(
        default_factory=lambda: JudgeRecipe(num_steps=1600, batch_size=64, learning_rate=2e-3)
    )
    """How long and how fast on the world's own scenes."""
    crowd_loop: JudgeRecipe = field(
        default_factory=lambda: JudgeRecipe(num_steps=400, batch_size=64, learning_rate=6e-4, warmup_steps=40)
    )
    """The same for the second part, where some scenes are crowded."""
    seed: int = 0
    """Of the initial weights and of all scenes."""
    threshold_seed: int = 424_242
    """Of the scenes on which the thresholds are chosen."""


def train(
    preset: DetectorPreset,
    out_dir: Path,
    *,
    threads: int = 1,
    on_step: Callable[[LoopEvent], None] = lambda _: None,
) -> Path:
    """Train the detector and write a checkpoint folder.

    Args:
        preset: Everything that decides the weights.
        out_dir: Gets the training state, metrics.jsonl, and the checkpoint folder ``checkpoint``; where there is a state
            already, the training goes on from it.
        threads: CPU threads of torch.
        on_step: Called after each step.

    Returns:
        The checkpoint folder: ``config.json`` and ``model.safetensors``.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(preset.seed)
    network = OpenmojiNetwork(preset.network).to(memory_format=torch.channels_last)
    parts = [
        train_network(
            JudgeTraining(
                network,
                batch_losses(network, preset.seed, first_step, loop, crowded_share),
                loop,
                seed=preset.seed,
            ),
            folder,
            on_step=on_step,
        )
        for folder, loop, first_step, crowded_share in (
            (out_dir, preset.loop, 0, 0.0),
            (out_dir / "crowds", preset.crowd_loop, preset.loop.num_steps, CROWDED_SHARE),
        )
    ]
    thresholds = choose_thresholds(
        OpenmojiDetector(network, Thresholds(confidence=0.5, counting=0.5)), preset.threshold_seed
    )
    folder = out_dir / "checkpoint"
    write_weights(
        folder,
        parts[-1].weights,
        {
            "format": FORMAT,
            "name": "openmoji-detector",
            "suite": "openmoji",
            "network": asdict(preset.network),
            "thresholds": asdict(thresholds),
            "training": {
                "seed": preset.seed,
                "threshold_seed": preset.threshold_seed,
                "loop": asdict(preset.loop),
                "crowd_loop": asdict(preset.crowd_loop),
                "images_seen": sum(
                    loop.num_steps * loop.batch_size for loop in (preset.loop, preset.crowd_loop)
                ),
                "seconds": round(sum(part.seconds for part in parts)),
                "threads": threads,
                "last_metrics": parts[-1].metrics,
            },
        },
    )
    return folder


def batch_losses(
    network: OpenmojiNetwork, seed: int, first_step: int, loop: JudgeRecipe, crowded_share: float
) -> Callable[[int], Losses]:
    """The function step -> losses on that step's batch, which depends on seed and first_step + step alone."""
    bank = load_sprite_bank()

    def losses_at(step: int) -> Losses:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + first_step + step)
        scene_seed = int(torch.randint(2**62, (), generator=generator))
        batch = labelled_scenes(
            bank,
            loop.batch_size,
            scene_seed,
            recolored_share=RECOLORED_SHARE,
            crowded_share=crowded_share,
        )
        batch = with_unreal(batch, generator)
        images = spoil(batch.images, generator).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            raw = network(images)
        return detector_losses(raw, batch)

    return losses_at


def detector_losses(raw: RawOutput, batch: LabelledImages) -> Losses:
    """All losses of a batch; "loss" is their weighted sum."""
    centers = center_loss(raw.centers.float(), batch)
    image, slot, cell = cells_around_centers(batch)
    if len(image) == 0:
        return {"loss": centers, "centers": centers}
    row, column = cell // GRID, cell % GRID
    classes = functional.cross_entropy(
        raw.classes.float()[image, :, row, column], batch.class_index[image, slot]
    )
    boxes = generalized_box_iou_loss(
        boxes_from_edges(raw.edges.float())[image, :, row, column], batch.boxes[image, slot], reduction="mean"
    )
    masks = mask_loss(raw, batch, image, slot, cell)
    loss = centers + classes + 2 * boxes + masks
    return {"loss": loss, "centers": centers, "classes": classes, "boxes": boxes, "masks": masks}


def center_cells(batch: LabelledImages) -> Tensor:
    """Cell coordinates of the boxes' centres: (B, O, 2) int64, x then y."""
    middle = (batch.boxes[..., :2] + batch.boxes[..., 2:]) / 2
    return (middle / CELL_PX).floor().long().clamp(0, GRID - 1)


def center_targets(batch: LabelledImages) -> Tensor:
    """A bump of height 1 at each centre, wider for larger objects: (B, G, G) in [0, 1]."""
    cells = center_cells(batch).float()
    size = (batch.boxes[..., 2:] - batch.boxes[..., :2]).mean(dim=-1) / CELL_PX
    sigma = (size / 8).clamp(min=0.6)[..., None, None]
    axis = torch.arange(GRID, dtype=torch.float32)
    across = (axis[None, None, None, :] - cells[..., 0, None, None]) ** 2
    down = (axis[None, None, :, None] - cells[..., 1, None, None]) ** 2
    bumps = torch.exp(-(across + down) / (2 * sigma**2))
    return (bumps * (batch.class_index >= 0)[..., None, None]).amax(dim=1)


def center_loss(logits: Tensor, batch: LabelledImages) -> Tensor:
    """CenterNet's equation 1 with alpha 2 and beta 4, divided by the number of objects."""
    target = center_targets(batch)
    probability = torch.sigmoid(logits)
    is_center = target == 1
    hit = -((1 - probability) ** 2) * functional.logsigmoid(logits)
    miss = -((1 - target) ** 4) * probability**2 * functional.logsigmoid(-logits)
    return torch.where(is_center, hit, miss).sum() / is_center.sum().clamp(min=1)


def cells_around_centers(batch: LabelledImages) -> tuple[Tensor, Tensor, Tensor]:
    """The 3 x 3 cells around every real object's centre: image, slot and flat cell of each, (M,) int64."""
    axis = torch.arange(-1, 2)
    offsets = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).reshape(9, 2)
    cells = center_cells(batch)[:, :, None] + offsets
    valid = ((cells >= 0) & (cells < GRID)).all(dim=-1) & (batch.class_index >= 0)[..., None]
    image, slot, which = torch.nonzero(valid, as_tuple=True)
    chosen = cells[image, slot, which]
    return image, slot, chosen[:, 1] * GRID + chosen[:, 0]


def mask_loss(raw: RawOutput, batch: LabelledImages, image: Tensor, slot: Tensor, cell: Tensor) -> Tensor:
    """Binary cross entropy of each cell's mask inside its object's box and 4 px around it."""
    coefficients = raw.coefficients.float().flatten(2)[image, :, cell]
    logits = torch.einsum("mk,mkij->mij", coefficients, raw.prototypes.float()[image])
    target = functional.avg_pool2d(batch.masks[image, slot].float(), 2)
    boxes = batch.boxes[image, slot] / 2
    axis = torch.arange(target.shape[-1]) + 0.5
    columns = (axis >= boxes[:, None, 0] - 2) & (axis < boxes[:, None, 2] + 2)
    rows = (axis >= boxes[:, None, 1] - 2) & (axis < boxes[:, None, 3] + 2)
    near = (rows[:, :, None] & columns[:, None, :]).float()
    error = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return ((error * near).sum(dim=(1, 2)) / near.sum(dim=(1, 2)).clamp(min=1)).mean()
