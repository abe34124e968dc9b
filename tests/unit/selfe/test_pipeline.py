from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from selfe.autoencoder import Autoencoder
from selfe.checkpoint import load_checkpoint
from selfe.pipeline import CPU_TOKENS, AnyStepPipeline
from selfe.sampler import SamplerError
from selfe_eval.resources import checkpoints_dir

PROMPTS = ["a photo of a dog", "a photo of a red dog", "red"]
SEEDS = [1, 2, 3]


@pytest.fixture(scope="module")
def pipeline() -> AnyStepPipeline:
    """A bundled one: random weights do not listen to prompts."""
    return AnyStepPipeline.load(checkpoints_dir() / "selfe-tiny")


def difference(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference in grey levels; bfloat16 in batches of other shapes makes some 0.4."""
    return float((a.float() - b.float()).abs().mean())


def test_the_unconditional_branch_reads_the_negative_prompt(pipeline: AnyStepPipeline) -> None:
    """Guided away from itself a prompt is its conditional prediction; empty is the null prompt; another text is another."""
    options = replace(pipeline.sampler, guidance=2.0)
    alone = pipeline(["red"], [5], 2, replace(options, guidance=1.0))
    away_from_itself = pipeline(["red"], [5], 2, replace(options, negative_prompt="red"))
    away_from_null = pipeline(["red"], [5], 2, options)
    away_from_dog = pipeline(["red"], [5], 2, replace(options, negative_prompt="dog"))

    assert difference(alone, away_from_itself) < 1
    assert difference(away_from_null, away_from_dog) > 3
    assert torch.equal(away_from_null, pipeline(["red"], [5], 2, replace(options, negative_prompt="")))


def test_a_picture_depends_neither_on_its_batch_nor_on_its_place(pipeline: AnyStepPipeline) -> None:
    """Alone, together or in another order the pictures are the same, to the last rounding of matrix products."""
    together = pipeline(PROMPTS, SEEDS, 4)
    alone = torch.cat([pipeline([prompt], [seed], 4) for prompt, seed in zip(PROMPTS, SEEDS, strict=True)])
    turned = pipeline(PROMPTS[::-1], SEEDS[::-1], 4).flip(0)

    assert difference(together, alone) < 1
    assert difference(together, turned) < 1
    assert difference(together[:1], together[1:2]) > 3


def test_another_grid_draws_another_size_with_its_own_warp(pipeline: AnyStepPipeline) -> None:
    """A grid of (2, 6) tokens is 32 x 96 px, and its times follow mu of 12 tokens; the own grid is the default."""
    mu = pipeline.checkpoint.model.config.mu((2, 6))
    wide = pipeline(PROMPTS, SEEDS, 2, grid=(2, 6))

    assert wide.shape == (3, 3, 32, 96)
    assert torch.equal(wide, pipeline(PROMPTS, SEEDS, 2, replace(pipeline.sampler, warp=mu), grid=(2, 6)))
    assert torch.equal(pipeline(PROMPTS, SEEDS, 2, grid=pipeline.grid), pipeline(PROMPTS, SEEDS, 2))
    with pytest.raises(SamplerError, match="at least one row"):
        pipeline(PROMPTS, SEEDS, 2, grid=(0, 4))


@pytest.mark.parametrize(("omega", "rows"), [(1.0, 3), (2.0, 6)])
def test_both_branches_are_one_call_and_omega_one_costs_one_branch(
    pipeline: AnyStepPipeline, omega: float, rows: int
) -> None:
    """Each step calls the network once: with B rows where omega = 1, with 2B under guidance, as ``nfe`` counts them."""
    called = []
    hook = pipeline.checkpoint.model.register_forward_hook(lambda *call: called.append(len(call[1][0])))
    options = replace(pipeline.sampler, guidance=omega)
    latents = pipeline.latents(PROMPTS, SEEDS, 4, options)
    hook.remove()

    assert called == [rows] * 4
    assert sum(called) == len(PROMPTS) * pipeline.nfe(4, options)
    assert latents.shape == (3, 16, 64)
    assert latents.dtype == torch.float32


def test_prompts_are_read_once_for_all_steps(pipeline: AnyStepPipeline) -> None:
    """The text encoder, whose input is the same at every step, runs once a call and not once a step."""
    text = pipeline.checkpoint.model.text
    assert text is not None
    calls = []
    hook = text.register_forward_hook(lambda *_: calls.append(1))
    pipeline.latents(PROMPTS, SEEDS, 4)
    hook.remove()

    assert len(calls) == 1


def test_a_large_batch_on_a_cpu_takes_the_branches_in_turn(pipeline: AnyStepPipeline) -> None:
    """Above CPU_TOKENS each step calls the network twice with B rows, and draws what small batches draw."""
    num_rows = CPU_TOKENS // 16 + 1
    prompts, seeds = ["a photo of a dog"] * num_rows, list(range(num_rows))
    called = []
    hook = pipeline.checkpoint.model.register_forward_hook(lambda *call: called.append(len(call[1][0])))
    large = pipeline.latents(prompts, seeds, 2)
    hook.remove()

    assert called == [num_rows] * 4
    assert difference(large[:3], pipeline.latents(prompts[:3], seeds[:3], 2)) < 0.05


def test_everything_lies_where_the_pipeline_computes() -> None:
    """A network and an autoencoder that lie elsewhere are moved: a training on a GPU draws with parts from the CPU."""
    checkpoint = load_checkpoint(checkpoints_dir() / "selfe-tiny")
    assert isinstance(checkpoint.autoencoder, Autoencoder)
    AnyStepPipeline(checkpoint, device="meta")

    for module in (checkpoint.model, checkpoint.autoencoder):
        assert {tensor.device.type for tensor in module.state_dict().values()} == {"meta"}
