from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from selfe_eval.errors import UsageError
from selfe_eval.records import TASKS
from selfe_eval.report.evidence import ImageEvidence, RunEvidence
from selfe_eval.report.gate import Decision, decide, not_comparable, worst
from selfe_eval.report.gate_policy import Margins, Policy, policy_of, read_policy
from selfe_eval.report.gate_text import gate_document, gate_markdown, print_gate
from selfe_eval.report.github import annotation_lines
from tests.repository import ROOT
from tests.unit.report.made_evidence import made_run

CLIP, FID = "clip-score[openmoji-clip]", "fid[openmoji-clip]"
DEFAULT = Policy()


def outcomes(decision: Decision) -> dict[tuple[str, str | None, int], str]:
    return {(row.metric, row.task, row.steps): row.outcome for row in decision.rows}


@pytest.fixture
def run() -> RunEvidence:
    return made_run({2: 0.5, 8: 0.7}, {2: 24.0, 8: 27.0}, {2: 0.3, 8: 0.1})


def test_the_same_run_twice_passes(run: RunEvidence) -> None:
    """An A/A pair passes, in every metric, task and step count."""
    decision = decide(run, run, DEFAULT)

    assert decision.outcome == "pass"
    assert set(outcomes(decision).values()) == {"pass"}
    assert len(decision.rows) == 3 * 2 + 6 * 2
    assert decision.reason == "A loss of 2.0 pp in geneval is excluded at 2, 8 steps."
    assert decision.notes == ()


def test_new_noise_of_the_same_quality_does_not_fail() -> None:
    """With new noise an unchanged model fails in at most about 5 % of gates, though there are five step counts."""
    curve = {1: 0.4, 2: 0.5, 4: 0.6, 8: 0.7, 50: 0.7}
    made = [decide(made_run(curve, seed=2 * n), made_run(curve, seed=2 * n + 1), DEFAULT) for n in range(60)]
    primary = [any(row.is_primary and row.outcome == "fail" for row in decision.rows) for decision in made]

    assert sum(primary) <= 6  # of 60; P(more) < 4 % where the rate is 5 %
    assert any("same noise" in note for note in made[0].notes)


def test_a_loss_fails(run: RunEvidence) -> None:
    """A loss of ten points at one step count fails there, and the reason says where and by how much."""
    worse = made_run({2: 0.4, 8: 0.7}, {2: 24.0, 8: 27.0}, {2: 0.3, 8: 0.1})
    decision = decide(run, worse, DEFAULT)

    assert decision.outcome == "fail"
    assert outcomes(decision)["geneval", None, 2] == "fail"
    assert outcomes(decision)["geneval", None, 8] == "pass"
    assert decision.reason.startswith("Worse than the baseline: geneval at 2 steps by ")


def test_a_gain_passes(run: RunEvidence) -> None:
    """Better is never a failure, in either direction of a metric."""
    decision = decide(run, made_run({2: 0.8, 8: 0.9}, {2: 29.0, 8: 29.0}, {2: 0.1, 8: 0.05}), DEFAULT)

    assert set(outcomes(decision).values()) == {"pass"}


def test_the_bounds_are_the_ones_of_the_rule(run: RunEvidence) -> None:
    """With one step count it fails where U < 0, passes where L > -delta, and is open between; U and L by hand."""
    for drop in (*np.linspace(0.0, 0.015, 16), *np.linspace(0.02, 0.1, 9)):
        one = decide(run, made_run({2: 0.5 - drop}), Policy(steps=(2,), ignore=("clip-score", "fid")))
        row = one.rows[0]
        assert row.difference.delta is not None
        assert row.difference.se is not None
        half = 1.6448536 * row.difference.se / (1 - 1.6448536**2 / 240) ** 0.5
        lower, upper = row.difference.delta - half, row.difference.delta + half
        expected = "fail" if upper < 0 else "pass" if lower > -0.02 else "inconclusive"

        assert row.outcome == expected
        assert (row.gain_lower, row.gain_upper) == pytest.approx((lower, upper))


