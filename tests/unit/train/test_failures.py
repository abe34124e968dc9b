from __future__ import annotations

import pytest

from selfe.data.pictures import NoPicturesError
from selfe.training.errors import NotFiniteError, SettingsChangedError, TrainingStateError
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.train.failures import training_failures


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (SettingsChangedError("num_steps was 3 and is 5"), UsageError),
        (NoPicturesError("an empty folder"), UsageError),
        (TrainingStateError("the state is damaged"), UntrustworthyError),
        (NotFiniteError("the loss of step 7 is nan", {}), UntrustworthyError),
    ],
)
def test_what_stops_a_training_under_way_is_no_usage_error(
    found: Exception, expected: type[Exception]
) -> None:
    """Settings and data are the caller's (exit code 2); a loss or a state that cannot be trusted is not (3)."""
    with pytest.raises(expected, match=str(found)), training_failures():
        raise found
