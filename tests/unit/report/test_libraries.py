from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from selfe_eval.report.as_json import comparison_document
from selfe_eval.report.baseline import Promotion, promoted, read_baseline, write_baseline
from selfe_eval.report.comparison import compare
from selfe_eval.report.comparison_markdown import comparison_markdown
from selfe_eval.report.comparison_table import print_comparison
from selfe_eval.report.entry import Entry
from selfe_eval.report.gate import decide
from selfe_eval.report.gate_policy import Policy
from selfe_eval.report.gate_text import gate_document, gate_markdown
from selfe_eval.report.leaderboard import print_leaderboard
from selfe_eval.report.leaderboard_html import leaderboard_html
from selfe_eval.report.libraries import Libraries, libraries_of, library_note
from selfe_eval.report.markdown import leaderboard_markdown
from selfe_eval.report.scored_run import ScoredRun
from tests.unit.report.made_evidence import made_run

MakeRun = Callable[..., ScoredRun]
OLD: Libraries = {"open_clip_torch": ("3.3.0",), "torch": ("2.14.0",)}
NEW: Libraries = {"open_clip_torch": ("3.4.0",), "torch": ("2.14.0",)}
CURVE = {2: 0.5, 8: 0.7}
PROMOTION = Promotion(
    at="2026-11-23T12:00:00+00:00", who="Ada", why="the first", git_commit=None, version="0.1.0"
)


def test_every_release_that_had_a_hand_in_a_run_is_known() -> None:
    """A run that went on after an update names both releases, in order; what decides no number is left out."""
    attempts: list[dict[str, Any]] = [
        {"versions": {"torch": "2.14.0", "python": "3.11.7", "diffusers": "0.42"}},
        {"stage": "score"},
        {"versions": {"torch": "2.15.0", "python": "3.13.0"}},
        {"versions": {"torch": "2.15.0"}},
    ]
    assert libraries_of(attempts) == {"torch": ("2.14.0", "2.15.0")}
    assert libraries_of([]) == {}


def test_nothing_is_said_of_equal_releases() -> None:
    """Runs with the same releases, and runs of which none says anything, need no note."""
    assert library_note([("A", OLD), ("B", dict(OLD))]) == ""
    assert library_note([("A", {}), ("B", {})]) == ""


def test_what_differs_is_named_with_its_users() -> None:
    """Only libraries that differ are named; an unknown release differs from a known one, and so does a mixture."""
    assert "open_clip_torch 3.3.0 (A, C), 3.4.0 (B). " in library_note([("A", OLD), ("B", NEW), ("C", OLD)])
    assert "torch" not in library_note([("A", OLD), ("B", NEW)]).replace("open_clip_torch", "")
    assert "torch 2.14.0 (A), not known (B)" in library_note([("A", {"torch": ("2.14.0",)}), ("B", {})])
    assert "torch 2.14.0 and 2.15.0 (run)" in library_note([("run", {"torch": ("2.14.0", "2.15.0")})])


def test_another_release_is_compared_with_a_note() -> None:
    """It does not forbid a comparison, and table, markdown and document say that the releases differ."""
    a, b = made_run(CURVE, libraries=OLD), made_run(CURVE, libraries=NEW)
    comparison, same = compare(a, b), compare(a, a)
    console = Console(file=io.StringIO(), width=200, color_system=None)
    print_comparison(comparison, a, b, console)
    assert isinstance(console.file, io.StringIO)

    assert (comparison.outcome, same.outcome, same.notes) == ("pass", "pass", ())
    for text in (
        console.file.getvalue(),
        comparison_markdown(comparison, a, b).replace("\\", ""),
        " ".join(comparison_document(comparison)["notes"]),
    ):
        assert "open_clip_torch 3.3.0 (A), 3.4.0 (B)" in text


def test_another_release_is_gated_with_a_note(tmp_path: Path) -> None:
    """A baseline keeps the releases of its run; a run with others passes or fails as it would, and the gate says so."""
    write_baseline(tmp_path / "main.json", promoted(made_run(CURVE, libraries=OLD), {}, PROMOTION, None))
    baseline = read_baseline(tmp_path / "main.json").evidence
    decision = decide(baseline, made_run(CURVE, libraries=NEW), Policy())

    assert baseline.libraries == OLD
    assert decision.outcome == "pass"
    assert decide(baseline, made_run(CURVE, libraries=OLD), Policy()).notes == ()
    for text in (str(gate_document([decision])["notes"]), gate_markdown([decision])):
        assert "open_clip_torch 3.3.0 (baseline), 3.4.0 (run)" in text.replace("\\", "")


def test_a_baseline_without_releases_is_read(tmp_path: Path) -> None:
    """A file that says nothing of libraries stays valid, and the gate says that they are not known."""
    write_baseline(tmp_path / "main.json", promoted(made_run(CURVE), {}, PROMOTION, None))
    baseline = read_baseline(tmp_path / "main.json").evidence

    assert "libraries" not in (tmp_path / "main.json").read_text()
    assert "not known (baseline), 3.4.0 (run)" in " ".join(
        decide(baseline, made_run(CURVE, libraries=NEW), Policy()).notes
    )


def test_runs_of_other_releases_share_a_leaderboard_with_a_note(make_run: MakeRun) -> None:
    """One table, whose note names the releases, in a terminal, as markdown and as a page."""
    summary = make_run(CURVE).summary
    entries = [
        Entry(run=name, summary=replace(summary, model=name), libraries=libraries)
        for name, libraries in (("before", OLD), ("after", NEW))
    ]
    console = Console(file=io.StringIO(), width=300, color_system=None)
    print_leaderboard(entries, (), console)
    assert isinstance(console.file, io.StringIO)

    for text in (
        console.file.getvalue(),
        leaderboard_markdown(entries, ()),
        leaderboard_html(entries, (), ()),
    ):
        assert text.count("open_clip_torch 3.3.0 (before), 3.4.0 (after)") == 1
    assert "Releases" not in leaderboard_markdown([replace(one, libraries=OLD) for one in entries], ())