def test_what_cannot_be_told_is_inconclusive() -> None:
    """A small loss under new noise is neither shown nor excluded, and the reason says what would help."""
    decision = decide(made_run({2: 0.5}), made_run({2: 0.5}, seed=4), DEFAULT)

    assert decision.outcome == "inconclusive"
    assert "not excluded at 2 steps. More images" in decision.reason


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"clip": {2: 22.0, 8: 27.0}}, (CLIP, None, 2)),
        ({"fid": {2: 0.3, 8: 0.2}}, (FID, None, 8)),
        ({"spoilt": {"counting": 0.9}}, ("geneval", "counting", 2)),
    ],
)
def test_secondaries_can_fail(
    run: RunEvidence, changes: dict[str, Any], failing: tuple[str, str | None, int]
) -> None:
    """A clear loss in another metric, or in one task, fails the gate though nothing else does."""
    made: dict[str, Any] = {"clip": {2: 24.0, 8: 27.0}, "fid": {2: 0.3, 8: 0.1}}
    decision = decide(run, made_run({2: 0.5, 8: 0.7}, **{**made, **changes}), DEFAULT)

    assert decision.outcome == "fail"
    assert outcomes(decision)[failing] == "fail"


def test_secondaries_are_adjusted_for_each_other(run: RunEvidence) -> None:
    """The smallest p of the 16 differences beside the primary metric's two is multiplied by 16."""
    decision = decide(
        run, made_run({2: 0.5, 8: 0.7}, {2: 24.0, 8: 27.0}, {2: 0.3, 8: 0.1}, spoilt={"colors": 0.3}), DEFAULT
    )
    others = [row for row in decision.rows if not row.is_primary]
    smallest = min(others, key=lambda row: row.p or 0.0)

    assert len(others) == 16
    assert smallest.p is not None
    assert smallest.p_adjusted == pytest.approx(16 * smallest.p)


def test_an_inconclusive_secondary_changes_nothing(run: RunEvidence) -> None:
    """A task of which nothing can be told does not make the gate inconclusive."""
    other = made_run({2: 0.5, 8: 0.7}, {2: 24.0, 8: 27.0}, {2: 0.3, 8: 0.1}, spoilt={"colors": 0.03})
    decision = decide(run, other, DEFAULT)

    assert outcomes(decision)["geneval", "colors", 8] == "inconclusive"
    assert decision.outcome == "pass"


def test_a_tolerated_loss_does_not_fail(run: RunEvidence) -> None:
    """A loss of ten points with a tolerance of twenty, in the primary metric and of a distance, passes or is open."""
    worse = made_run({2: 0.4, 8: 0.6}, {2: 24.0, 8: 27.0}, {2: 0.33, 8: 0.11})
    policy = Policy(
        margins=Margins(delta=0.2, tolerance=0.2),
        secondaries={"fid": Margins(delta=0.2, tolerance=0.2)},
        ignore=("geneval",),
    )
    tolerant = replace(policy, ignore=())

    assert decide(run, worse, DEFAULT).outcome == "fail"
    assert outcomes(decide(run, worse, tolerant))[FID, None, 8] == "pass"
    assert outcomes(decide(run, worse, tolerant))["geneval", None, 2] == "pass"


def test_the_policy_names_the_primary_metric(run: RunEvidence) -> None:
    """Another primary metric decides; GenEval can then only fail."""
    decision = decide(
        run, made_run({2: 0.5, 8: 0.7}, {2: 24.0, 8: 27.0}, {2: 0.3, 8: 0.1}), Policy(primary="fid")
    )

    assert {row.metric for row in decision.rows if row.is_primary} == {FID}
    assert decision.outcome == "pass"
    with pytest.raises(UsageError, match=r"Available: .*geneval"):
        decide(run, run, Policy(primary="fid[inception]"))


