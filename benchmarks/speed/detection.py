"""How fast the bundled detector's network is beside a library's, in inference and in training.

    python benchmarks/speed/detection.py

One run, one thread, random weights, 64 px images in batches of 64; ratios are what to read. torchvision's
Mask R-CNN gets a backbone and heads about as small as ours. Measured once on two cores of an AMD EPYC with
AVX512-BF16 (one thread, otherwise idle), torch 2.15, torchvision 0.29:

    network                 parameters   infer ms/image   train images/s (bf16)
    ours                        1.49 M              5.2                     112
    torchvision Mask R-CNN      1.14 M              3.1                      29

Mask R-CNN infers fast here because random weights hand next to nothing to its mask head; it trains four times
slower, and training is what costs: an hour of ours would be four. mmdet's smallest (RTMDet-Ins-tiny, 5.6 M
parameters) needs 70 ms for a training image of 256 px and works at stride 8, coarse for 20 px objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from selfe_eval.score.detectors.openmoji_decode import decode
from selfe_eval.score.detectors.openmoji_network import NetworkOptions, OpenmojiNetwork

BATCH_SIZE = 64
NUM_REPEATS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One row of the table."""

    name: str
    num_parameters: int
    infer_seconds: float
    train_seconds: float


class _Backbone(nn.Module):
    """Five convolutions to stride 4, the stride of our own network."""

    def __init__(self) -> None:
        super().__init__()
        self.out_channels = 64
        widths = ((3, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 64, 1))
        layers: list[nn.Module] = []
        for num_in, num_out, stride in widths:
            layers += [nn.Conv2d(num_in, num_out, 3, stride, 1), nn.BatchNorm2d(num_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"0": self.layers(x)}


def library_network() -> MaskRCNN:
    """Mask R-CNN of torchvision for 80 classes at 64 px, cut down as far as its parts allow."""
    return MaskRCNN(
        _Backbone(),
        num_classes=None,
        min_size=64,
        max_size=64,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
        rpn_anchor_generator=AnchorGenerator(((20, 28, 40),), ((1.0,),)),
        rpn_pre_nms_top_n_train=100,
        rpn_post_nms_top_n_train=50,
        rpn_pre_nms_top_n_test=50,
        rpn_post_nms_top_n_test=20,
        box_batch_size_per_image=32,
        box_detections_per_img=16,
        box_roi_pool=MultiScaleRoIAlign(["0"], 7, 2),
        box_head=nn.Sequential(nn.Flatten(), nn.Linear(64 * 49, 256), nn.ReLU()),
        box_predictor=FastRCNNPredictor(256, 81),
        mask_roi_pool=MultiScaleRoIAlign(["0"], 14, 2),
        mask_head=MaskRCNNHeads(64, (64, 64), 1),
        mask_predictor=MaskRCNNPredictor(64, 64, 81),
    )


def _seconds(run: Callable[[], object]) -> float:
    run()
    started = time.perf_counter()
    for _ in range(NUM_REPEATS):
        run()
    return (time.perf_counter() - started) / NUM_REPEATS / BATCH_SIZE


def time_ours(images: Tensor) -> Timing:
    """Our network: forward and decoding; a training step in bf16 without the losses, which cost little."""
    network = OpenmojiNetwork(NetworkOptions()).to(memory_format=torch.channels_last)
    images = images.contiguous(memory_format=torch.channels_last)

    def infer() -> None:
        with torch.inference_mode():
            decode(network.eval()(images))

    def train() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            raw = network.train()(images)
        sum(output.float().mean() for output in raw).backward()

    return Timing(
        name="ours",
        num_parameters=_count(network),
        infer_seconds=_seconds(infer),
        train_seconds=_seconds(train),
    )


def time_library(images: Tensor) -> Timing:
    """Mask R-CNN, with three objects in each image."""
    network = library_network()
    targets = [_target() for _ in images]

    def infer() -> None:
        with torch.inference_mode():
            network.eval()(list(images))

    def train() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            losses = network.train()(list(images), targets)
        sum(losses.values()).backward()

    return Timing(
        name="torchvision Mask R-CNN",
        num_parameters=_count(network),
        infer_seconds=_seconds(infer),
        train_seconds=_seconds(train),
    )


def _target() -> dict[str, Tensor]:
    corners = (torch.rand(3, 2) * 36).long()
    masks = torch.zeros(3, 64, 64, dtype=torch.uint8)
    for mask, (x, y) in zip(masks, corners.tolist(), strict=True):
        mask[y : y + 24, x : x + 24] = 1
    boxes = torch.cat((corners, corners + 24), dim=1).float()
    return {"boxes": boxes, "labels": torch.randint(1, 81, (3,)), "masks": masks}


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images = torch.rand(BATCH_SIZE, 3, 64, 64)
    print(f"{'network':24}{'parameters':>12}{'infer ms/image':>16}{'train images/s':>16}")
    for timing in (time_ours(images), time_library(images)):
        millions, infer_ms = timing.num_parameters / 1e6, timing.infer_seconds * 1000
        print(f"{timing.name:24}{millions:10.2f} M{infer_ms:16.1f}{1 / timing.train_seconds:16.0f}")


if __name__ == "__main__":
    main()
