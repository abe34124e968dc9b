from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfe.autoencoder import Autoencoder, AutoencoderConfig, patchify, to_uint8, to_unit_range, unpatchify
from selfe.denoiser import Denoiser, DenoiserConfig
from selfe.embeddings import rotary_table, rotate, sinusoid, token_positions
from selfe.model import ConditionalModel
from tests.unit.selfe import tiny


def double_block(d: int, k: int) -> int:
    """Parameters of a double-stream block without modulation: 2 (12 d^2 + 9 d + 2 k)."""
    return 2 * (12 * d * d + 9 * d + 2 * k)


def single_block(d: int, k: int) -> int:
    """Parameters of a single-stream block without modulation: 12 d^2 + 8 d + 2 k."""
    return 12 * d * d + 8 * d + 2 * k


def embeddings(d: int, text: int, image: int) -> int:
    """Input, time, pooled-text and output maps of the denoiser, biases included."""
    linear_in = d * (text + 1) + d * (image + 1)
    pooled = text * d + d * d + 2 * d
    times = 2 * (256 * d + d * d + 2 * d)
    return linear_in + pooled + times + (2 * d * d + 2 * d) + (d + 1) * image


@pytest.mark.parametrize(
    ("width", "heads", "doubles", "singles", "rope"),
    [
        # "2B" and "0.5B" of the paper, and the bundled network
        (2048, 16, 8, 16, (16, 56, 56)),
        (1024, 16, 8, 16, (8, 28, 28)),
        (224, 7, 2, 4, (4, 14, 14)),
    ],
)
def test_parameter_count_is_the_formula(
    width: int, heads: int, doubles: int, singles: int, rope: tuple[int, int, int]
) -> None:
    """With modulation in each block the count is 36d^2+30d+4k a double, 15d^2+11d+2k a single block, and the embeddings."""
    config = DenoiserConfig(
        width=width,
        num_heads=heads,
        num_double=doubles,
        num_single=singles,
        rope_dims=rope,
        text_width=4096,
        grid=(16, 16),
    )
    with torch.device("meta"):
        found = sum(p.numel() for p in Denoiser(config).parameters())
    k = width // heads
    doubles_total = doubles * (double_block(width, k) + 12 * (width * width + width))
    singles_total = singles * (single_block(width, k) + 3 * (width * width + width))

    assert found == doubles_total + singles_total + embeddings(width, 4096, 64)


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
