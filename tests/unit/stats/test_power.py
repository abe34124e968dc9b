from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from selfe_eval.stats.components import calibrated
from selfe_eval.stats.latent_scores import (
    Components,
    crossing_covariance,
    curve_covariance,
    normal_cdf,
    normal_quantile,
    scatter_of,
    task_rates,
)
from selfe_eval.stats.power import (
    ASSUMED,
    Design,
    Model,
    assumed_model,
    chances_at,
    detectable,
    drawn_chances,
    needed,
    precision,
)

INDEPENDENT = Model(
    components=Components(prompt=0.0, seed=0.0, prompt_step=0.0), difficulty=np.array([0.0, 0.0])
)
"""Every image is a coin of its own."""


def test_at_the_median_crossings_follow_the_arc_sine() -> None:
    """Cov(X < 0, Y < 0) is asin(r) / 2 pi (Sheppard 1899), at r = 1 the variance of a coin."""
    zero = np.zeros(1)

    for correlation in (-0.9, 0.0, 0.3, 0.99, 1.0):
        found = crossing_covariance(zero, zero, correlation)[0]
        assert found == pytest.approx(math.asin(correlation) / (2 * math.pi), abs=1e-9)


def test_crossings_agree_with_a_simulation() -> None:
    """At thresholds -0.5 and 1.2 and r = 0.6 the covariance is that of two million draws (its error is 0.0002)."""
    rng = np.random.default_rng(1)
    x, noise = rng.standard_normal((2, 2_000_000))
    y = 0.6 * x + 0.8 * noise
    drawn = np.mean((x < -0.5) & (y < 1.2)) - np.mean(x < -0.5) * np.mean(y < 1.2)

    assert crossing_covariance(np.array([-0.5]), np.array([1.2]), 0.6)[0] == pytest.approx(drawn, abs=6e-4)


def test_quantiles_invert_probabilities_and_stay_finite() -> None:
    """Phi of the quantile is the rate, and the rates 0 and 1 give -9 and 9."""
    rates = np.array([[0.01, 0.5], [0.8, 0.999]])

    assert normal_cdf(normal_quantile(rates)) == pytest.approx(rates, abs=1e-12)
    assert normal_quantile(np.array([0.0, 1.0])).tolist() == [-9.0, 9.0]


def test_tasks_without_difficulty_all_have_the_curve() -> None:
    """Equal tasks score alike; apart ones keep their distance on the latent scale."""
    assert task_rates([0.3, 0.8], np.zeros(3)) == pytest.approx(np.array([[0.3, 0.8]] * 3), abs=1e-12)
    apart = normal_quantile(task_rates([0.3, 0.8], np.array([0.0, 1.5])))
    assert apart[1] - apart[0] == pytest.approx([1.5, 1.5], abs=1e-9)


def test_independent_images_have_binomial_errors() -> None:
    """Without components the error is that of coins, pairing gains nothing and more prompts are more images."""
    found = precision(INDEPENDENT, Design(sizes=(50, 50), images_per_prompt=4), 0.8)
    binomial = math.sqrt(0.16 / 400)

    assert found.single == pytest.approx(binomial)
    for pair in (found.paired, found.paired_fixed, found.new_noise, found.unpaired):
        assert pair == pytest.approx(math.sqrt(2) * binomial)


def test_one_seed_that_decides_everything_cancels() -> None:
    """Where prompt and seed are all there is, the same noise gives the same scores at every step count."""
    model = Model(components=Components(prompt=0.4, seed=0.6, prompt_step=0.0), difficulty=np.zeros(2))
    found = precision(model, Design(sizes=(50, 50), images_per_prompt=4), 0.8)

    assert found.paired < 0.01 * found.new_noise


def test_macro_average_weighs_tasks_alike() -> None:
    """The covariance of the average is the sum over tasks of theirs over n_t, over T squared."""
    rates = np.array([[0.5], [0.9]])
    scatter = scatter_of(rates, Components(prompt=0.0, seed=0.0, prompt_step=0.0))
    expected = (0.25 / 40 + 0.09 / 160) / 4

    assert curve_covariance(scatter, (20, 80), 2)[0, 0] == pytest.approx(expected)


def test_detectable_differences_follow_the_textbook() -> None:
    """(z of alpha + z of power) standard errors: 2.486 one-sided and 2.802 two-sided."""
    normal = NormalDist()

    assert detectable(1.0, two_sided=False) == pytest.approx(normal.inv_cdf(0.95) + normal.inv_cdf(0.8))
    assert detectable(1.0, two_sided=True) == pytest.approx(2.8016, abs=1e-4)


def test_a_floor_of_prompts_is_reached() -> None:
    """Where prompts alone scatter too much no number of images is enough, and the prompts needed are said."""
    need = needed(assumed_model(), Design(sizes=(80, 99, 80, 94, 100, 100), images_per_prompt=4), 0.8, 0.01)

    assert need.images_per_prompt is None
    assert need.prompts == 3594


