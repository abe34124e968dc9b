"""Why a training does not begin or does not go on; each message says what was expected, what was found and what to do."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


class TrainingError(ValueError):
    """A training that does not begin or does not go on."""


class UnevenPartsError(TrainingError):
    """The parts of a batch cannot be dealt out evenly to the processes."""


class FolderInUseError(TrainingError):
    """Another process trains in the folder."""


class SettingsChangedError(TrainingError):
    """A training folder was begun with other settings than those it is to go on with."""


class TrainingStateError(TrainingError):
    """A saved state is damaged or does not belong to this network."""


class MissingTensorboardError(TrainingError):
    """TensorBoard's files were asked for, and the package that writes them is not installed."""


class NotFiniteError(TrainingError):
    """A loss or a gradient is NaN or infinite; the weights are as they were before its step."""

    def __init__(self, message: str, batch: Mapping[str, Tensor]) -> None:
        """Carry the tensors of the batch, by name."""
        super().__init__(message)
        self.batch = batch
