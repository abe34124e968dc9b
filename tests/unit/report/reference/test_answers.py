"""What the report computes: aims, the paper's order, the registered outcomes and the chosen time grids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from selfe_eval.report.published_ablations import PublishedAblation
from selfe_eval.report.reference import sampling
from selfe_eval.report.reference.headline import aims
from selfe_eval.report.reference.paper_order import agreement_sentence, orders, pairs, pairs_table
from selfe_eval.report.reference.questions import EVERYWHERE, Answer, answers, outcome_of
from selfe_eval.report.reference.results import ReferenceRun, Results, variant_scores
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.runs.run import RunRecord
from selfe_eval.runs.spec import RunSpec
from tests.unit.report.reference import made_documents as made

MakeRun = Callable[..., ScoredRun]


def results_of(
    documents: Mapping[str, Mapping[str, Any]] | None = None, runs: Mapping[str, ReferenceRun] | None = None
) -> Results:
    return Results(
        runs=runs or {}, documents=documents or {}, made={}, calibration=None, bundled={}, figures=()
    )


def run_of(scored: ScoredRun) -> ReferenceRun:
    spec = RunSpec(
        suite="openmoji",
        suite_sha256="5" * 64,
        source="checkpoint",
        model=scored.summary.model,
        checkpoint_sha256={},
        steps=tuple(row.steps for row in scored.summary.rows),
        images_per_prompt=4,
        detector="openmoji",
        batch_size=64,
    )
    return ReferenceRun(
        record=RunRecord(spec=spec, prompt_ids=(), partial=False), summary=scored.summary, measures=None
    )


def with_shares(scored: ScoredRun, shares: Mapping[int, float]) -> ReferenceRun:
    """The run with exactly these scores."""
    rows = tuple(
        replace(row, overall=replace(row.overall, value=shares[row.steps])) for row in scored.summary.rows
    )
    return run_of(replace(scored, summary=replace(scored.summary, rows=rows)))


@pytest.mark.parametrize(
    ("few", "many", "flow", "met"),
    [
        (0.76, 0.80, 0.38, (True, True, True, True)),  # 0.76 / 0.80 = 0.95; 0.38 / 0.76 = 0.5
        (0.76, 0.79, 0.39, (False, True, True, False)),
        (0.72, 0.80, 0.10, (True, False, True, True)),  # 0.72 / 0.80 = 0.90
    ],
)
def test_aims_are_met_by_the_numbers_asked_for(
    make_run: MakeRun, few: float, many: float, flow: float, met: tuple[bool, ...]
) -> None:
    """0.80 at 50 steps, 0.92 of that at 2, MONOTONE, and half of it for flow matching: each on its own, limits included."""
    self_e = make_run({2: 0.3, 50: 0.9})
    runs = {
        "selfe-tiny": with_shares(self_e, {2: few, 50: many}),
        "flow-tiny": with_shares(self_e, {2: flow, 50: 0.7}),
    }

    assert tuple(aim.is_met for aim in aims(results_of(runs=runs))) == met


def test_a_verdict_that_is_not_monotone_meets_no_aim(make_run: MakeRun) -> None:
    """A curve that falls is not what was aimed at, whatever its ends are."""
    runs = {"selfe-tiny": run_of(make_run({2: 0.9, 50: 0.3}))}

    verdict = aims(results_of(runs=runs))[2]

    assert (verdict.here, verdict.is_met) == ("VIOLATED", False)


def test_aims_without_runs_are_neither_met_nor_missed() -> None:
    """Where nothing was measured no aim has an outcome; the paper's own ratios stand there all the same."""
    found = aims(results_of())

    assert [aim.is_met for aim in found] == [None] * 4
    assert [aim.here for aim in found] == ["-"] * 4
    assert [aim.paper for aim in found] == [
        "81.5",
        "0.92",
        "-",
        "0.41",
    ]  # Tables 1 and 2 of arXiv 2512.22374v1


FALLING_NOISE = {1: 0.30, 2: 0.50, 4: 0.60, 8: 0.65, 50: 0.70}


def shifted(shifts: Mapping[int, float]) -> dict[int, float]:
    return {steps: value + shifts.get(steps, 0.0) for steps, value in FALLING_NOISE.items()}


@pytest.mark.parametrize(
    ("shifts", "outcome", "becomes"),
    [
        (dict.fromkeys(EVERYWHERE, 0.05), "helps", "the default"),
        (
            {1: 0.05, 2: -0.005, 4: 0.05, 8: 0.05, 50: 0.05},
            "helps",
            "an option, off: not above zero everywhere",
        ),
        ({1: 0.05, 2: -0.05}, "not shown", "an option, off"),
        ({1: -0.05, 2: 0.01}, "harms", "an option, off"),
        ({1: 0.02, 2: 0.015, 4: 0.2}, "not shown", "an option, off"),  # p 3 x 0.046 at 1 step: not below 0.05
    ],
)
def test_outcomes_follow_the_registered_rule(shifts: dict[int, float], outcome: str, becomes: str) -> None:
    """One deciding difference shown and none shown the other way; the default only where all estimates are above zero."""
    document = made.ablation({"self_e": FALLING_NOISE, "self_e-noise": shifted(shifts)}, "self_e")

    (answer,) = answers(results_of({"ablation-self_e": document}))

    assert (answer.question, answer.outcome, answer.becomes) == ("Q2", outcome, becomes)


