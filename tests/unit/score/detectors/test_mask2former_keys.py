from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from selfe_eval.score.detectors.mask2former_keys import names_from_hub, names_from_mmdet
from selfe_eval.score.detectors.transformers_network import UNUSED, empty_model
from tests.unit.score.detectors.small_mask2former import random_tensors, small_config
from tests.unit.score.detectors.small_transformers import SMALL_SIZES


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return random_tensors(small_config())


def test_every_name_and_shape_of_transformers_comes_out(tensors: dict[str, Tensor]) -> None:
    """Nothing is missing but what the network does not read, nothing is left over, and all shapes agree."""
    expected = {name: tensor.shape for name, tensor in empty_model(SMALL_SIZES).state_dict().items()}
    assert expected.keys() >= UNUSED
    found = {name: tensor.shape for name, tensor in names_from_mmdet(tensors).items()}
    assert found == {name: shape for name, shape in expected.items() if name not in UNUSED}


def test_every_number_is_kept(tensors: dict[str, Tensor]) -> None:
    """The multiset of weights is the same before and after: nothing is dropped, repeated or changed."""
    weights = [tensor for name, tensor in tensors.items() if not name.endswith("relative_position_index")]
    before = torch.cat([tensor.flatten() for tensor in weights]).sort().values
    after = torch.cat([tensor.flatten() for tensor in names_from_mmdet(tensors).values()]).sort().values
    assert torch.equal(before, after)


def test_names_differ_from_each_other_as_before(tensors: dict[str, Tensor]) -> None:
    """Splitting adds two names for each joint projection and no two tensors end under one name."""
    joint = [name for name in tensors if ".qkv." in name or ".self_attn.attn.in_proj" in name]
    tables = [name for name in tensors if name.endswith("relative_position_index")]
    assert len(names_from_mmdet(tensors)) == len(tensors) + 2 * len(joint) - len(tables)


def test_joint_projections_are_query_key_value_in_this_order() -> None:
    """The rows of a joint projection are split into three equal parts."""
    name = "backbone.stages.1.blocks.0.attn.w_msa.qkv.bias"
    converted = names_from_mmdet({name: torch.arange(6)})
    parent = "model.pixel_level_module.encoder.swin.encoder.layers.1.blocks.0.attention"
    assert {key: value.tolist() for key, value in converted.items()} == {
        f"{parent}.q_proj.bias": [0, 1],
        f"{parent}.k_proj.bias": [2, 3],
        f"{parent}.v_proj.bias": [4, 5],
    }


def test_patch_merging_reads_the_same_neighbours() -> None:
    """Unfolding as mmdet does equals gathering as transformers does with the re-ordered weights, up to rounding."""
    channels = SMALL_SIZES.embed_dim
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 6, 8, channels, generator=generator)
    weight = torch.randn(2 * channels, 4 * channels, generator=generator)
    unfolded = functional.unfold(image.permute(0, 3, 1, 2), kernel_size=2, stride=2).transpose(1, 2)
    converted = names_from_mmdet({"backbone.stages.0.downsample.reduction.weight": weight})
    swin = empty_model(SMALL_SIZES).model.pixel_level_module.encoder.swin
    merging = swin.encoder.layers[0].downsample
    merging.reduction.weight.data = converted[
        "model.pixel_level_module.encoder.swin.encoder.layers.0.downsample.reduction.weight"
    ]
    merging.norm = nn.Identity()
    assert torch.allclose(merging(image.flatten(1, 2), (6, 8)), unfolded @ weight.T, atol=1e-4)


def test_a_name_nobody_knows_stays_as_it_is() -> None:
    """An unknown tensor is left for the strict load to complain of."""
    assert list(names_from_mmdet({"backbone.unheard.of": torch.zeros(1)})) == ["backbone.unheard.of"]


def test_the_hubs_names_are_those_that_transformers_itself_stores(tmp_path: Path) -> None:
    """Transformers 5 stores under the names of 4, as on the hub; from there every name finds back."""
    model = empty_model(SMALL_SIZES)
    model.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert any(name.endswith(".attention.self.query.weight") for name in stored)
    found, expected = names_from_hub(stored), model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_newest_names_stay_as_they_are() -> None:
    """A file in the names of transformers 5 needs no renaming."""
    names = dict.fromkeys(empty_model(SMALL_SIZES).state_dict(), torch.zeros(1))
    assert names_from_hub(names).keys() == names.keys()


def test_the_table_that_transformers_4_stored_is_left_out() -> None:
    """Which bias belongs to which pair of pixels follows from the window and is computed anew."""
    name = "model.pixel_level_module.encoder.encoder.layers.0.blocks.0.attention.self.relative_position_index"
    assert names_from_hub({name: torch.zeros(49, 49)}) == {}
