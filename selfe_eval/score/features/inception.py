"""FID's network: InceptionV3 of 2015-12-05 with TensorFlow's weights, as torch-fidelity converted them.

Built from torch-fidelity's own blocks, but not by its constructor, which downloads the weights or unpickles them with
everything a pickle can do. ``inception`` sees images as FID always did; ``inception-clean`` is the same network behind
clean-fid's resize. torchvision's InceptionV3 is another network: its numbers are not FID.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_fidelity import feature_extractor_inceptionv3 as blocks

from selfe_eval.score.detectors.weight_file import fill, read_weight_file
from selfe_eval.score.features.network_extractor import NetworkExtractor, Prepare
from selfe_eval.score.features.resize import clean_bicubic, tensorflow_bilinear
from selfe_eval.score.features.weight_sources import INCEPTION, find_weights

SIDE_PX = 299
WIDTH = 2048
NETWORK = "pt_inception-2015-12-05"
"""The name that the conversion has had since pytorch-fid."""

_CLASSIFIER = ("fc.weight", "fc.bias")
"""In the file, and read by the Inception score alone."""


def load(device: str = "cpu", weights: Path | None = None) -> NetworkExtractor:
    """Load ``inception``: behind TensorFlow 1's bilinear resize, as in FID and torch-fidelity.

    Args:
        device: A torch device string.
        weights: The weight file; without it, it is looked for and, if need be, downloaded.

    Raises:
        UsageError: The file is missing, damaged, unsafe or another network's.
    """
    return _loaded("inception", device, weights, prepare=_as_fid, resize="tf1-bilinear-299")


def load_clean(device: str = "cpu", weights: Path | None = None) -> NetworkExtractor:
    """Load ``inception-clean``: behind Pillow's antialiased bicubic resize in float, as in clean-fid.

    Args:
        device: A torch device string.
        weights: The weight file; without it, it is looked for and, if need be, downloaded.

    Raises:
        UsageError: The file is missing, damaged, unsafe or another network's.
    """
    return _loaded(
        "inception-clean", device, weights, prepare=_as_clean_fid, resize="pil-bicubic-float-clipped-299"
    )


def inception_network() -> nn.Sequential:
    """The network up to its last pooling, with random weights: (B, 3, 299, 299) in [-1, 1] -> (B, 2048).

    Names and layers are those of torch-fidelity's ``FeatureExtractorInceptionV3``.
    """
    convolution: Callable[..., nn.Module] = blocks.BasicConv2d
    return nn.Sequential(
        OrderedDict(
            Conv2d_1a_3x3=convolution(3, 32, kernel_size=3, stride=2),
            Conv2d_2a_3x3=convolution(32, 32, kernel_size=3),
            Conv2d_2b_3x3=convolution(32, 64, kernel_size=3, padding=1),
            MaxPool_1=nn.MaxPool2d(kernel_size=3, stride=2),
            Conv2d_3b_1x1=convolution(64, 80, kernel_size=1),
            Conv2d_4a_3x3=convolution(80, 192, kernel_size=3),
            MaxPool_2=nn.MaxPool2d(kernel_size=3, stride=2),
            Mixed_5b=blocks.InceptionA(192, pool_features=32),
            Mixed_5c=blocks.InceptionA(256, pool_features=64),
            Mixed_5d=blocks.InceptionA(288, pool_features=64),
            Mixed_6a=blocks.InceptionB(288),
            Mixed_6b=blocks.InceptionC(768, channels_7x7=128),
            Mixed_6c=blocks.InceptionC(768, channels_7x7=160),
            Mixed_6d=blocks.InceptionC(768, channels_7x7=160),
            Mixed_6e=blocks.InceptionC(768, channels_7x7=192),
            Mixed_7a=blocks.InceptionD(768),
            Mixed_7b=blocks.InceptionE_1(1280),
            Mixed_7c=blocks.InceptionE_2(2048),
            AvgPool=nn.AdaptiveAvgPool2d(output_size=(1, 1)),
            flatten=nn.Flatten(),
        )
    )


def _loaded(
    name: str, device: str, weights: Path | None, *, prepare: Prepare, resize: str
) -> NetworkExtractor:
    file = read_weight_file(find_weights(name, INCEPTION, weights))
    network = inception_network()
    fill(
        network,
        {key: tensor for key, tensor in file.tensors.items() if key not in _CLASSIFIER},
        complaint=f"{file.path} does not hold the network {NETWORK} in torch-fidelity's names. The official file is "
        f"{INCEPTION.url}",
    )
    record = {
        "network": NETWORK,
        "weights_file": file.path.name,
        "weights_sha256": file.sha256,
        "resize": resize,
        "layer": str(WIDTH),
    }
    if file.sha256 != INCEPTION.sha256:
        record["variant"] = "unverified-weights"
    return NetworkExtractor(name, network, width=WIDTH, prepare=prepare, device=device, record=record)


def _as_fid(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    return (tensorflow_bilinear(pixels, SIDE_PX, device) - 128) / 128


def _as_clean_fid(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    return (clean_bicubic(pixels, SIDE_PX).to(device) - 128) / 128
