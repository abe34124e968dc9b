"""How far a network's evaluation of its own sample agrees with that of a converged teacher.

Self-E takes the place of a teacher's score by the network's own (Eq. 10-15). Whether that is justified can be measured:
at the SAME noisy sample xhat_s, made from the student's own prediction, both give a direction

    Delta = G(xhat_s, s, s, phi) - G(xhat_s, s, s, c)                                            (Eq. 14)

and the two are compared over all elements of a sample. Nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from selfe.condition import Condition
from selfe.path import noised

Clean = Callable[[Tensor, Tensor, Tensor, Condition], Tensor]
"""G: (x_t (B, L, D), t (B,), s (B,), c) -> predicted clean latents, float32 (B, L, D)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """A network and how it reads the B prompts of a batch; two evaluators may have vocabularies of their own."""

    clean: Clean
    """Its clean prediction G."""
    c: Condition
    """The prompts, B rows."""
    phi: Condition
    """The null prompt, one row."""

    def direction(self, xhat_s: Tensor, s: Tensor) -> Tensor:
        """Delta = G(xhat_s, s, s, phi) - G(xhat_s, s, s, c) (Eq. 14), (B, L, D)."""
        unconditional = self.clean(xhat_s, s, s, self.phi.repeated(len(xhat_s)))
        return unconditional - self.clean(xhat_s, s, s, self.c)


class Directions(NamedTuple):
    """What both say of the student's samples, each (B, L, D)."""

    xhat0: Tensor
    """The student's prediction G(x_t, t, s, c)."""
    student: Tensor
    """Delta of the student."""
    teacher: Tensor
    """Delta of the teacher, at the same xhat_s."""


class Noises(NamedTuple):
    """The two independent noises of a probe, each (B, L, D)."""

    eps: Tensor
    """Of x_t."""
    fresh: Tensor
    """Of xhat_s."""


@torch.no_grad()
def probe_directions(
    student: Evaluator, teacher: Evaluator, x0: Tensor, t: Tensor, s: Tensor, noises: Noises
) -> Directions:
    """Both directions at xhat_s = (1 - s) xhat0 + s eps', where xhat0 = G_student(x_t, t, s, c).

    Args:
        student: Makes the samples, and evaluates them.
        teacher: Evaluates the same samples.
        x0: Clean latents (B, L, D).
        t: (B,), with s <= t <= 1.
        s: (B,), above 0: at s = 0 nothing is left to evaluate.
        noises: Of x_t and of xhat_s.
    """
    xhat0 = student.clean(noised(x0, noises.eps, t), t, s, student.c)
    xhat_s = noised(xhat0, noises.fresh, s)
    return Directions(xhat0, student.direction(xhat_s, s), teacher.direction(xhat_s, s))


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """<a, b> / (||a|| ||b||) over all elements of a sample, (B,) in [-1, 1]; NaN where one of them is zero."""
    a, b = a.double().flatten(1), b.double().flatten(1)
    lengths: Tensor = a.norm(dim=1) * b.norm(dim=1)
    return ((a * b).sum(dim=1) / lengths).clamp(-1.0, 1.0)


def norm_ratio(a: Tensor, b: Tensor) -> Tensor:
    """||a|| / ||b|| over all elements of a sample, (B,); NaN where both are zero, infinite where b alone is."""
    ratio: Tensor = a.double().flatten(1).norm(dim=1) / b.double().flatten(1).norm(dim=1)
    return ratio


def energy_share(a: Tensor, b: Tensor) -> Tensor:
    """||projection of a on b||^2 / ||a||^2, (B,) in [0, 1]; NaN where one of them is zero.

    Of one sample this is the square of the cosine, blind to its sign; over samples its mean is not the mean's square.
    """
    a, b = a.double().flatten(1), b.double().flatten(1)
    along = (a * b).sum(dim=1).square() / b.square().sum(dim=1)
    return (along / a.square().sum(dim=1)).clamp(0.0, 1.0)
