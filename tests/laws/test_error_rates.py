"""Error rates of the statistics on whole runs drawn image by image, and the chances that `power` foretells.

The runs are GenEval's 553 prompts. An image is right where a sum of normals lies below its task's threshold: prompt
.55, seed .15, prompt x step .05 and residual .25 of the variance, the tasks as far apart as those of Self-E at 50 steps
(arXiv 2512.22374v1, Table 1). "Printed" figures come from a simulation of 600 runs made before this code was written;
it prints two digits, and neither its tasks nor its random numbers. Seeds are fixed, so no test fails by chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import pytest

from selfe_eval.stats.drawdown import MonotonicityVerdict, Outcome, drawdown_verdict
from selfe_eval.stats.estimate import macro_estimate
from selfe_eval.stats.latent_scores import Components, normal_quantile, task_rates
from selfe_eval.stats.paired import Difference, paired_difference
from selfe_eval.stats.panel import Panel, panel_from_means
from selfe_eval.stats.power import (
    Design,
    Model,
    assumed_model,
    detectable,
    precision,
    verdict_chances,
)

SIZES = (80, 99, 80, 94, 100, 100)
"""Prompts by task of GenEval."""

MODEL = assumed_model()

Curve = tuple[float, ...]
STEADY: Curve = (0.750, 0.7675, 0.785, 0.8025, 0.820)
SATURATING: Curve = (0.75, 0.79, 0.81, 0.818, 0.82)
PLATEAU: Curve = (0.75, 0.80, 0.82, 0.82, 0.82)
FOUR_STEPS: Curve = (0.753, 0.781, 0.785, 0.815)
FLAT: Curve = (0.8,) * 5
LATE_DROP: Curve = (0.75, 0.80, 0.82, 0.82, 0.80)
LARGE_LATE_DROP: Curve = (0.75, 0.80, 0.82, 0.82, 0.79)

NUM_PRINTED_RUNS = 600
"""Behind each printed chance."""


def binomial_error(chance: float, runs: int) -> float:
    """Standard error of a share of so many runs."""
    return math.sqrt(max(chance * (1 - chance), 1 / runs) / runs)


def drawn_runs(curve: Curve, *, images: int, runs: int, seed: int) -> Iterator[Panel]:
    """Whole runs, one number for each image: the sum that the module's docstring describes."""
    rng = np.random.default_rng(seed)
    prompts, steps, shares = sum(SIZES), len(curve), MODEL.components
    thresholds = np.repeat(normal_quantile(task_rates(curve, MODEL.difficulty)), SIZES, axis=0)[:, None, :]
    tasks = tuple(str(task) for task, size in enumerate(SIZES) for _ in range(size))
    parts = (
        (shares.prompt, (prompts, 1, 1)),
        (shares.seed, (prompts, images, 1)),
        (shares.prompt_step, (prompts, 1, steps)),
        (shares.residual, (prompts, images, steps)),
    )
    for _ in range(runs):
        latent = sum(
            math.sqrt(share) * rng.standard_normal(shape, dtype=np.float32) for share, shape in parts
        )
        yield panel_from_means((latent < thresholds).mean(axis=1), tasks, images)


@cache
def judged(curve: Curve, images: int, runs: int) -> tuple[MonotonicityVerdict, ...]:
    """The verdicts on drawn runs, delta 2 pp."""
    steps = (1, 2, 4, 8, 50)[-len(curve) :]
    drawn = drawn_runs(curve, images=images, runs=runs, seed=len(curve) * runs + images)
    return tuple(drawdown_verdict(panel, steps, delta=0.02) for panel in drawn)


def rate(verdicts: Sequence[MonotonicityVerdict], outcome: Outcome) -> float:
    """The share of an outcome."""
    return sum(verdict.outcome == outcome for verdict in verdicts) / len(verdicts)