@pytest.mark.parametrize("name", ["kid", "fid[inception]", "geneval"])
def test_margins_that_hold_for_nothing_are_refused(run: RunEvidence, name: str) -> None:
    """Margins of a metric that the baseline lacks, or of the primary one, would be dropped in silence: an error."""
    with pytest.raises(UsageError, match=r"Available: .*fid"):
        decide(run, run, Policy(secondaries={name: Margins()}))


def without(run: RunEvidence, metric: str) -> RunEvidence:
    return replace(run, metrics={name: one for name, one in run.metrics.items() if name != metric})


def with_metric(run: RunEvidence, metric: str, **changes: Any) -> RunEvidence:
    return replace(run, metrics={**run.metrics, metric: replace(run.metrics[metric], **changes)})


def incomparable(run: RunEvidence) -> dict[str, RunEvidence]:
    """A word of the reason -> a run that cannot be held against this one."""
    geneval = run.metrics["geneval"]
    return {
        "lacks fid": without(run, FID),
        "lacks geneval, ": without(run, "geneval"),
        "lacks geneval at 8": with_metric(run, "geneval", steps={2: geneval.steps[2]}),
        "scorer": with_metric(run, "geneval", protocol_sha256="0" * 64),
        "protocol": with_metric(run, CLIP, protocol_sha256="0" * 64),
        "suite: openmoji and geneval": replace(run, suite="geneval"),
        "prompts of the suite": replace(run, suite_sha256="0" * 64),
        "not the same prompts": replace(without(run, FID), tasks={i: t for i, t in run.tasks.items() if i}),
        "partial": replace(run, partial=True),
    }


@pytest.mark.parametrize("word", incomparable(made_run({2: 0.5, 8: 0.7}, {2: 24.0}, {2: 0.3})))
def test_what_is_not_comparable_never_passes(run: RunEvidence, word: str) -> None:
    """Whatever differs, or is missing in the run, is named; no row is shown."""
    decision = decide(run, incomparable(run)[word], DEFAULT)

    assert (decision.outcome, decision.rows) == ("not_comparable", ())
    assert word in decision.reason


def test_a_deleted_metric_can_be_ignored_in_so_many_words(run: RunEvidence) -> None:
    """Only the policy makes a missing metric acceptable, by full or bare name, and it says so."""
    for name in (FID, "fid"):
        decision = decide(run, without(run, FID), Policy(ignore=(name,)))

        assert decision.outcome == "pass"
        assert decision.notes == (f"Ignored by the policy: {FID}.",)


def test_step_counts_can_be_chosen(run: RunEvidence) -> None:
    """Only the chosen step counts are needed and looked at; one that the baseline lacks is not comparable."""
    shorter = made_run({2: 0.5}, {2: 24.0}, {2: 0.3})
    decision = decide(run, shorter, Policy(steps=(2,)))

    assert decision.outcome == "pass"
    assert {row.steps for row in decision.rows} == {2}
    assert "The baseline lacks geneval at 4 steps" in decide(run, run, Policy(steps=(4,))).reason


def test_what_the_baseline_lacks_is_not_gated(run: RunEvidence) -> None:
    """A metric that is new in the run is named, and nothing follows from it."""
    decision = decide(without(run, FID), run, DEFAULT)

    assert decision.outcome == "pass"
    assert decision.notes == (f"Not in the baseline, so not gated: {FID}.",)


def test_few_prompts_are_inconclusive() -> None:
    """With fewer than 30 prompts nothing passes and nothing fails, however large the loss."""
    tasks = dict(enumerate(TASKS * 2))
    runs = []
    for value in (1.0, 0.0):
        metric = made_run({2: 0.5}).metrics["geneval"]
        values = {(i, 0): value for i in tasks}
        metrics = {"geneval": replace(metric, steps={2: ImageEvidence(values=values)})}
        runs.append(made_run(tasks=tasks, images_per_prompt=1, metrics=metrics))
    decision = decide(runs[0], runs[1], DEFAULT)

    assert decision.outcome == "inconclusive"
    assert "too few prompts" in decision.reason


