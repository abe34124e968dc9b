from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch

from selfe.checkpoint import model_config, read_config
from selfe.condition import Condition
from selfe.denoiser import DenoiserConfig
from selfe.model import ConditionalModel, FrozenTextConfig, ModelConfig
from selfe.parametrisation import Parametrisation, predicted_clean, velocity_loss
from selfe.presets import BETWEEN_FROZEN_ENCODERS, WITH_THEIR_OWN_TEXT, half_b, smoke, tiny, two_b
from selfe.text import TextConfig
from selfe.times import SELFE_ANCHORS, Anchor
from selfe_eval.resources import checkpoints_dir
from tests.unit.selfe import tiny as small

FROZEN = FrozenTextConfig(t5="t5", clip="clip")
OWN = small.TEXT
FLUX_ANCHORS: tuple[Anchor, Anchor] = ((256, 0.5), (4096, 1.15))
"""black-forest-labs/flux, src/flux/sampling.py."""

NETWORKS = {name: make(FROZEN) for name, make in BETWEEN_FROZEN_ENCODERS.items()} | {
    name: make(OWN) for name, make in WITH_THEIR_OWN_TEXT.items()
}


def on_meta(config: ModelConfig) -> ConditionalModel:
    """The model without its weights."""
    with torch.device("meta"):
        return ConditionalModel(config)


def num_parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def some_condition(config: ModelConfig) -> Condition:
    """Three prompts, the last of one token."""
    mask = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    if isinstance(config.text, TextConfig):
        return Condition(
            torch.tensor([[3, 4, 5, 0], [3, 4, 0, 0], [6, 0, 0, 0]]), torch.nn.functional.pad(mask, (0, 1))
        )
    return Condition(torch.randn(3, 3, 4096), mask, torch.randn(3, 768))


def linear(num_inputs: int, num_outputs: int) -> int:
    """Parameters of a linear map with bias."""
    return (num_inputs + 1) * num_outputs


def denoiser_parameters(config: DenoiserConfig) -> int:
    """The count from the sizes alone: d width, k head size, X and Y widths of text and pooled text, P token numbers."""
    d, k = config.width, config.width // config.num_heads
    x, y, p = config.text_width, config.pooled_width or config.text_width, config.token_dims
    stream = linear(d, 3 * d) + 2 * k + linear(d, d) + linear(d, 4 * d) + linear(4 * d, d)
    double, single = 2 * stream, linear(d, 7 * d) + 2 * k + linear(5 * d, d)
    ends = linear(x, d) + linear(p, d) + linear(d, 2 * d) + linear(d, p)
    times, pooled = 2 * (linear(256, d) + linear(d, d)), linear(y, d) + linear(d, d)
    num_vectors = 12 * config.num_double + 3 * config.num_single
    modulation = (
        linear(d, 12 * d) + num_vectors * d if config.modulation == "shared" else num_vectors * linear(d, d)
    )
    return config.num_double * double + config.num_single * single + ends + times + pooled + modulation


@pytest.mark.parametrize("name", NETWORKS)
def test_the_sizes_give_the_parameter_count(name: str) -> None:
    """Every network's count is that of its sizes: nothing is there twice, nothing is missing, no text encoder counts."""
    config = NETWORKS[name]

    assert num_parameters(on_meta(config).denoiser) == denoiser_parameters(config.denoiser)


@pytest.mark.parametrize(
    ("config", "head_size", "millions"),
    [
        (two_b(FROZEN), 128, 2247.7),
        (half_b(FROZEN), 64, 565.0),
    ],
    ids=["2b", "0.5b"],
)
def test_the_papers_networks_have_the_papers_sizes(
    config: ModelConfig, head_size: int, millions: float
) -> None:
    """8 double and 16 single blocks make 528 d^2 and a little; 2,247.7 M at d = 2048 and 565.0 M at d = 1024 (S.2).

    A double block has 36 d^2 + 30 d + 4 k, a single block 15 d^2 + 11 d + 2 k, modulation included; the rest is the
    embeddings of a 4096-wide text, a pooled vector of 768, two times, and the ends of 64.
    """
    d, k = config.denoiser.width, head_size
    blocks = 8 * (36 * d * d + 30 * d + 4 * k) + 16 * (15 * d * d + 11 * d + 2 * k)
    embeddings = (
        d * (4096 + 1) + d * (64 + 1) + (768 * d + d * d + 2 * d) + 2 * (256 * d + d * d + 2 * d)
    ) + ((2 * d * d + 2 * d) + (d + 1) * 64)
    found = num_parameters(on_meta(config))

    assert config.denoiser.width // config.denoiser.num_heads == k
    assert found == blocks + embeddings
    assert round(found / 1e6, 1) == millions
    assert 528 * d * d < found < 1.03 * 528 * d * d