def test_a_missing_step_count_is_no_proof() -> None:
    """Without the differences at all five step counts nothing becomes the default, and nothing measured is no outcome."""
    scores = variant_scores(made.ablation({"self_e": {1: 0.3, 2: 0.5}, "x": {1: 0.5, 2: 0.7}}, "self_e"))["x"]
    answer = Answer(question="Q1", variant="x", scores=scores)

    assert (answer.outcome, answer.is_above_everywhere) == ("helps", False)
    assert outcome_of([None, None]) == "not shown"


def test_answers_need_the_comparison_with_self_e() -> None:
    """Differences to flow matching answer no question."""
    document = made.ablation({"flow_matching": FALLING_NOISE, "self_e-noise": FALLING_NOISE}, "flow_matching")

    assert answers(results_of({"ablation-self_e": document})) == []


PAPER = (
    PublishedAblation(
        model="Flow Matching 0.5B", iterations=300_000, overall={2: 0.25, 50: 0.73}, reference="p"
    ),
    PublishedAblation(model="IMM 0.5B", iterations=300_000, overall={2: 0.26, 50: 0.75}, reference="p"),
    PublishedAblation(model="Self-E 0.5B", iterations=300_000, overall={2: 0.61, 50: 0.76}, reference="p"),
    PublishedAblation(model="Self-E 0.5B", iterations=100_000, overall={2: 0.54, 50: 0.72}, reference="p"),
    PublishedAblation(
        model="Self-E 0.5B, no target normalisation",
        iterations=100_000,
        overall={2: 0.56, 50: 0.70},
        reference="p",
    ),
)
OURS = {
    "flow_matching": {2: 0.20, 50: 0.60},
    "imm": {2: 0.30, 50: 0.50},
    "self_e": {2: 0.50, 50: 0.605},
    "self_e-convex": {2: 0.40, 50: 0.40},
}


def test_the_order_is_held_beside_the_papers_within_each_training() -> None:
    """Only rows of one budget are ordered; pairs in the same order are counted."""
    found = orders(PAPER, variant_scores(made.ablation(OURS, "flow_matching")))
    long, short = ({o.steps: o for o in found if o.iterations == n} for n in (300_000, 100_000))

    assert list(long[2].paper) == list(long[2].here) == ["self_e", "imm", "flow_matching"]
    assert long[2].concordant == (3, 3)
    assert list(long[50].here) == ["self_e", "flow_matching", "imm"]
    assert long[50].concordant == (2, 3)
    assert list(short[2].paper) == ["self_e-convex", "self_e"]
    assert short[2].concordant == (0, 1)


def test_pairs_agree_contradict_or_are_not_shown() -> None:
    """The sign of ours counts where it is shown; half a point is not, though the order is the paper's."""
    scores = {base: variant_scores(made.ablation(OURS, base)) for base in ("flow_matching", "self_e")}
    found = pairs(PAPER, scores)
    words = {(pair.first, pair.second, pair.steps): pair.agreement for pair in found}

    assert words == {
        ("imm", "flow_matching", 2): "agrees",
        ("imm", "flow_matching", 50): "contradicts",
        ("self_e", "flow_matching", 2): "agrees",
        ("self_e", "flow_matching", 50): "not shown",
        ("imm", "self_e", 2): "agrees",
        ("imm", "self_e", 50): "agrees",
        ("self_e-convex", "self_e", 2): "contradicts",
        ("self_e-convex", "self_e", 50): "agrees",
    }
    assert "5 agree" in agreement_sentence(found)
    assert pairs_table(found).rows[0][1] == "+1.0 †; +10.0 ±2.0 *: agrees"


def test_a_grid_is_chosen_with_one_seed_and_judged_with_the_other() -> None:
    """The warp that is best in the search, at the model's s_k and eta, is judged by the other seed, Holm over step counts."""
    own, low, high = ("next", 1.0, None), ("next", 1.0, -0.5), ("next", 1.0, 1.5)
    search = made.schedules(
        {
            own: {2: 0.5, 4: 0.6, 8: 0.7},
            low: {2: 0.4, 4: 0.62, 8: 0.6},
            high: {2: 0.6, 4: 0.6, 8: 0.6},
            ("current", 0.0, 1.5): {2: 0.9, 4: 0.9, 8: 0.9},
        }
    )
    measured = made.schedules(
        {own: {2: 0.5, 4: 0.6, 8: 0.7}, low: {2: 0.9, 4: 0.6, 8: 0.9}, high: {2: 0.55, 4: 0.9, 8: 0.9}}
    )
    found = sampling.chosen_grids(results_of({"grid-search": search, "grid": measured}))
    rows = [row for row in measured["cells"] if row["warp"] == 1.5 and row["steps"] == 2]

    assert [(grid.steps, grid.warp) for grid in found] == [(2, 1.5), (4, -0.5), (8, None)]
    assert found[0].measured.p_adjusted == pytest.approx(2 * rows[0]["against_default"]["p"])  # two have a p
    assert [outcome_of([grid.measured]) for grid in found] == ["helps", "not shown", "not shown"]
    assert found[2].measured.against is None
