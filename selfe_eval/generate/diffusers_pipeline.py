"""Any diffusers text-to-image pipeline as a generator: the same prompts, seeds and step counts, its own conventions.

Each image has a stream of random numbers of its own, on the CPU and seeded with the image's seed, so that its first noise
is the same at every step count, in every batch and on every device. A pipeline that draws noise from anywhere else is
refused: its images would depend on their neighbours.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.generate.denoiser_calls import counted, denoisers_of
from selfe_eval.generate.diffusers_files import pipeline_folder
from selfe_eval.generate.diffusers_loading import load_pipeline
from selfe_eval.generate.guidance_conventions import chosen_guidance, convention_of
from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.generate.peers import PeerSettings

_OWN_ARGUMENTS = (
    "prompt",
    "negative_prompt",
    "num_inference_steps",
    "guidance_scale",
    "height",
    "width",
    "generator",
    "latents",
    "num_images_per_prompt",
    "output_type",
    "return_dict",
)
"""What the harness itself says in a call; settings may not."""


class DiffusersGenerator:
    """A loaded diffusers pipeline behind the Generator protocol."""

    def __init__(
        self,
        name: str,
        pipeline: Any,
        settings: PeerSettings,
        overrides: SamplerOverrides,
        *,
        left_out: Sequence[str] = (),
    ) -> None:
        self.name = name
        self._pipeline = pipeline
        self._settings = settings
        self._left_out = tuple(left_out)
        self._defaults = _call_defaults(pipeline)
        self._denoisers = denoisers_of(pipeline.components, name=name)
        self._evaluations: dict[int, int] = {}
        _refuse_foreign_overrides(name, overrides)
        _refuse_unknown_arguments(name, settings, self._defaults)
        self._guidance = chosen_guidance(
            name,
            convention_of(
                self._defaults, [pipeline.config, *(network.config for network in self._denoisers.values())]
            ),
            self._defaults,
            scale=settings.guidance,
            asked=overrides.guidance,
            negative_prompt=overrides.negative_prompt,
        )

    def nfe(self, num_steps: int) -> int:
        """Network evaluations for one image, counted on an image that is thrown away.

        Raises:
            UsageError: the pipeline cannot draw with so many steps.
        """
        if num_steps not in self._evaluations:
            self._draw([""], [0], num_steps, output_type="latent")
        return self._evaluations[num_steps]

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], num_steps: int) -> NDArray[np.uint8]:
        """Draw one image for each prompt and its seed: (B, H, W, 3) uint8, RGB.

        Raises:
            UsageError: the pipeline cannot draw with so many steps, at this size, or so many images at once.
            UntrustworthyError: pixels are not finite, the noise is not the image's own, or another number of network
                evaluations ran than before.
        """
        pixels = self._draw(prompts, seeds, num_steps, output_type="np")
        if not np.isfinite(pixels).all():
            raise UntrustworthyError(
                f"{self.name} drew pixels that are no numbers at {num_steps} steps: {self._settings.dtype} does not hold its "
                "activations. Use bfloat16 or float32. Nothing of this batch was kept."
            )
        if pixels.dtype.kind != "f" or pixels.min() < 0 or pixels.max() > 1:
            raise UntrustworthyError(
                f"{self.name} gives pixels of {pixels.dtype} from {pixels.min()} to {pixels.max()} where diffusers promises "
                "fractions from 0 to 1: nobody knows what is black and what is white. Wrap it as --model module:attribute."
            )
        self._refuse_another_size(pixels.shape[1:3])
        return np.rint(pixels * 255).astype(np.uint8)

    def describe(self) -> dict[str, Any]:
        """Pipeline, scheduler, guidance, sizes, versions and device."""
        pipeline, guidance = self._pipeline, self._guidance
        device = pipeline.device
        return {
            "adapter": "diffusers",
            "pipeline": type(pipeline).__name__,
            "components": {
                part: type(component).__name__
                for part, component in pipeline.components.items()
                if component is not None
            },
            "left_out": list(self._left_out),
            "scheduler": {
                "class": type(pipeline.scheduler).__name__,
                "config": json.loads(json.dumps(dict(pipeline.scheduler.config), default=str)),
            },
            "guidance": {
                "convention": guidance.convention,
                "scale": guidance.scale,
                "negative_prompt": guidance.negative_prompt,
            },
            "settings": self._settings.as_json(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        }

    def _draw(
        self, prompts: Sequence[str], seeds: Sequence[int], num_steps: int, *, output_type: str
    ) -> NDArray[np.float32]:
        with counted(self._denoisers) as count, _own_noise_only(self.name, self._pipeline.device):
            try:
                images = self._pipeline(
                    prompt=list(prompts),
                    num_inference_steps=num_steps,
                    generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
                    output_type=output_type,
                    **self._guidance.arguments(len(prompts)),
                    **_size(self._settings),
                    **{**step_arguments(self._defaults, num_steps), **self._settings.call},
                ).images
            except ValueError as error:
                raise UsageError(
                    f"{self.name} cannot draw with --steps {num_steps} at these settings: {error} Ask for other "
                    "--steps, or change its settings."
                ) from error
            except torch.OutOfMemoryError as error:
                raise UsageError(
                    f"The memory of {self._pipeline.device} does not hold {self.name} in {self._settings.dtype} and a batch of "
                    f"{len(prompts)} images. Say a smaller --batch-size, which begins another run, or free it of other programs."
                ) from error
        self._remember(num_steps, count.evaluations, len(prompts))
        return np.asarray(images.float().cpu() if isinstance(images, torch.Tensor) else images)

    def _refuse_another_size(self, found: tuple[int, ...]) -> None:
        asked = (self._settings.height or found[0], self._settings.width or found[1])
        if asked != found:
            raise UsageError(
                f"{self.name} drew images of {found[0]} by {found[1]} pixels (height by width) where {asked[0]} by {asked[1]} "
                "were asked for: its sizes go in larger steps. Ask for a size that it has."
            )

    def _remember(self, num_steps: int, evaluations: int, num_images: int) -> None:
        each, rest = divmod(evaluations, num_images)
        if rest or self._evaluations.setdefault(num_steps, each) != each:
            raise UntrustworthyError(
                f"{self.name} ran {evaluations} network evaluations for {num_images} images at {num_steps} steps, where one "
                f"image took {self._evaluations.get(num_steps, 'none')} before. A sampler whose work depends on the image has "
                "no NFE; use a scheduler with a fixed number of evaluations."
            )


def load_diffusers_generator(
    source: str, settings: PeerSettings, overrides: SamplerOverrides, device: str = "cpu"
) -> DiffusersGenerator:
    """Load a pipeline from a folder or hub name.

    Raises:
        UsageError: it cannot be loaded safely, is no text-to-image pipeline, or has no such option.
    """
    folder = pipeline_folder(source, settings)
    pipeline = load_pipeline(folder, settings, device)
    return DiffusersGenerator(Path(source).name, pipeline, settings, overrides, left_out=folder.left_out)


def step_arguments(defaults: Mapping[str, Any], num_steps: int) -> dict[str, Any]:
    """What a pipeline must be told at some step counts only.

    SANA-Sprint's middle time, 1.3, is for two steps; at other counts it must be left out, and its times are spaced evenly.
    """
    return {"intermediate_timesteps": None} if "intermediate_timesteps" in defaults and num_steps != 2 else {}


def _call_defaults(pipeline: Any) -> dict[str, Any]:
    """Arguments of the pipeline's call with their defaults."""
    takes = inspect.signature(type(pipeline).__call__).parameters.values()
    return {item.name: item.default for item in takes if item.kind is not inspect.Parameter.VAR_KEYWORD}


