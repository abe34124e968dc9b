"""From files to the gate's answer: a baseline, or two, a run and a policy. What cannot be believed is not comparable."""

from __future__ import annotations

from pathlib import Path

from selfe_eval.errors import UntrustworthyError
from selfe_eval.report.baseline import read_baseline
from selfe_eval.report.evidence import RunEvidence
from selfe_eval.report.gate import Decision, decide, not_comparable
from selfe_eval.report.gate_policy import Policy
from selfe_eval.report.run_evidence import read_evidence


def gate_files(baseline: Path, run: Path, policy: Policy) -> tuple[Decision, ...]:
    """The gate's answer against the baseline, and against the policy's pinned one where there is one.

    Args:
        baseline: A file that `baseline promote` wrote, or a run folder.
        run: The folder of the run in question.
        policy: What is tolerated.

    Raises:
        UsageError: there is no such file or folder, or the policy names a primary metric that the baseline has not.
    """
    paths = [baseline] if policy.pinned is None else [baseline, policy.pinned]
    return tuple(_decision(path, run, policy) for path in paths)


def _decision(baseline: Path, run: Path, policy: Policy) -> Decision:
    try:
        return decide(_baseline_evidence(baseline), _run_evidence(run), policy, against=str(baseline))
    except UntrustworthyError as error:
        return not_comparable(str(baseline), str(error))


def _baseline_evidence(path: Path) -> RunEvidence:
    return _run_evidence(path) if path.is_dir() else read_baseline(path).evidence


def _run_evidence(folder: Path) -> RunEvidence:
    """A partial run is read, for the gate has its own words for it."""
    return read_evidence(folder, allow_partial=True)
