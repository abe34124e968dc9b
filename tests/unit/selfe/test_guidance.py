from __future__ import annotations

import pytest
import torch
from torch import Tensor

from selfe.guidance import GuidanceNorm, guide, robust_norm
from selfe.path import sample_norm
from selfe.sampler import guided


def two_predictions(num_rows: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    conditional = torch.randn(num_rows, 4, 8, generator=generator)
    return conditional, torch.randn(num_rows, 4, 8, generator=generator)


@pytest.mark.parametrize("norm", ["sample", "robust", "none"])
def test_omega_one_is_the_conditional_prediction(norm: GuidanceNorm) -> None:
    """Omega = 1 gives y_c, whatever is kept."""
    conditional, unconditional = two_predictions()

    assert torch.allclose(guide(conditional, unconditional, 1.0, norm), conditional, atol=1e-6)


@pytest.mark.parametrize(("norm", "measure"), [("sample", sample_norm), ("robust", robust_norm)])
@pytest.mark.parametrize("omega", [1.5, 5.0, 50.0])
def test_the_energy_of_each_sample_is_kept(norm: GuidanceNorm, measure: object, omega: float) -> None:
    """For any omega each sample keeps the norm of its own conditional prediction, measured as asked."""
    assert callable(measure)
    conditional, unconditional = two_predictions()
    y = guide(conditional, unconditional, omega, norm)

    assert torch.allclose(measure(y), measure(conditional), rtol=1e-5)


@pytest.mark.parametrize("norm", ["sample", "robust"])
def test_energy_changes_the_length_of_guidance_and_not_its_direction(norm: GuidanceNorm) -> None:
    """Energy preservation is one positive number for each sample over plain y_c + (omega - 1)(y_c - y_u)."""
    conditional, unconditional = two_predictions()
    plain = guide(conditional, unconditional, 3.0, "none")
    factor = guide(conditional, unconditional, 3.0, norm) / plain

    assert torch.allclose(plain, 3.0 * conditional - 2.0 * unconditional, atol=1e-5)
    assert torch.all(factor > 0)
    assert torch.allclose(factor, factor[:, :1, :1].expand_as(factor), rtol=1e-4)


def test_the_robust_norm_counts_the_entries_between_two_percentiles() -> None:
    """It is the sum over x^2 with P45 <= x^2 <= P55 of each sample, by the percentiles' definition."""
    x, _ = two_predictions(5)
    squares = x.square().flatten(1)
    low, high = torch.quantile(squares, torch.tensor([0.45, 0.55]), dim=1)[..., None]
    expected = (squares * ((squares >= low) & (squares <= high))).sum(dim=1).sqrt()

    assert torch.allclose(robust_norm(x).flatten(), expected, rtol=1e-6)


def test_outliers_move_the_sample_norm_and_not_the_robust_one() -> None:
    """A few enormous entries shrink the picture under the sample's norm; the middle of the entries does not see them."""
    conditional = torch.linspace(-1.0, 1.0, 256).reshape(1, 16, 16)
    unconditional = conditional.clone()
    unconditional[0, 0, 0] -= 1000.0
    away = (slice(None), slice(1, None))

    assert torch.allclose(
        guide(conditional, unconditional, 5.0, "robust")[away], conditional[away], rtol=0.03
    )
    assert guide(conditional, unconditional, 5.0)[away].abs().max() < 0.01


def test_a_guided_clean_function_hands_its_inputs_on() -> None:
    """``guided`` asks both predictions of the same (x, t, s) and combines them with the norm that was chosen."""
    seen = []

    def both(x: Tensor, t: float, s: float) -> tuple[Tensor, Tensor]:
        seen.append((t, s))
        return x, 0.5 * x

    x, _ = two_predictions()
    assert torch.allclose(guided(both, 3.0, "none")(x, 0.8, 0.2), 2.0 * x)
    assert torch.allclose(guided(both, 3.0)(x, 0.8, 0.2), x, atol=1e-6)
    assert seen == [(0.8, 0.2)] * 2
