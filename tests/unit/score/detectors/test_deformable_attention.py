from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers.models.mask2former import modeling_mask2former

from selfe_eval.score.detectors.deformable_attention import deformable_attention, fast_on_cpu
from selfe_eval.score.detectors.mmdet_stub import import_mmdet

Sizes = list[tuple[int, int]]
THEIRS = (
    ("mmcv.ops.multi_scale_deform_attn", "multi_scale_deformable_attn_pytorch"),
    ("transformers.models.mask2former.modeling_mask2former", "multi_scale_deformable_attention"),
)
sides = st.integers(1, 7)


def inputs(
    sizes: Sizes, *, num_images: int = 2, num_queries: int = 5, seed: int = 0
) -> tuple[Tensor, Sizes, Tensor, Tensor]:
    """Random values, points that also lie outside, and weights; 3 heads of 4 channels, 2 points a level."""
    generator = torch.Generator().manual_seed(seed)
    num_positions = sum(height * width for height, width in sizes)
    points = (num_images, num_queries, 3, len(sizes), 2)
    return (
        torch.randn(num_images, num_positions, 3, 4, generator=generator),
        sizes,
        torch.rand(*points, 2, generator=generator) * 1.6 - 0.3,
        torch.rand(points, generator=generator),
    )


def library(name: str) -> ModuleType:
    import_mmdet()
    return importlib.import_module(name)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.tuples(sides, sides), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
    num_images=st.integers(1, 3),
)
def test_it_is_the_libraries_function(sizes: Sizes, seed: int, num_images: int) -> None:
    """The same values as mmcv's and transformers' own, on levels of any size and for points outside of them."""
    value, _, locations, weights = inputs(sizes, num_images=num_images, seed=seed)
    ours = deformable_attention(value, sizes, locations, weights)
    for module, name in THEIRS:
        theirs = getattr(library(module), name)(value, torch.tensor(sizes), locations, weights)
        assert torch.allclose(ours, theirs, atol=2e-5), (
            module
        )  # rounding of float32 sums of 6 terms of size 3


def test_a_point_on_a_pixel_gives_that_pixel() -> None:
    """In the middle of a pixel nothing is mixed in, and the weight multiplies it."""
    value = torch.arange(12.0).reshape(1, 12, 1, 1)
    locations = torch.tensor([(1 + 0.5) / 4, (2 + 0.5) / 3]).reshape(1, 1, 1, 1, 1, 2)
    found = deformable_attention(value, [(3, 4)], locations, torch.full((1, 1, 1, 1, 1), 0.5))
    assert found.item() == pytest.approx(0.5 * (2 * 4 + 1))


@pytest.mark.parametrize(("device", "is_ours"), [("cpu", True), ("cuda:0", False)])
def test_the_libraries_get_it_on_a_cpu_alone(device: str, is_ours: bool) -> None:  # noqa: FBT001
    """Inside the context the library's name means this function, on a CPU; afterwards it is the library's again."""
    theirs = modeling_mask2former.multi_scale_deformable_attention
    with fast_on_cpu(modeling_mask2former, "multi_scale_deformable_attention", device):
        inside = modeling_mask2former.multi_scale_deformable_attention
        assert (inside is deformable_attention) == is_ours
    assert modeling_mask2former.multi_scale_deformable_attention is theirs
