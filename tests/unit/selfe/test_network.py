from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from selfe.autoencoder import Autoencoder, AutoencoderConfig, patchify, to_uint8, to_unit_range, unpatchify
from selfe.blocks import QKNorm, SingleStreamBlock, Stream, attend
from selfe.buckets import aspect_buckets
from selfe.condition import Condition
from selfe.denoiser import DenoiserConfig, TextFeatures, _rotary
from selfe.embeddings import rotary_table, rotate, sinusoid, token_positions
from selfe.model import ConditionalModel, checkpoint_activations, compiled
from selfe.training.ema import averaged_copy
from tests.unit.selfe import tiny


def any_model(*, mask_text: bool = False) -> ConditionalModel:
    """A small model whose gates are open: random weights, random modulation."""
    config = tiny.config()
    torch.manual_seed(0)
    model = ConditionalModel(replace(config, denoiser=replace(config.denoiser, mask_text=mask_text)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def some_input(rows: int, grid: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Condition, tuple[int, int]]:
    """Arguments of a model, all of them random numbers that depend on the sizes only."""
    generator = torch.Generator().manual_seed(rows)
    x = torch.randn(rows, grid[0] * grid[1], 64, generator=generator)
    t = torch.rand(rows, generator=generator)
    tokens = torch.randint(3, 9, (rows, 4), generator=generator)
    return x, t, 0.5 * t, tiny.condition(tokens), grid


def gradients(model: ConditionalModel) -> list[Tensor]:
    """The gradients, which are taken off the model."""
    found = [p.grad for p in model.parameters() if p.grad is not None]
    model.zero_grad(set_to_none=True)
    return found


def test_rotation_keeps_norms_and_sees_only_differences() -> None:
    """Rotary positions: |rotate(x)| = |x|, and <rotate(q, p), rotate(k, r)> depends on p - r only."""
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 16, generator=generator)
    positions = torch.tensor([[0, 2, 3], [0, 5, 7], [0, 4, 1], [0, 7, 5]])
    table = rotary_table(positions, (4, 6, 6))
    turned_q = rotate(q.expand(1, 1, 4, 16), table)[0, 0]
    turned_k = rotate(k.expand(1, 1, 4, 16), table)[0, 0]

    assert torch.allclose(turned_q.norm(dim=-1), q.norm().expand(4), atol=1e-5)
    # positions 0 and 1 differ by (0, 3, 4), as do positions 2 and 3.
    assert torch.allclose(turned_q[0] @ turned_k[1], turned_q[2] @ turned_k[3], atol=1e-5)


def test_text_stands_at_the_origin_and_images_in_row_order() -> None:
    """Text tokens have position (0, 0, 0); image token i stands at (0, i // columns, i % columns)."""
    positions = token_positions(2, 2, 3)

    assert positions[:2].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert positions[2:].tolist() == [[0, r, c] for r in range(2) for c in range(3)]


def test_sinusoid_of_zero() -> None:
    """At t = 0 every cosine is 1 and every sine 0."""
    assert torch.equal(sinusoid(torch.zeros(1)), torch.cat([torch.ones(1, 128), torch.zeros(1, 128)], dim=1))


def test_an_untrained_network_ignores_times_and_text() -> None:
    """Modulation starts at zero (adaLN-zero): gates are closed, so t, s and the prompt change nothing yet."""
    torch.manual_seed(0)
    model = ConditionalModel(tiny.config()).eval()
    x = torch.randn(2, 4, 64)
    some = tiny.condition(torch.tensor([[3, 0, 0, 0], [4, 5, 0, 0]]))
    others = tiny.condition(torch.tensor([[6, 0, 0, 0], [7, 3, 0, 0]]))
    one = model(x, torch.tensor([0.2, 0.9]), torch.tensor([0.1, 0.3]), some)
    other = model(x, torch.tensor([0.7, 0.4]), torch.tensor([0.7, 0.0]), others)

    assert torch.equal(one, other)


def test_wrong_rotary_dimensions_are_refused() -> None:
    """Axis dimensions that do not sum to the head size are an error that names all three numbers."""
    with pytest.raises(ValueError, match=r"rope_dims \(4, 6, 8\)"):
        DenoiserConfig(
            width=32, num_heads=2, num_double=1, num_single=1, rope_dims=(4, 6, 8), text_width=8, grid=(2, 2)
        )


@pytest.mark.parametrize(
    "num_image", [4, 81], ids=["small", "fused"]
)  # at most 64 tokens take the small CPU path
def test_masked_text_is_not_read(num_image: int) -> None:
    """With mask_text the output does not depend on what stands in padded tokens; without it, it does."""
    x, t = torch.randn(2, num_image, 64), torch.tensor([0.3, 0.8])
    mask = torch.tensor([[True, True, False, False], [True, True, True, False]])
    tokens, pooled = torch.randn(2, 4, 32), torch.randn(2, 32)
    others = torch.where(mask[..., None], tokens, 5.0)
    grid = (1, num_image)

    def difference(*, mask_text: bool) -> float:
        denoiser = any_model(mask_text=mask_text).denoiser
        one, other = (denoiser(x, t, t, TextFeatures(text, mask, pooled), grid) for text in (tokens, others))
        return float((one - other).detach().abs().max())

    assert difference(mask_text=True) == 0.0
    assert difference(mask_text=False) > 1e-3


@pytest.mark.parametrize("num_image", [4, 81], ids=["small", "fused"])
def test_a_mask_without_padding_masks_nothing(num_image: int) -> None:
    """Where every text token is real, mask_text changes nothing; padding a prompt further changes nothing under it."""
    x, t = torch.randn(2, num_image, 64), torch.tensor([0.3, 0.8])
    tokens, pooled = torch.randn(2, 4, 32), torch.randn(2, 32)
    text = TextFeatures(tokens, torch.ones(2, 4, dtype=torch.bool), pooled)
    longer = TextFeatures(
        torch.cat([tokens, torch.zeros(2, 3, 32)], dim=1),
        torch.cat([text.mask, torch.zeros(2, 3, dtype=torch.bool)], dim=1),
        pooled,
    )
    grid = (1, num_image)
    masked, plain = any_model(mask_text=True).denoiser, any_model().denoiser

    assert torch.allclose(masked(x, t, t, text, grid), plain(x, t, t, text, grid), atol=1e-5)
    assert torch.allclose(masked(x, t, t, longer, grid), plain(x, t, t, text, grid), atol=1e-5)
    assert not torch.allclose(plain(x, t, t, longer, grid), plain(x, t, t, text, grid), atol=1e-3)


def test_the_two_attentions_are_one() -> None:
    """Below and above 64 tokens a CPU takes different code: on the same tokens, with the same mask, both agree."""
    q, k, v = torch.randn(3, 2, 2, 70, 16)
    table = rotary_table(token_positions(70, 0, 0), (4, 6, 6))
    keys = torch.zeros(2, 1, 1, 70, dtype=torch.bool)
    keys[0, ..., :60], keys[1, ..., :33] = True, True
    fused = attend(q, k, v, table, keys)
    small = attend(q[:, :, :60], k[:, :, :60], v[:, :, :60], table[:, :60], keys[..., :60])

    assert torch.allclose(fused[:, :60], small, atol=1e-5)


def test_queries_and_keys_stay_in_bfloat16_under_autocast() -> None:
    """On their way through projection, norm and rotation; the learned scale stays float32 and keeps its gradient."""
    stream = Stream(32, 2)
    table = rotary_table(token_positions(5, 0, 0), (4, 6, 6))
    with torch.autocast("cpu", torch.bfloat16):
        q, k, _ = stream.queries_keys_values(torch.randn(2, 5, 32))
        turned = rotate(q, table), rotate(k, table)
    (turned[0] * turned[1]).float().sum().backward()

    assert {x.dtype for x in (q, k, *turned)} == {torch.bfloat16}
    for scale in (stream.query_norm.scale, stream.key_norm.scale):
        assert scale.dtype == torch.float32
        assert scale.grad is not None
        assert scale.grad.abs().max() > 0


def test_queries_and_keys_stay_in_bfloat16_on_a_gpu() -> None:
    """CUDA's autocast computes rms_norm in float32, unlike the CPU's; the norm steps out of it. Without a GPU: fake tensors."""
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    with FakeTensorMode(), torch.device("cuda"):
        x, norm = torch.empty(2, 2, 5, 16, dtype=torch.bfloat16), QKNorm(16)
        torch.set_autocast_enabled("cuda", enabled=True)
        torch.set_autocast_dtype("cuda", torch.bfloat16)
        try:
            kept, lost = norm(x), torch.nn.functional.rms_norm(x, (16,), norm.scale)
        finally:
            torch.set_autocast_enabled("cuda", before[0])
            torch.set_autocast_dtype("cuda", before[1])

    assert kept.dtype == torch.bfloat16
    assert lost.dtype == torch.float32


def test_a_rotary_table_is_made_once_for_a_size_and_a_device() -> None:
    """Calls of one size share a table; a table first made while sampling serves training."""
    _rotary.cache_clear()
    model = any_model()
    with torch.inference_mode():
        model(*some_input(2, (2, 3)))
    for _ in range(3):
        model(*some_input(2, (2, 3))).sum().backward()
    table = _rotary(4, 2, 3, (4, 6, 6), torch.device("cpu"))

    assert _rotary.cache_info().misses == 1
    assert not table.is_inference()
    assert _rotary(4, 2, 3, (4, 6, 6), torch.device("meta")).device.type == "meta"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_recomputed_activations_give_the_same_gradients(dtype: torch.dtype) -> None:
    """To 1e-6, also where passes without gradients come between forward and backward, and the backward leaves autocast."""
    model = any_model()
    found = []
    for recompute in (False, True):
        if recompute:
            checkpoint_activations(model)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            with torch.no_grad():
                model(*some_input(5, (2, 3)))
            out, second = model(*some_input(3, (2, 2))), model(*some_input(2, (3, 2)))
            with torch.no_grad():
                model(*some_input(3, (2, 2)))
        (out.float().square().mean() + second.float().square().mean()).backward()
        found.append(gradients(model))

    assert len(found[0]) == len(found[1])
    assert all(torch.allclose(a, b, rtol=1e-6, atol=1e-6) for a, b in zip(*found, strict=True))


def test_recomputed_activations_are_not_kept() -> None:
    """Between forward and backward a block that recomputes holds its inputs and not what happened inside it."""

    def kept(model: ConditionalModel) -> int:
        sizes = []

        def pack(x: Tensor) -> Tensor:
            sizes.append(x.numel())
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            model(*some_input(8, (4, 4)))
        return sum(sizes)

    model = any_model()
    everything = kept(model)
    checkpoint_activations(model)

    assert kept(model) < 0.4 * everything


@pytest.fixture
def dynamo() -> Iterator[None]:
    """A compiler that has seen nothing, and forgets what the test did."""
    torch.compiler.reset()
    with torch._dynamo.config.patch(recompile_limit=8):
        yield
    torch.compiler.reset()


def _modes(
    model: ConditionalModel, average: ConditionalModel, rows: int, grid: tuple[int, int]
) -> list[Tensor]:
    """What training and sampling make of a model: gradients, a pass without them, one of frozen weights."""
    with torch.autocast("cpu", torch.bfloat16):
        out = model(*some_input(rows, grid))
        with torch.no_grad():
            evaluated = model(*some_input(rows - 1, grid)), average(*some_input(rows - 1, grid))
    out.float().square().mean().backward()
    return [out, *evaluated, *gradients(model)]


@pytest.mark.slow
@pytest.mark.usefixtures("dynamo")
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # torch's own, of a block's inputs
@pytest.mark.parametrize(
    ("recompute", "backend", "tolerance"),
    # Generated code rounds bfloat16 in other places.
    [("kept", "inductor", 0.05), ("recomputed", "aot_eager", 0.0)],
)
def test_compiled_blocks_serve_every_size(recompute: str, backend: str, tolerance: float) -> None:
    """Once every mode has been met, other batch sizes and grids compile nothing more, and results are the same."""
    plain, model = any_model(mask_text=True), any_model(mask_text=True)
    average = averaged_copy(plain)
    if recompute == "recomputed":
        checkpoint_activations(model)
    compiled(model, backend=backend)
    compiled(average, backend=backend)
    for rows, grid in ((7, (2, 3)), (9, (5, 2))):
        _modes(model, average, rows, grid)
    with torch.compiler.set_stance("fail_on_recompile"):
        for rows, grid in ((5, (2, 3)), (8, (3, 5)), (6, (1, 7))):
            found = _modes(model, average, rows, grid)
            expected = _modes(plain, averaged_copy(plain), rows, grid)
            for one, other in zip(found, expected, strict=True):
                assert (one - other).abs().max() <= tolerance * other.abs().max()


@pytest.mark.usefixtures("dynamo")
def test_compiling_leaves_the_weights_names_and_copies_alone() -> None:
    """Weights are called as before, so checkpoints fit; every block is compiled, and those of a copy are not."""
    model = any_model()
    names = list(model.state_dict())

    assert compiled(model) is model
    assert list(model.state_dict()) == names
    assert all(block._compiled_call_impl is not None for block in model.denoiser.blocks())
    assert all(block._compiled_call_impl is None for block in averaged_copy(model).denoiser.blocks())
    assert len(model.denoiser.blocks()) == 2


def transposed(x: Tensor, columns: int) -> Tensor:
    """Image tokens (B, L, P) in row order of the transposed picture."""
    return torch.stack(list(x.split(columns, dim=1)), dim=2).flatten(1, 2)


def with_axes_swapped(model: ConditionalModel) -> ConditionalModel:
    """The model whose queries and keys carry in the y dimensions what they carried in the x dimensions."""
    swapped = averaged_copy(model)
    frame, y, _ = (dims // 2 for dims in model.config.denoiser.rope_dims)
    half = torch.cat(
        [torch.arange(frame), torch.arange(frame + y, frame + 2 * y), torch.arange(frame, frame + y)]
    )
    order = torch.cat([half, half + len(half)])
    for module in swapped.modules():
        if isinstance(module, QKNorm):
            module.scale.copy_(module.scale[order])
        if isinstance(module, Stream | SingleStreamBlock):
            linear = module.qkv if isinstance(module, Stream) else module.inputs
            for values in (linear.weight, linear.bias):
                heads = values[: 2 * 32].view(2, 2, 16, -1)
                values[: 2 * 32] = heads[:, :, order].reshape(values[: 2 * 32].shape)
    return swapped


def test_a_transposed_picture_is_its_own_under_swapped_axes() -> None:
    """On a grid of 3 x 5 and of 5 x 3: swap the rotary dimensions of y and x, and the output is the transposed output.

    So attention sees how far tokens lie apart along each axis, and nothing of the shape of the grid.
    """
    model = any_model()
    x, t, s, c, grid = some_input(2, (3, 5))
    with torch.no_grad():
        out = model(x, t, s, c, grid)
        turned = with_axes_swapped(model)(transposed(x, 5), t, s, c, (5, 3))
        unswapped = model(transposed(x, 5), t, s, c, (5, 3))

    assert torch.allclose(turned, transposed(out, 5), atol=1e-5)
    assert not torch.allclose(unswapped, transposed(out, 5), atol=1e-3)


def test_one_network_takes_every_bucket() -> None:
    """The same weights serve each grid of the buckets, and what they make of a token depends on its grid."""
    model = any_model()
    with torch.no_grad():
        shapes = {
            bucket.grid: model(*some_input(1, bucket.grid)).shape
            for bucket in aspect_buckets(64, max_aspect=4.0)
        }
        x, t, s, c, _ = some_input(1, (2, 8))
        flat, square = model(x, t, s, c, (2, 8)), model(x, t, s, c, (4, 4))

    assert shapes == {grid: (1, grid[0] * grid[1], 64) for grid in shapes}
    assert len(shapes) == 5
    assert not torch.allclose(flat, square, atol=1e-4)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
@settings(deadline=None, derandomize=True, max_examples=20)
def test_patchify_is_a_bijection(batch: int, rows: int, columns: int) -> None:
    """unpatchify(patchify(z)) = z for every even size."""
    z = torch.randn(batch, 16, 2 * rows, 2 * columns)

    assert torch.equal(unpatchify(patchify(z), 2 * rows, 2 * columns), z)


def test_a_token_holds_its_own_patch() -> None:
    """Token 1 of a 2 x 4 latent grid is made of columns 2 and 3 only."""
    z = torch.zeros(1, 16, 2, 4)
    z[..., 2:] = 1.0

    assert patchify(z)[0, 0].eq(0).all()
    assert patchify(z)[0, 1].eq(1).all()


def test_pixels_survive_the_unit_range() -> None:
    """to_uint8(to_unit_range(x)) = x for every value of a byte."""
    values = torch.arange(256, dtype=torch.uint8)

    assert torch.equal(to_uint8(to_unit_range(values)), values)


def test_latents_are_standardised_on_the_given_images() -> None:
    """After standardise_on, the latents of those images have mean 0 and deviation 1 in every channel."""
    torch.manual_seed(0)
    coder = Autoencoder(AutoencoderConfig(encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8)))
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    coder.standardise_on(images)
    z = coder.encode(images)

    assert z.shape == (4, 16, 4, 4)
    assert torch.allclose(z.mean(dim=(0, 2, 3)), torch.zeros(16), atol=1e-4)
    assert torch.allclose(z.std(dim=(0, 2, 3)), torch.ones(16), atol=1e-3)
    assert coder.decode(z).shape == images.shape