def test_a_flat_curve_is_rarely_called_violated() -> None:
    """Of 500 flat runs at most 7 % are violated: the nominal 5 % and two Monte-Carlo errors of 1.0 pp."""
    assert rate(judged(FLAT, 4, 500), "violated") <= 0.07


def test_a_rising_curve_is_hardly_ever_called_violated() -> None:
    """Of 200 saturating runs at most 2 % are violated: expected 0.4 %, two Monte-Carlo errors of 0.4 pp, rounded up."""
    assert rate(judged(SATURATING, 4, 200), "violated") <= 0.02


@pytest.mark.parametrize("curve", [LATE_DROP, (0.60, 0.72, 0.80, 0.78, 0.80)])
def test_a_true_drop_of_delta_is_rarely_called_monotone(curve: Curve) -> None:
    """Where quality truly falls by delta, late or in the middle, at most 5 % of 300 runs are monotone.

    5 % is the bound of the intersection-union test; two Monte-Carlo errors at it would be 2.5 pp, and are not used.
    """
    assert rate(judged(curve, 4, 300), "monotone") <= 0.05


@cache
def differences(change: float) -> tuple[Difference, ...]:
    """Paired differences of 700 drawn runs, a true change up to a score of .80."""
    drawn = drawn_runs((0.8 - change, 0.8), images=4, runs=700, seed=41)
    return tuple(map(paired_difference, drawn))


@pytest.mark.parametrize("change", [0.0, 0.02])
def test_intervals_of_paired_differences_cover_the_truth(change: float) -> None:
    """95 % intervals hold the true difference in 93.3 to 96.7 % of 700 runs: two Monte-Carlo errors of 0.8 pp."""
    found = differences(change)
    covered = sum(made.ci is not None and made.ci[0] <= change <= made.ci[1] for made in found)

    assert covered / len(found) == pytest.approx(0.95, abs=0.017)


def test_intervals_of_scores_cover_the_truth() -> None:
    """95 % intervals of one score hold the true one in 93.3 to 96.7 % of 700 runs."""
    found = [macro_estimate(panel) for panel in drawn_runs((0.8,), images=4, runs=700, seed=43)]
    covered = sum(made.ci is not None and made.ci[0] <= 0.8 <= made.ci[1] for made in found)

    assert covered / len(found) == pytest.approx(0.95, abs=0.017)


def test_standard_errors_are_those_of_drawn_runs() -> None:
    """The closed form is within 6 % of the scatter of 700 runs (its error is 2.7 %) and 1 % of the mean stated error."""
    design = precision(MODEL, Design(sizes=SIZES, images_per_prompt=4), 0.8)
    found = differences(0.0)
    scatter = float(np.std([made.delta for made in found if made.delta is not None], ddof=1))
    stated = float(np.mean([made.se for made in found if made.se is not None]))

    assert design.paired == pytest.approx(scatter, rel=0.06)
    assert design.paired == pytest.approx(stated, rel=0.01)


@pytest.mark.parametrize(
    ("curve", "images", "runs"),
    [(FLAT, 4, 500), (SATURATING, 4, 200), (LATE_DROP, 4, 300), (SATURATING, 16, 100)],
)
def test_foretold_chances_are_those_of_whole_runs(curve: Curve, images: int, runs: int) -> None:
    """`power` draws curves with a known covariance; runs drawn image by image agree within three Monte-Carlo errors."""
    design = Design(sizes=SIZES, images_per_prompt=images)
    foretold = verdict_chances(MODEL, design, curve, [0.02])[0.02]

    for outcome, chance in foretold.items():
        margin = 3 * binomial_error(chance, runs)
        assert rate(judged(curve, images, runs), outcome) == pytest.approx(chance, abs=margin)


