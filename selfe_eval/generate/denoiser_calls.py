"""Network evaluations, counted where they happen: hooks on the networks of a pipeline that run once a step.

One evaluation is one sample going once through a denoising network. Classifier-free guidance sends two samples for each
image, a second-order scheduler evaluates twice a step, and a scheduler may skip steps: whatever a formula says, this is
what ran. Text encoders and autoencoders are not denoisers and are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from selfe_eval.errors import UsageError

_AUTOENCODERS = ("Autoencoder", "AsymmetricAutoencoder", "ConsistencyDecoder", "VQModel", "PaellaVQModel")
"""How the classes of networks that turn latents into pixels begin."""
_SAMPLE_NAMES = ("hidden_states", "sample", "x")
"""What denoisers call the noisy sample, where it is not their first argument by position."""


@dataclass(slots=True)
class EvaluationCount:
    """How many samples went through the denoisers."""

    evaluations: int = 0
    """Samples so far; guidance makes two of one image."""


def denoisers_of(components: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """The networks of a pipeline that denoise: those that diffusers defines, autoencoders excepted.

    Raises:
        UsageError: there are none, so that nothing could be counted.
    """
    found = {
        part: network
        for part, network in components.items()
        if isinstance(network, nn.Module)
        and type(network).__module__.startswith("diffusers.models.")
        and not type(network).__name__.startswith(_AUTOENCODERS)
    }
    if not found:
        raise UsageError(
            f"{name} has no network that diffusers defines and that runs at each step (it has {', '.join(components)}), so "
            "that its network evaluations cannot be counted. Give it as --model module:attribute, with an nfe of yours."
        )
    return found


@contextmanager
def counted(denoisers: Mapping[str, Any]) -> Iterator[EvaluationCount]:
    """Count the samples that go through these networks while the block runs."""
    count = EvaluationCount()

    def before(network: nn.Module, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        count.evaluations += num_samples(network, arguments, named)

    handles = [network.register_forward_pre_hook(before, with_kwargs=True) for network in denoisers.values()]
    try:
        yield count
    finally:
        for handle in handles:
            handle.remove()


def num_samples(network: nn.Module, arguments: Sequence[Any], named: Mapping[str, Any]) -> int:
    """How many samples one forward pass takes: the rows of the noisy sample, or the length of a list of them.

    Raises:
        UsageError: the noisy sample is not to be found.
    """
    sample = arguments[0] if arguments else next((named[key] for key in _SAMPLE_NAMES if key in named), None)
    if isinstance(sample, torch.Tensor) and sample.ndim:
        return int(sample.shape[0])
    if isinstance(sample, list):
        return len(sample)
    raise UsageError(
        f"A {type(network).__name__} takes its noisy sample in a way that is not known here, so that network evaluations cannot "
        "be counted. Give the model as --model module:attribute, with an nfe of yours."
    )
