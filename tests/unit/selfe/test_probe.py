from __future__ import annotations

import pytest
import torch
from torch import Tensor

from selfe.condition import Condition
from selfe.path import expand
from selfe.probe import (
    Clean,
    Evaluator,
    Noises,
    cosine,
    energy_share,
    norm_ratio,
    probe_directions,
)

ROWS, SHAPE = 5, (4, 3)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*(shape or (ROWS, *SHAPE)), generator=torch.Generator().manual_seed(seed))


def prompt(number: int, rows: int = 1) -> Condition:
    tokens = torch.full((rows, 1), number)
    return Condition(tokens, torch.ones_like(tokens, dtype=torch.bool))


def gaussian(means: Tensor, variance: float) -> Clean:
    """G of x0 ~ N(means[prompt], variance): E[x0 | x_t] = m + k (x_t - (1 - t) m), k = (1 - t) v / ((1 - t)^2 v + t^2)."""

    def clean(x_t: Tensor, t: Tensor, s: Tensor, c: Condition) -> Tensor:
        del s
        mean, time = means[c.tokens[:, 0]], expand(t, x_t)
        gain = (1 - time) * variance / ((1 - time).square() * variance + time.square())
        return mean + gain * (x_t - (1 - time) * mean)

    return clean


def evaluator(means: Tensor, variance: float = 0.7) -> Evaluator:
    return Evaluator(clean=gaussian(means, variance), c=prompt(1, ROWS), phi=prompt(0))


def probed(student: Evaluator, teacher: Evaluator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """xhat0, both directions and s for the same random data."""
    s = torch.tensor([0.1, 0.3, 0.5, 0.8, 1.0])
    t = torch.tensor([0.4, 0.3, 0.9, 1.0, 1.0])
    found = probe_directions(student, teacher, normal(1), t, s, Noises(normal(2), normal(3)))
    return found.xhat0, found.student, found.teacher, s


def test_the_direction_of_a_gaussian_is_known() -> None:
    """For x0 ~ N(m_c, v), v the same with and without prompt, Delta = (m_phi - m_c) s^2 / ((1 - s)^2 v + s^2)."""
    means, variance = normal(4, 2, *SHAPE), 0.7
    _, student, _, s = probed(evaluator(means, variance), evaluator(means, variance))

    share = (s.square() / ((1 - s).square() * variance + s.square())).view(-1, 1, 1)
    assert torch.allclose(student, share * (means[0] - means[1]), atol=1e-5)


def test_a_student_that_is_its_teacher_agrees_wholly() -> None:
    """The same network gives cosine 1, ratio of norms 1 and share of energy 1."""
    means = normal(5, 2, *SHAPE)
    _, student, teacher, _ = probed(evaluator(means), evaluator(means))

    for measured in (cosine(student, teacher), norm_ratio(student, teacher), energy_share(student, teacher)):
        assert torch.allclose(measured, torch.ones(ROWS, dtype=torch.float64), atol=1e-6)


def test_a_teacher_with_half_the_prompts_effect_has_half_the_norm() -> None:
    """Means half as far apart: the directions are parallel, and the student's is twice as long."""
    means = normal(6, 2, *SHAPE)
    closer = torch.stack([means[0], (means[0] + means[1]) / 2])
    _, student, teacher, _ = probed(evaluator(means), evaluator(closer))

    assert torch.allclose(cosine(student, teacher), torch.ones(ROWS, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(
        norm_ratio(student, teacher), torch.full((ROWS,), 2.0, dtype=torch.float64), rtol=1e-5
    )


def test_both_evaluate_the_students_noised_prediction() -> None:
    """A teacher with G(x, c) = x and G(x, phi) = 0 answers with -xhat_s: (1 - s) xhat0 + s eps', of the student's xhat0."""

    def echo(x_t: Tensor, t: Tensor, s: Tensor, c: Condition) -> Tensor:
        assert torch.equal(t, s)
        return x_t * c.tokens[:, 0].view(-1, 1, 1)

    teacher = Evaluator(clean=echo, c=prompt(1, ROWS), phi=prompt(0))
    xhat0, _, answer, s = probed(evaluator(normal(8, 2, *SHAPE)), teacher)
    s = s.view(-1, 1, 1)

    assert torch.allclose(-answer, (1 - s) * xhat0 + s * normal(3))


def test_the_teacher_sees_the_students_sample() -> None:
    """The sample that both evaluate is the student's, so a teacher that knows nothing of the prompt changes nothing in it."""
    means = normal(7, 2, *SHAPE)
    blind = torch.stack([means[0], means[0]])
    xhat0, student, teacher, _ = probed(evaluator(means), evaluator(blind))
    own_xhat0, own_student, *_ = probed(evaluator(means), evaluator(means))

    assert torch.equal(xhat0, own_xhat0)
    assert torch.equal(student, own_student)
    assert (teacher == 0).all()


@pytest.mark.parametrize("length", [0.01, 1.0, 300.0])
def test_orthogonal_directions_share_nothing(length: float) -> None:
    """For orthogonal directions of any length the cosine and the share of energy are 0, the ratio is that of the lengths."""
    a, b = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    a[0, 0, 0], b[0, 1, 1] = length, 1.0

    assert (cosine(a, b).item(), energy_share(a, b).item()) == (0.0, 0.0)
    assert norm_ratio(a, b).item() == pytest.approx(length)


def test_the_share_of_energy_is_that_of_the_projection() -> None:
    """At 60 degrees a quarter of the energy lies along the teacher's direction, with either sign."""
    b = torch.tensor([[[1.0, 0.0]]])
    a = torch.tensor([[[0.5, 3**0.5 / 2]]])

    assert energy_share(7 * a, b).item() == pytest.approx(0.25)
    assert energy_share(-a, 3 * b).item() == pytest.approx(0.25)
    assert cosine(-a, b).item() == pytest.approx(-0.5)


def test_a_direction_of_length_zero_has_no_angle() -> None:
    """Where one direction is zero there is no angle to speak of: NaN, never a number."""
    zero, one = torch.zeros(1, 2, 2), torch.ones(1, 2, 2)

    assert cosine(zero, one).isnan().all()
    assert energy_share(zero, one).isnan().all()
    assert norm_ratio(zero, one).item() == 0.0