PRINTED = {
    (SATURATING, 4, 0.01): (0.18, 0.00),
    (SATURATING, 4, 0.02): (0.75, 0.00),
    (SATURATING, 8, 0.02): (0.92, 0.00),
    (SATURATING, 16, 0.01): (0.61, 0.00),
    (SATURATING, 16, 0.02): (0.98, 0.00),
    (PLATEAU, 4, 0.01): (0.03, 0.02),
    (PLATEAU, 4, 0.02): (0.52, 0.02),
    (PLATEAU, 8, 0.02): (0.72, 0.02),
    (PLATEAU, 16, 0.01): (0.21, 0.01),
    (PLATEAU, 16, 0.02): (0.93, 0.01),
    (FOUR_STEPS, 4, 0.01): (0.41, 0.00),
    (FOUR_STEPS, 4, 0.02): (0.83, 0.00),
    (FOUR_STEPS, 8, 0.02): (0.95, 0.01),
    (FOUR_STEPS, 16, 0.01): (0.77, 0.00),
    (FOUR_STEPS, 16, 0.02): (0.99, 0.00),
    (FLAT, 4, 0.01): (0.00, 0.04),
    (FLAT, 4, 0.02): (0.03, 0.04),
    (FLAT, 8, 0.02): (0.04, 0.07),
    (FLAT, 16, 0.01): (0.01, 0.05),
    (FLAT, 16, 0.02): (0.04, 0.05),
    (LATE_DROP, 4, 0.01): (0.00, 0.54),
    (LATE_DROP, 4, 0.02): (0.02, 0.54),
    (LATE_DROP, 8, 0.02): (0.02, 0.79),
    (LATE_DROP, 16, 0.01): (0.00, 0.91),
    (LATE_DROP, 16, 0.02): (0.01, 0.91),
    (LARGE_LATE_DROP, 4, 0.01): (0.00, 0.88),
    (LARGE_LATE_DROP, 4, 0.02): (0.00, 0.88),
    (LARGE_LATE_DROP, 8, 0.02): (0.00, 0.98),
    (LARGE_LATE_DROP, 16, 0.01): (0.00, 1.00),
    (LARGE_LATE_DROP, 16, 0.02): (0.00, 1.00),
}
"""(true curve, images a prompt, delta) -> chances of monotone and violated, as printed."""


def foretold_beside_printed() -> Iterator[tuple[float, float, float]]:
    """(chance foretold, printed, its Monte-Carlo error) of every printed chance."""
    for (curve, images, delta), printed in PRINTED.items():
        found = verdict_chances(MODEL, Design(sizes=SIZES, images_per_prompt=images), curve, [delta])[delta]
        for outcome, share in zip(("monotone", "violated"), printed, strict=True):
            yield found[outcome], share, binomial_error(found[outcome], NUM_PRINTED_RUNS)  # type: ignore[index]


def test_the_printed_power_figures_are_reproduced() -> None:
    """All 60 printed chances are within rounding and three Monte-Carlo errors of ours, and 95 % of them within two."""
    cells = list(foretold_beside_printed())
    beyond = [abs(ours - printed) - 0.005 - 2 * error for ours, printed, error in cells]

    assert len(cells) == 60
    assert all(abs(ours - printed) <= 0.005 + 3 * error for ours, printed, error in cells)
    assert sum(excess > 0 for excess in beyond) <= 3


def test_the_printed_steady_rise_is_reproduced_but_for_its_inner_points() -> None:
    """Of the steady rise only the ends .750 and .820 are printed; in equal steps it is found a little more often.

    Printed: .59 at 1 pp and .94 at 2 pp with 4 images, .96 at 1 pp with 16; ours .65, .96 and .99 (2.7, 2.5 and 7
    Monte-Carlo errors apart). With unequal steps, .75 .765 .78 .80 .82, the three are .61, .95 and .98, so the printed curve
    had a shorter smallest step than equal ones.
    """
    four, sixteen = (Design(sizes=SIZES, images_per_prompt=images) for images in (4, 16))
    equal = [verdict_chances(MODEL, design, STEADY, [0.01, 0.02]) for design in (four, sixteen)]
    unequal = verdict_chances(MODEL, four, (0.75, 0.765, 0.78, 0.80, 0.82), [0.01, 0.02])

    assert equal[0][0.01]["monotone"] == pytest.approx(0.65, abs=0.02)
    assert equal[0][0.02]["monotone"] == pytest.approx(0.96, abs=0.01)
    assert equal[1][0.01]["monotone"] == pytest.approx(0.99, abs=0.01)
    assert equal[1][0.02]["monotone"] == pytest.approx(1.00, abs=0.005)
    assert unequal[0.01]["monotone"] == pytest.approx(0.59, abs=0.03)
    assert unequal[0.02]["monotone"] == pytest.approx(0.94, abs=0.02)


