"""Counting network evaluations, on networks whose calls are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from selfe_eval.errors import UsageError
from selfe_eval.generate.denoiser_calls import counted, denoisers_of


class Still(nn.Module):
    """Takes anything and does nothing."""

    def forward(self, *arguments: Any, **named: Any) -> None:
        del arguments, named


class Denoiser(Still):
    """Looks like one that diffusers defines."""

    __module__ = "diffusers.models.transformers.transformer_still"


class AutoencoderStill(Still):
    """Looks like an autoencoder that diffusers defines."""

    __module__ = "diffusers.models.autoencoders.autoencoder_still"


def test_samples_are_counted_however_they_are_given() -> None:
    """Rows of a first argument, of a named one, and the length of a list add up, over all networks."""
    first, second = Denoiser(), Denoiser()

    with counted({"first": first, "second": second}) as count:
        first(torch.zeros(4, 3), 0.5)
        second(hidden_states=torch.zeros(2, 3), timestep=torch.zeros(7))
        first(sample=torch.zeros(1, 3))
        second([torch.zeros(3, 5), torch.zeros(3, 9)], 0.5)

    assert count.evaluations == 4 + 2 + 1 + 2


def test_counting_ends_with_the_block() -> None:
    """What runs after the block is not counted, also where the block ends in an error."""
    network = Denoiser()

    with pytest.raises(RuntimeError), counted({"network": network}) as count:  # noqa: PT012 - the error ends the block
        network(torch.zeros(2, 3))
        network.load_state_dict({"nothing": torch.zeros(1)})
    network(torch.zeros(5, 3))

    assert count.evaluations == 2


def test_a_call_without_a_sample_cannot_be_counted() -> None:
    """A network that takes its sample in an unknown way is an error, not zero evaluations."""
    network = Denoiser()

    with (
        counted({"network": network}),
        pytest.raises(UsageError, match="A Denoiser takes its noisy sample in a way"),
    ):
        network(timestep=torch.zeros(3))


def test_denoisers_are_diffusers_own_networks_without_autoencoders() -> None:
    """Text encoders, autoencoders, schedulers and tokenizers are no denoisers; two denoisers are two."""
    parts = {
        "prior": Denoiser(),
        "unet": Denoiser(),
        "vae": AutoencoderStill(),
        "text_encoder": Still(),
        "scheduler": object(),
    }

    assert set(denoisers_of(parts, name="mine")) == {"prior", "unet"}
    with pytest.raises(
        UsageError, match="mine has no network that diffusers defines and that runs at each step"
    ):
        denoisers_of({"text_encoder": Still(), "vae": AutoencoderStill()}, name="mine")
