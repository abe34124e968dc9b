"""A gate inside a test: ``assert_no_regression(run, baseline)``, by import or as a fixture of that name.

    def test_the_new_checkpoint_is_no_worse(assert_no_regression):
        assert_no_regression("results/runs/new", "results/baselines/main.json", policy="gate.toml")

A loss, or a run that cannot be held against the baseline, fails the test and shows the table. What is inconclusive
skips the test, fails it or lets it pass, as the policy's ``on_inconclusive`` says: warn, fail or pass. pytest finds this
module by itself where selfe-eval is installed; it costs other tests nothing, since everything is imported by the call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from selfe_eval.report.gate import Decision
    from selfe_eval.report.gate_policy import Policy

File = str | PathLike[str]

WIDTH = 100
"""Characters of the table in a failure."""


def assert_no_regression(run: File, baseline: File, policy: File | Policy | None = None) -> None:
    """Fail the test where the run is worse than the baseline, or cannot be held against it.

    Args:
        run: A run folder.
        baseline: A file that ``selfe-eval baseline promote`` wrote, or a run folder.
        policy: What is tolerated: a TOML file, or a ``Policy``; None for the default.

    Raises:
        UsageError: a file is missing, or the policy makes no sense.
    """
    __tracebackhide__ = True
    from pathlib import Path

    from selfe_eval.report.gate import worst
    from selfe_eval.report.gate_files import gate_files
    from selfe_eval.report.gate_policy import Policy, read_policy

    if policy is None:
        policy = Policy()
    elif not isinstance(policy, Policy):
        policy = read_policy(Path(policy))
    decisions = gate_files(Path(baseline), Path(run), policy)
    counts = worst(decisions)
    if counts.outcome in {"fail", "not_comparable"}:
        pytest.fail(_table(decisions), pytrace=False)
    if counts.outcome == "inconclusive" and policy.on_inconclusive == "fail":
        pytest.fail(_table(decisions), pytrace=False)
    if counts.outcome == "inconclusive" and policy.on_inconclusive == "warn":
        pytest.skip(f"inconclusive: {counts.reason}")


@pytest.fixture(name="assert_no_regression", scope="session")
def _assert_no_regression() -> Callable[..., None]:
    """Hold a run against a baseline: see `selfe_eval.pytest_plugin.assert_no_regression`."""
    return assert_no_regression


def _table(decisions: Sequence[Decision]) -> str:
    import io

    from rich.console import Console

    from selfe_eval.report.gate_text import print_gate

    text = io.StringIO()
    print_gate(decisions, Console(file=text, width=WIDTH, color_system=None))
    return text.getvalue()