def test_weaker_seeds_lower_the_chances_as_printed() -> None:
    """Less favourable variances are printed without their shares; prompt .35, no seed, prompt x step .08 come near.

    Printed at 2 pp: saturating .47 with 4 images and .91 with 16, plateau .27 and .74; ours .49, .93, .26 and .77. (The steady
    rise, .74 and .98, is .83 and 1.00 in equal steps: see above.) That the shares fit is no proof that they are the same.
    """
    weak = Model(components=Components(prompt=0.35, seed=0.0, prompt_step=0.08), difficulty=MODEL.difficulty)
    printed = {(SATURATING, 4): 0.47, (SATURATING, 16): 0.91, (PLATEAU, 4): 0.27, (PLATEAU, 16): 0.74}

    for (curve, images), share in printed.items():
        design = Design(sizes=SIZES, images_per_prompt=images)
        found = verdict_chances(weak, design, curve, [0.02])[0.02]["monotone"]
        assert found == pytest.approx(share, abs=0.04)


def test_the_printed_precision_is_reproduced() -> None:
    """Paired errors and detectable differences are the printed ones; those of one score are 0.02 to 0.1 pp larger.

    Printed for 553 x 4, in pp, without saying at which score: paired 0.89 to 1.07 (fixed prompts 0.78 to 0.92),
    detectable 2.2 to 2.7 one-sided and 2.5 to 3.0 two-sided, about 1.5 to 2.0 with 16 images; one score 1.05 to 1.15,
    unpaired 1.5 to 1.6. At a score of .80 ours is 1.17 and unpaired 1.65; at .82 they are 1.12 and 1.59, at .75 1.25 and 1.77.
    """
    found = precision(MODEL, Design(sizes=SIZES, images_per_prompt=4), 0.80)
    higher = precision(MODEL, Design(sizes=SIZES, images_per_prompt=4), 0.82)
    many = precision(MODEL, Design(sizes=SIZES, images_per_prompt=16), 0.80)

    assert 0.0089 <= found.paired <= 0.0107
    assert 0.0078 <= found.paired_fixed <= 0.0092
    assert 0.022 <= detectable(found.paired, two_sided=False) <= 0.027
    assert 0.025 <= detectable(found.paired, two_sided=True) <= 0.030
    assert 0.0145 <= detectable(many.paired, two_sided=False) <= 0.0205
    assert 0.0145 <= detectable(many.paired, two_sided=True) <= 0.0205
    assert found.single == pytest.approx(0.0117, abs=0.0001)
    assert found.unpaired == pytest.approx(0.0165, abs=0.0001)
    assert 0.0105 <= higher.single <= 0.0115
    assert 0.015 <= higher.unpaired <= 0.016
    assert 0.0114 <= precision(MODEL, Design(sizes=SIZES, images_per_prompt=4), 0.75).single <= 0.0143


def test_one_image_in_seven_flips() -> None:
    """With the same noise 15 % of images change from right to wrong or back between two equal step counts (printed: 15 %)."""
    panels = drawn_runs((0.8, 0.8), images=1, runs=20, seed=5)
    shares = [
        np.mean([float(np.mean(one.sums[:, 0] != one.sums[:, 1])) for one in map(panel.task, panel.strata)])
        for panel in panels
    ]

    assert np.mean(shares) == pytest.approx(0.15, abs=0.01)