def test_shares_of_a_variance_are_refused_where_they_are_none() -> None:
    """Negative shares, and shares of more than everything, are no components."""
    with pytest.raises(ValueError, match="at least 0"):
        Components(prompt=-0.1, seed=0.2, prompt_step=0.0)
    with pytest.raises(ValueError, match="at most 1"):
        Components(prompt=0.6, seed=0.5, prompt_step=0.0)
    assert pytest.approx(0.25) == ASSUMED.residual


def test_too_few_prompts_give_no_verdict() -> None:
    """A task of 29 prompts makes every outcome inconclusive, as in the verdict itself; 30 do not."""
    rates = np.array([[0.2, 0.9], [0.2, 0.9]])
    small, enough = (
        chances_at(rates, ASSUMED, Design(sizes=(size, 60), images_per_prompt=4), [0.02])[0.02]
        for size in (29, 30)
    )

    assert small["inconclusive"] == 1.0
    assert enough["monotone"] == 1.0


def test_two_step_counts_follow_the_closed_form() -> None:
    """For two step counts violated has the chance of one normal test: at a fall of 2 errors, Phi(2 - 1.645) = .639."""
    covariance = np.diag([0.0001, 0.0])
    fallen = drawn_chances(np.array([0.82, 0.80]), covariance, [0.03], floor=1e-9)[0.03]

    assert fallen["violated"] == pytest.approx(NormalDist().cdf(2 - 1.6449), abs=0.012)
    assert fallen["monotone"] < 0.001


def test_the_floor_keeps_the_certain_from_being_certain() -> None:
    """Without any variance a fall of 1.5 half images is not called violated, and one of 1.8 is: q is 1.645."""
    nothing, half_an_image = np.zeros((2, 2)), 0.001
    small, large = (
        drawn_chances(np.array([0.8, 0.8 - fall]), nothing, [0.0025], floor=half_an_image)[0.0025]
        for fall in (0.0015, 0.0018)
    )

    assert small["inconclusive"] == 1.0
    assert large["violated"] == 1.0


def test_the_same_question_has_the_same_answer() -> None:
    """Draws are seeded, and a covariance that differs by rounding, with equal eigenvalues, changes nothing visible."""
    curve, covariance = np.full(5, 0.8), np.eye(5) * 1e-4
    first = drawn_chances(curve, covariance, [0.02], floor=1e-6)[0.02]
    second = drawn_chances(curve, covariance * (1 + 1e-12), [0.02], floor=1e-6)[0.02]

    assert first["violated"] == pytest.approx(second["violated"], abs=1e-4)


def images(components: tuple[float, float, float, float], prompts: int = 60) -> list[np.ndarray]:
    """Two tasks x prompts x 3 images x 2 step counts at thresholds 0 and 0.5, by shares of variance."""
    rng = np.random.default_rng(9)
    shapes = ((prompts, 1, 1), (prompts, 3, 1), (prompts, 1, 2), (prompts, 3, 2))

    def latent() -> np.ndarray:
        parts = [math.sqrt(c) * rng.standard_normal(s) for c, s in zip(components, shapes, strict=True)]
        return parts[0] + parts[1] + parts[2] + parts[3]

    return [(latent() < threshold).astype(np.float64) for threshold in (0.0, 0.5)]


def test_what_comes_out_negative_is_clipped_and_named() -> None:
    """Noise that turns against itself from one step count to the next has a negative seed share."""
    scores = [task.copy() for task in images((0.0, 0.0, 0.0, 1.0))]
    for task in scores:
        task[:, :, 1] = 1 - task[:, :, 0]
    found = calibrated(scores)

    assert found.components.seed == 0.0
    assert "seed" in found.clipped
    assert "residual" not in found.clipped


def test_more_than_everything_is_shrunk_to_it() -> None:
    """Where noise and step each decide an image, chance makes their shares exceed the whole: then none is left over."""
    found = calibrated(images((0.3, 0.4, 0.3, 0.0)))

    assert "residual" in found.clipped
    assert found.components.residual == pytest.approx(0.0, abs=1e-9)


def test_a_task_at_the_ceiling_says_nothing() -> None:
    """A task in which every image is right changes no component."""
    scores = images((0.5, 0.2, 0.1, 0.2))
    with_ceiling = calibrated([*scores, np.ones((60, 3, 2))]).components
    alone = calibrated(scores).components

    for name in ("prompt", "seed", "prompt_step"):
        assert getattr(with_ceiling, name) == pytest.approx(getattr(alone, name), abs=1e-9)


@pytest.mark.parametrize("shape", [(2, 3, 2), (60, 1, 2), (60, 3, 1)])
def test_too_little_to_tell_components_apart_is_refused(shape: tuple[int, int, int]) -> None:
    """Two prompts, one image a prompt, or one step count."""
    with pytest.raises(ValueError, match="two images and two step counts"):
        calibrated([np.ones(shape)])
