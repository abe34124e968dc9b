"""What a caller may choose of a training; every preset takes some of it and refuses the rest. There is no torch here."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from selfe_eval.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Choices; None and False leave them to the preset."""

    objective: str | None = None
    """``NAME`` or ``NAME:OPTION=VALUE,...`` of the table of objectives."""
    iterations: int | None = None
    """Optimiser steps."""
    batch_size: int | None = None
    """Rows of an optimiser step, on all processes together."""
    micro_batches: int | None = None
    """Parts into which a batch is cut, for gradient accumulation and for processes."""
    seed: int | None = None
    """Of the initial weights and of every step."""
    name: str | None = None
    """Of the training's folder and of its checkpoint."""
    smoke: bool = False
    """The smallest sizes, only to see that everything runs."""
    keep_every: int | None = None
    """Steps between checkpoints that stay beside the newest one."""
    data: str | None = None
    """A folder of pictures with captions, WebDataset shards, or what `selfe-eval encode` wrote."""
    sizes: str | None = None
    """Pixels of a square picture, comma separated: ``256`` or ``256,512``."""
    t5: str | None = None
    """Directory or hub name of the frozen T5 encoder."""
    clip: str | None = None
    """Directory or hub name of the frozen CLIP text model."""
    autoencoder: str | None = None
    """Directory or hub name of the frozen autoencoder."""
    parallel: str | None = None
    """``ddp`` or ``fsdp``: how several processes share the model."""
    compile: bool = False
    """Compile the blocks of the network."""
    checkpoint_activations: bool = False
    """Recompute activations in the backward pass instead of keeping them."""
    tensorboard: bool = False
    """Write TensorBoard events beside metrics.jsonl."""

    def __post_init__(self) -> None:
        for option in ("iterations", "batch_size", "micro_batches", "keep_every"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise UsageError(f"{flag(option)} {value}: expected a number of at least 1.")
        if self.name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.name):
            raise UsageError(
                f"--name {self.name}: expected letters, digits, '.', '_' and '-', beginning with a letter or digit: "
                "it becomes a folder and the name of a checkpoint."
            )

    def chosen(self) -> set[str]:
        """The fields that are not left to the preset."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name for name, value in values.items() if value is not None and value is not False}

    def arguments(self) -> list[str]:
        """What is chosen as arguments of the command line, in the order of the fields."""
        chosen = self.chosen()
        values = [
            (flag(field.name), getattr(self, field.name)) for field in fields(self) if field.name in chosen
        ]
        return [text for name, value in values for text in ([name] if value is True else [name, str(value)])]


def flag(option: str) -> str:
    """The command line's spelling of a field."""
    return f"--{option.replace('_', '-')}"
