"""What went wrong in a training or its data, as this program's own errors and so with its exit codes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from selfe.checkpoint import CheckpointError
from selfe.data.latent_shards import ShardError
from selfe.data.pictures import NoPicturesError
from selfe.encoders.places import EncoderError
from selfe.training.errors import NotFiniteError, TrainingError, TrainingStateError
from selfe_eval.errors import UntrustworthyError, UsageError


@contextlib.contextmanager
def training_failures() -> Iterator[None]:
    """Translate the errors of ``selfe``.

    Raises:
        UsageError: the training does not begin: its settings, data or encoders are not usable.
        UntrustworthyError: it cannot go on: a loss is not finite, or a state is damaged or could not be kept.
    """
    try:
        yield
    except (NotFiniteError, TrainingStateError) as error:
        raise UntrustworthyError(str(error)) from error
    except (TrainingError, EncoderError, NoPicturesError, ShardError, CheckpointError) as error:
        raise UsageError(str(error)) from error