def test_a_metric_without_a_direction_is_not_gated() -> None:
    """Spread may rise or fall, unless the policy gives it a delta."""
    one, two = made_run({2: 0.5}, {2: 0.2}), made_run({2: 0.5}, {2: 0.1})

    def as_spread(run: RunEvidence) -> RunEvidence:
        metric = replace(run.metrics[CLIP], metric="spread", unit="share")
        return replace(run, metrics={"geneval": run.metrics["geneval"], "spread": metric})

    decision = decide(as_spread(one), as_spread(two), DEFAULT)
    assert decision.outcome == "pass"
    assert decision.notes == ("No direction of spread is better: not gated.",)
    asked = decide(as_spread(one), as_spread(two), Policy(secondaries={"spread": Margins(delta=0.01)}))
    assert asked.outcome == "fail"


def test_the_worst_answer_counts(run: RunEvidence) -> None:
    """Of several baselines the one that cannot be compared counts before the one that fails, and so on."""
    worse = made_run({2: 0.4, 8: 0.6}, {2: 24.0, 8: 27.0}, {2: 0.3, 8: 0.1})
    fine, failed = decide(run, run, DEFAULT), decide(run, worse, DEFAULT)
    broken = not_comparable("x", "why")

    assert worst([fine, failed]) is failed
    assert worst([failed, broken, fine]) is broken


