from __future__ import annotations

import sys
from pathlib import Path

import pytest

from selfe_eval.cli.experiment import interrupted_in


def test_an_interrupt_names_the_folder_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in an experiment prints the very command that goes on, fit for a shell."""
    monkeypatch.setattr(sys, "argv", ["selfe-eval", "ablate", "--out", "my runs"])
    with (
        pytest.raises(KeyboardInterrupt, match=r"kept in .*Go on with: selfe-eval ablate --out 'my runs'"),
        interrupted_in(tmp_path),
    ):
        raise KeyboardInterrupt
