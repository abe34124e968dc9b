"""A Self-E checkpoint as a generator: the one place where the harness reaches the model package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from selfe.checkpoint import CheckpointError
from selfe.encoders.places import EncoderError
from selfe.pipeline import AnyStepPipeline
from selfe.sampler import SamplerError, SamplerOptions
from selfe_eval.errors import UsageError
from selfe_eval.generate.checkpoints import CONFIG_FILE, CheckpointFolder
from selfe_eval.generate.overrides import SamplerOverrides


class SelfeGenerator:
    """An any-step pipeline behind the Generator protocol."""

    def __init__(self, name: str, pipeline: AnyStepPipeline, overrides: SamplerOverrides) -> None:
        self.name = name
        self._pipeline = pipeline
        self._options = changed_sampler(pipeline, overrides)

    def nfe(self, num_steps: int) -> int:
        """Network evaluations for one image."""
        return self._pipeline.nfe(num_steps, self._options)

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], num_steps: int) -> NDArray[np.uint8]:
        """Draw one image for each prompt and its seed: (B, H, W, 3) uint8, RGB.

        Raises:
            UsageError: a prompt is too long for the model, or a list of second times does not fit the steps.
        """
        try:
            images = self._pipeline(prompts, seeds, num_steps, self._options)
        except SamplerError as error:
            raise UsageError(f"{self.name} cannot draw so: {error}") from error
        except ValueError as error:
            raise UsageError(f"{error} Say it in fewer words in the file of --prompts.") from error
        pixels: NDArray[np.uint8] = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return pixels

    def describe(self) -> dict[str, Any]:
        """Sampler options, device, number of threads (which can change the last bits), and any frozen encoders' hashes."""
        device = self._pipeline.device
        encoders = self._pipeline.encoder_files
        is_cuda = device.type == "cuda"
        return {
            "adapter": "selfe",
            "sampler": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in asdict(self._options).items()
            },
            "device": torch.cuda.get_device_name(device) if is_cuda else str(device),
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            **({"encoders": encoders} if encoders else {}),
        }


def load_selfe_generator(
    checkpoint: CheckpointFolder, overrides: SamplerOverrides, device: str = "cpu"
) -> SelfeGenerator:
    """Load a verified checkpoint folder.

    Raises:
        UsageError: its files do not fit together.
    """
    return SelfeGenerator(checkpoint.name, load_pipeline(checkpoint, device), overrides)


def changed_sampler(pipeline: AnyStepPipeline, overrides: SamplerOverrides) -> SamplerOptions:
    """The checkpoint's own sampler options with the caller's changes.

    Raises:
        UsageError: they do not fit together.
    """
    try:
        return replace(pipeline.sampler, **overrides.changes())
    except SamplerError as error:
        raise UsageError(
            f"With the options of {pipeline.checkpoint.name} unless you say another: {error}"
        ) from error


def load_pipeline(checkpoint: CheckpointFolder, device: str = "cpu") -> AnyStepPipeline:
    """The pipeline of a checkpoint folder; what is wrong with its files becomes an error of ours.

    Raises:
        UsageError: its files do not fit together.
    """
    try:
        return AnyStepPipeline.load(checkpoint.folder, device=device)
    except (CheckpointError, EncoderError) as error:
        raise UsageError(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{checkpoint.folder / CONFIG_FILE} lacks or garbles what the network needs: {type(error).__name__} "
            f"{error}. Write the checkpoint again with `selfe-eval train`."
        ) from error