def shown(decision: Decision, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_gate([decision], console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_the_terminal(run: RunEvidence, width: int) -> None:
    """No line is wider than the terminal, nothing is cut, and a task that fails has a row."""
    worse = made_run({2: 0.5, 8: 0.7}, {2: 23.0, 8: 27.0}, {2: 0.3, 8: 0.2}, spoilt={"color_attr": 0.9})
    text = shown(decide(run, worse, DEFAULT), width)

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "attr" in text
    assert "FAIL: Worse than the baseline" in " ".join(text.split())


def test_the_table_names_metrics_in_full(run: RunEvidence) -> None:
    """Two variants of a metric are told apart: what stands in brackets is no markup of the terminal."""
    text = shown(decide(run, run, DEFAULT), 140)

    assert CLIP in text
    assert FID in text


def test_the_document_is_that_of_compare_with_the_answer(run: RunEvidence) -> None:
    """The keys that scripts rely on come first, numbers are numbers, and every task has a row."""
    document = gate_document([decide(run, run, DEFAULT, against="main.json")])

    assert list(document)[:4] == ["schema_version", "metrics", "outcome", "reason"]
    assert list(document["metrics"][0])[:7] == [
        "metric",
        "steps",
        "delta",
        "se",
        "ci",
        "p_adjusted",
        "outcome",
    ]
    assert document["outcome"] == "pass"
    assert {row["against"] for row in document["metrics"]} == {"main.json"}
    assert {row["task"] for row in document["metrics"]} == {None, *TASKS}


def test_markdown_holds_no_markup_of_others(run: RunEvidence) -> None:
    """Names and reasons that hold HTML, line ends or bars stay text in a job's summary."""
    text = gate_markdown([not_comparable("a|b<script>\n# x", "<img src=x>")])

    assert "<script>" not in text
    assert "<img" not in text
    assert "a\\|b&lt;script&gt; # x" in text
    assert "| geneval | 2 |" in gate_markdown([decide(run, run, DEFAULT)])


def test_annotations_follow_the_policy(run: RunEvidence) -> None:
    """A loss is an error; what is inconclusive a warning, an error or nothing; a pass is nothing."""
    worse = made_run({2: 0.3, 8: 0.7}, {2: 24.0, 8: 27.0}, {2: 0.3, 8: 0.1})
    open_ = decide(made_run({2: 0.5}), made_run({2: 0.5}, seed=4), DEFAULT)

    assert annotation_lines([decide(run, run, DEFAULT)], "warn") == []
    (line,) = annotation_lines([decide(run, worse, DEFAULT, against="50%.json")], "warn")
    assert line.startswith("::error title=selfe-eval gate%3A FAIL::Worse")
    assert line.endswith("Baseline: 50%25.json.")
    assert [line.split()[0] for line in annotation_lines([open_], "warn")] == ["::warning"]
    assert [line.split()[0] for line in annotation_lines([open_], "fail")] == ["::error"]
    assert annotation_lines([open_], "pass") == []
    assert "%0A" in annotation_lines([not_comparable("x", "one\ntwo")], "pass")[0]


def test_a_policy_is_read_whole(tmp_path: Path) -> None:
    """Every key of the file reaches the policy; a pinned baseline is looked for beside the file."""
    path = tmp_path / "gate.toml"
    path.write_text(
        'primary = "fid"\nsteps = [8, 2]\ndelta = 0.1\ntolerance = 0.05\non_inconclusive = "fail"\n'
        'ignore = ["kid", "spread[openmoji-clip]"]\npinned = "release.json"\n'
        "[secondaries.geneval]\ndelta = 0.03\n"
    )

    assert read_policy(path) == Policy(
        primary="fid",
        steps=(2, 8),
        margins=Margins(delta=0.1, tolerance=0.05),
        on_inconclusive="fail",
        secondaries={"geneval": Margins(delta=0.03)},
        ignore=("kid", "spread[openmoji-clip]"),
        pinned=tmp_path / "release.json",
    )


def test_the_example_is_the_default_but_for_its_table() -> None:
    """The committed gate.toml says what happens without one."""
    policy = read_policy(ROOT / "results" / "baselines" / "gate.toml")

    assert replace(policy, secondaries={}) == Policy(primary="geneval", margins=Margins(delta=0.02))
    assert policy.secondaries == {"clip-score": Margins(delta=0.5, tolerance=0.1)}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"tolerence": 0.1}, "Did you mean 'tolerance'"),
        ({"secondaries": {"fid": {"detla": 0.1}}}, "Did you mean 'delta'"),
        ({"secondaries": {"fidd": {}}}, "Did you mean 'fid'"),
        ({"secondaries": {"fid": 0.1}}, "expected a table"),
        ({"secondaries": []}, "expected a table"),
        ({"ignore": ["genevl"]}, "Did you mean 'geneval'"),
        ({"ignore": "kid"}, "expected a list"),
        ({"ignore": [1]}, "expected a text"),
        ({"on_inconclusive": "wran"}, "Did you mean 'warn'"),
        ({"delta": 0}, "above 0"),
        ({"delta": "2 pp"}, "expected a number"),
        ({"delta": True}, "expected a number"),
        ({"tolerance": -0.1}, "at least 0"),
        ({"tolerance": float("nan")}, "at least 0"),
        ({"steps": []}, "whole numbers"),
        ({"steps": [2, 2]}, "whole numbers"),
        ({"steps": [True]}, "whole numbers"),
        ({"primary": "fid", "ignore": ["fid"]}, "both the primary metric and ignored"),
        ({"pinned": ""}, "expected a text"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(document: dict[str, Any], words: str) -> None:
    """Unknown keys and names are errors with what was probably meant, wrong values with what was expected."""
    with pytest.raises(UsageError, match=words):
        policy_of(document, Path())


def test_a_policy_file_is_named_in_its_errors(tmp_path: Path) -> None:
    """Missing files, files that are no TOML, and wrong keys are refused with the name of the file."""
    path = tmp_path / "gate.toml"
    for content in (None, "primary = ", "colour = 1", "\x00"):
        if content is not None:
            path.write_text(content)
        with pytest.raises(UsageError, match=r"gate\.toml"):
            read_policy(path)
