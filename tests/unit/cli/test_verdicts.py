from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from selfe_eval.cli.measure import sweep
from selfe_eval.cli.verdicts import FailOn, fail_on_verdict
from selfe_eval.errors import UntrustworthyError, UsageError


@pytest.mark.parametrize("fail_on", FailOn)
def test_a_gate_without_a_verdict_does_not_pass(fail_on: FailOn) -> None:
    """Where GenEval could not be measured, --fail-on ends with code 3 and never as if the verdict were fine."""
    with pytest.raises(UntrustworthyError, match=f"--fail-on {fail_on.value} goes by GenEval's verdict"):
        fail_on_verdict(None, fail_on)


def test_a_gate_on_what_is_not_asked_for_is_refused_at_once() -> None:
    """--fail-on with metrics that leave GenEval out is an error before anything is loaded."""
    app = typer.Typer()
    app.command()(sweep)
    arguments = ["--ckpt", "selfe-tiny", "--metrics", "fid", "--fail-on", "violated"]
    result = CliRunner().invoke(app, arguments)

    assert isinstance(result.exception, UsageError)
    assert "--metrics fid leaves GenEval out" in str(result.exception)