def _size(settings: PeerSettings) -> dict[str, int]:
    return {name: size for name in ("height", "width") if (size := getattr(settings, name)) is not None}


def _refuse_foreign_overrides(name: str, overrides: SamplerOverrides) -> None:
    """The options of Self-E's own sampler mean nothing to a scheduler of diffusers.

    Raises:
        UsageError: one is set.
    """
    foreign = sorted(set(overrides.changes()) - {"guidance", "negative_prompt"})
    if foreign:
        flags = ", ".join("--" + option.replace("_", "-") for option in foreign)
        raise UsageError(
            f"{flags}: an option of Self-E's own sampler, which {name} does not use: its scheduler is diffusers'. Leave it out."
        )


def _refuse_unknown_arguments(name: str, settings: PeerSettings, defaults: Mapping[str, Any]) -> None:
    for argument in settings.call:
        if argument not in defaults or argument in _OWN_ARGUMENTS:
            raise UsageError(
                f"The settings of {name} pass {argument!r} to its call, which "
                + ("has no such argument." if argument not in defaults else "is for the harness to say.")
            )


@contextmanager
def _own_noise_only(name: str, device: torch.device) -> Iterator[None]:
    """Watch that no random number comes from a stream that images share."""
    before = _shared_streams(device)
    yield
    if any(not torch.equal(old, new) for old, new in zip(before, _shared_streams(device), strict=True)):
        raise UntrustworthyError(
            f"{name} drew random numbers from a stream that all images share, so that its images depend on their neighbours. Its "
            "scheduler adds noise without asking for the image's own stream: choose another scheduler."
        )


def _shared_streams(device: torch.device) -> list[torch.Tensor]:
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
