from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from selfe.condition import Condition
from selfe.data.batches import BatchOptions
from selfe.data.latent_shards import (
    FORMAT,
    MANIFEST_FILE,
    NULL_FILE,
    SETTINGS_FILE,
    LatentShard,
    ShardError,
    packed,
    packed_rows,
    shard_name,
    write_shard,
)
from selfe.data.precomputed import PrecomputedLatents
from selfe.objectives.flow_matching import FlowMatching
from selfe.training.trainer import Captioned, LatentSource, ModelTraining, Recipe
from tests.unit.selfe import frozen

SHARDS = (((2, 2), 5), ((2, 2), 4), ((1, 3), 6))
"""Grids and numbers of rows."""
OPTIONS = BatchOptions(num_rows=3, num_parts=2, seed=1)


def conditions(first: int, count: int) -> Condition:
    """Row i has i mod 8 + 1 real tokens, all of them and its pooled vector equal to i."""
    value = torch.arange(first, first + count, dtype=torch.float32)
    mask = torch.arange(frozen.NUM_TOKENS) <= (value[:, None] % frozen.NUM_TOKENS)
    tokens = value[:, None, None].expand(-1, frozen.NUM_TOKENS, frozen.T5_WIDTH) * mask[..., None]
    return Condition(tokens, mask, value[:, None].expand(-1, frozen.CLIP_WIDTH))


def rows(grid: tuple[int, int], first: int, count: int) -> Captioned:
    """Row i has latents i; its fake caption is that of row i + 100."""
    value = torch.arange(first, first + count, dtype=torch.float32)
    latents = value[:, None, None].expand(-1, grid[0] * grid[1], 64)
    return Captioned(latents, conditions(first, count), grid, conditions(first + 100, count))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    first, shards = 1, []
    for number, (grid, count) in enumerate(SHARDS):
        name = shard_name(grid, number)
        write_shard(tmp_path / name, [packed_rows(rows(grid, first, count))])
        shards.append({"file": name, "rows": count, "grid": list(grid)})
        first += count
    write_shard(tmp_path / NULL_FILE, [packed(conditions(0, 1))])
    settings = {
        "format": FORMAT,
        "text": {"t5": "t5", "clip": "clip", "num_tokens": frozen.NUM_TOKENS},
        "autoencoder": {"frozen": "vae"},
        "encoders": {"t5": {"model.safetensors": "0" * 64}},
        "fake": True,
        "size_px": 64,
    }
    (tmp_path / SETTINGS_FILE).write_text(json.dumps(settings))
    (tmp_path / MANIFEST_FILE).write_text(json.dumps({"format": FORMAT, "shards": shards}))
    return tmp_path


def numbers(data: Captioned) -> list[int]:
    return [int(value) for value in data.latents[:, 0, 0]]


def test_latents_and_captions_stay_together(folder: Path) -> None:
    """Every row of a batch brings its own latents, tokens, mask, pooled vector and fake caption."""
    source: LatentSource = PrecomputedLatents(folder, OPTIONS, with_fake=True)
    for step in range(6):
        data = source.batch(step, 0)
        found = torch.tensor(numbers(data))
        expected = torch.cat([conditions(int(number), 1).mask for number in found])

        assert data.c_fake is not None
        assert data.c.pooled is not None
        assert data.c_fake.pooled is not None
        assert data.latents.shape[1] == data.grid[0] * data.grid[1]
        assert torch.equal(data.latents, found[:, None, None].float().expand_as(data.latents))
        assert torch.equal(data.c.mask, expected)
        assert torch.equal(
            data.c.tokens.float(), (found[:, None, None] * expected[..., None]).expand_as(data.c.tokens)
        )
        assert torch.equal(data.c.pooled[:, 0].long(), found)
        assert torch.equal(data.c_fake.pooled[:, 0].long(), found + 100)


def test_every_row_has_its_turn_once_an_epoch(folder: Path) -> None:
    """15 rows in parts of three of one grid: five parts show each row once, however the parts are asked for."""
    source = PrecomputedLatents(folder, OPTIONS)
    parts = [source.batch(*divmod(number, OPTIONS.num_parts)) for number in range(5)]

    assert sorted(number for data in parts for number in numbers(data)) == list(range(1, 16))
    assert {data.grid for data in parts} == {(2, 2), (1, 3)}
    again = PrecomputedLatents(folder, OPTIONS)
    assert numbers(again.batch(2, 0)) == numbers(parts[4])
    assert numbers(PrecomputedLatents(folder, replace(OPTIONS, seed=2)).batch(0, 0)) != numbers(parts[0])