@pytest.mark.parametrize("name", ["selfe-tiny", "flow-tiny"])
def test_the_bundled_checkpoints_are_the_preset_tiny(name: str) -> None:
    """Both bundled generators are the network tiny of their vocabulary, with as many parameters as they record."""
    stored = read_config(checkpoints_dir() / name)
    config = model_config(stored["network"])

    assert isinstance(config.text, TextConfig)
    assert config == tiny(config.text)
    assert num_parameters(on_meta(config)) == stored["training"]["parameters"] == 6_178_176


def test_the_smoke_networks_are_a_tenth_of_tiny() -> None:
    """What only shows that everything runs has at most 0.6 M parameters."""
    assert all(num_parameters(on_meta(NETWORKS[name])) < 600_000 for name in ("smoke", "smoke-frozen"))


def test_a_network_takes_its_texts_width() -> None:
    """The denoiser of tiny and smoke reads text as wide as the text encoder makes it."""
    for make in (tiny, smoke):
        assert make(OWN).denoiser.text_width == OWN.width


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("anchors", [SELFE_ANCHORS, FLUX_ANCHORS])
def test_a_checkpoints_config_brings_the_network_back(name: str, anchors: tuple[Anchor, Anchor]) -> None:
    """Through JSON and back every field is the same: sizes, mask, parametrisation and the anchors of mu."""
    config = replace(NETWORKS[name], anchors=anchors)

    assert model_config(json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("anchors", "grid", "mu"),
    [
        # S.12, and the line through it at 256 px: 0.5 - 0.65 * 256 / 3584
        (SELFE_ANCHORS, (16, 32), 0.5),
        (SELFE_ANCHORS, (64, 64), 1.15),
        (SELFE_ANCHORS, None, 0.4536),
        # FLUX: 0.5 at 256 tokens; 0.5 + 0.65 * 256 / 3840 at 512
        (FLUX_ANCHORS, None, 0.5),
        (FLUX_ANCHORS, (32, 16), 0.5433),
        (FLUX_ANCHORS, (64, 64), 1.15),
    ],
)
def test_mu_at_the_anchors(anchors: tuple[Anchor, Anchor], grid: tuple[int, int] | None, mu: float) -> None:
    """mu(L) goes through both anchors, whichever they are; a network's own grid at 256 px has 256 tokens."""
    config = replace(two_b(FROZEN), anchors=anchors)

    assert config.mu(grid) == pytest.approx(mu, abs=5e-5)


@pytest.mark.parametrize("kind", ["v", "x0"])
@pytest.mark.parametrize("name", ["smoke", "smoke-frozen"])
def test_both_parametrisations_train_any_network(name: str, kind: Parametrisation) -> None:
    """The output is G, or it is V and G = x_t - t V; gradients are finite with both."""
    torch.manual_seed(0)
    config = replace(NETWORKS[name], parametrisation=kind)
    model = ConditionalModel(config)
    rows, columns = config.denoiser.grid
    x0, eps = torch.randn(2, 3, rows * columns, 64)
    t = torch.tensor([0.2, 0.6, 1.0])
    x_t = (1 - t)[:, None, None] * x0 + t[:, None, None] * eps
    out = model(x_t, t, t, some_condition(config))
    clean = predicted_clean(out, x_t, t, kind)
    velocity_loss(out, target_x0=x0, x0=x0, eps=eps, t=t, kind=kind).mean().backward()

    assert torch.equal(clean, x_t - t[:, None, None] * out if kind == "v" else out)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_the_papers_networks_predict_v_and_mask_padding() -> None:
    """Between frozen encoders the output is the velocity and padding is left out; the small ones predict x0."""
    for name in BETWEEN_FROZEN_ENCODERS:
        assert NETWORKS[name].parametrisation == "v"
        assert NETWORKS[name].denoiser.mask_text
    for name in WITH_THEIR_OWN_TEXT:
        assert NETWORKS[name].parametrisation == "x0"