def test_rows_that_share_a_caption_are_neighbours(folder: Path) -> None:
    """With two rows a caption, neighbours are the same row."""
    source = PrecomputedLatents(folder, BatchOptions(num_rows=4, num_parts=1, seed=0, rows_per_caption=2))
    first = numbers(source.batch(0, 0))

    assert first[0] == first[1] != first[2] == first[3]
    with pytest.raises(ValueError, match="5 rows cannot hold whole groups of 2"):
        PrecomputedLatents(folder, BatchOptions(num_rows=5, num_parts=1, seed=0, rows_per_caption=2))


def test_the_null_prompt_is_padded_like_captions(folder: Path) -> None:
    """Phi is one row of T tokens, of which the stored ones are real."""
    null = PrecomputedLatents(folder, OPTIONS).null

    assert null.tokens.shape == (1, frozen.NUM_TOKENS, frozen.T5_WIDTH)
    assert null.mask.sum() == 1


def test_a_folder_says_what_encoded_it(folder: Path) -> None:
    """Places, hashes and widths come from the folder, for the model's configuration and its checkpoint."""
    source = PrecomputedLatents(folder, OPTIONS)

    assert (source.text.t5, source.text.clip, source.autoencoder.frozen) == ("t5", "clip", "vae")
    assert source.encoders == {"t5": {"model.safetensors": "0" * 64}}
    assert source.widths == (frozen.T5_WIDTH, frozen.CLIP_WIDTH, 64)
    assert source.num_rows == 15


def test_padding_is_not_stored(folder: Path) -> None:
    """A shard of rows with 2 to 6 real tokens of eight stores 20 tokens, not 40."""
    shard = LatentShard(folder / shard_name((2, 2), 0))

    assert shard.num_rows == 5
    assert [len(shard.prompt(row)[0]) for row in range(5)] == [2, 3, 4, 5, 6]


def test_a_network_trains_from_shards(folder: Path) -> None:
    """Two steps over two parts of bfloat16 embeddings change the weights and give finite losses."""
    recipe = Recipe(objective=FlowMatching(), num_steps=2, micro_batches=2, caption_drop=0.5)
    source = PrecomputedLatents(folder, OPTIONS)
    training = ModelTraining(frozen.model_config(Path()), recipe, source, device=torch.device("cpu"))
    before = training.model.denoiser.image_out.bias.clone()
    losses = [training.train_step(step)["loss"] for step in range(2)]

    assert torch.isfinite(torch.tensor([float(loss) for loss in losses])).all()
    assert not torch.equal(before, training.model.denoiser.image_out.bias)


def test_an_unfinished_folder_is_refused(folder: Path) -> None:
    """Without its manifest a folder is not finished; the error says how to go on."""
    (folder / MANIFEST_FILE).unlink()

    with pytest.raises(ShardError, match=r"No manifest\.json in .*Repeat its command"):
        PrecomputedLatents(folder, OPTIONS)


def test_a_missing_shard_is_named(folder: Path) -> None:
    """A shard of the manifest that is gone is an error before the first step."""
    (folder / shard_name((1, 3), 2)).unlink()

    with pytest.raises(ShardError, match=r"lacks 1 of the 3 shards .*latents-1x3-00002"):
        PrecomputedLatents(folder, OPTIONS)


def test_another_format_is_refused(folder: Path) -> None:
    """A JSON document of something else is not taken for a manifest."""
    (folder / MANIFEST_FILE).write_text("[]")

    with pytest.raises(ShardError, match="expected the format 'selfe-latents/1'"):
        PrecomputedLatents(folder, OPTIONS)


def test_fake_captions_that_were_not_encoded_are_refused(folder: Path) -> None:
    """An objective that needs them learns before the first step that --fake was left out."""
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    (folder / SETTINGS_FILE).write_text(json.dumps({**settings, "fake": False}))

    with pytest.raises(ShardError, match="selfe-eval encode --fake"):
        PrecomputedLatents(folder, OPTIONS, with_fake=True)
