"""Load a diffusers pipeline that has been looked through: safetensors only, no code of the folder, no network."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import diffusers
import torch
import transformers
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from selfe_eval.errors import UsageError
from selfe_eval.generate.diffusers_files import INDEX_FILE, PipelineFolder
from selfe_eval.generate.peers import PeerScheduler, PeerSettings

_DTYPE_NAMES = {"diffusers": "torch_dtype", "transformers": "dtype"}
"""What all versions that are allowed call the format of the weights."""
_HAS_ACCELERATE = find_spec("accelerate") is not None
"""Without it there is but one way to load, and the libraries say so at length where they are not told."""
_NEEDED = ("prompt", "num_inference_steps", "generator", "output_type", "height", "width")
"""Arguments of every text-to-image pipeline."""
_FOREIGN = ("image", "mask_image", "control_image", "video", "num_frames", "class_labels")
"""Arguments of pipelines that start from something else than a text, or draw something else than an image."""


def load_pipeline(folder: PipelineFolder, settings: PeerSettings, device: str) -> Any:
    """Load a pipeline onto a device, without a safety checker or a watermark.

    Raises:
        UsageError: it is no text-to-image pipeline of diffusers, its files do not fit together, or the device's memory
            does not hold it.
    """
    kind = _pipeline_class(folder)
    options = {name: value for name, value in _PLAIN.items() if name in inspect.signature(kind).parameters}
    with _quiet():
        try:
            networks = {part: _network(folder, part, settings) for part in folder.networks}
            pipeline = kind.from_pretrained(
                folder.root,
                local_files_only=True,
                trust_remote_code=False,
                low_cpu_mem_usage=_HAS_ACCELERATE,
                **networks,
                **options,
            )
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(
                f"{folder.root} cannot be loaded as a {folder.class_name}: {type(error).__name__}: {_beginning(error)} Copy the "
                f"whole pipeline again, or use the versions of diffusers (here {diffusers.__version__}) and transformers (here "
                f"{transformers.__version__}) that wrote it."
            ) from error
    if settings.scheduler:
        pipeline.scheduler = _scheduler(pipeline.scheduler, settings.scheduler)
    pipeline.set_progress_bar_config(disable=True)
    try:
        return pipeline.to(device)
    except torch.OutOfMemoryError as error:
        raise UsageError(
            f"The memory of {device} does not hold {folder.root} in {settings.dtype}. Free it of other programs, or use "
            "another device."
        ) from error


_PLAIN: dict[str, Any] = {
    "safety_checker": None,
    "requires_safety_checker": False,
    "add_watermarker": False,
}
"""What would change pictures after they are drawn is switched off, whatever is installed."""


def _pipeline_class(folder: PipelineFolder) -> Any:
    kind = getattr(diffusers, folder.class_name, None)
    if not (inspect.isclass(kind) and issubclass(kind, diffusers.DiffusionPipeline)):
        raise UsageError(
            f"{folder.root / INDEX_FILE} names the pipeline {folder.class_name}, which diffusers {diffusers.__version__} does "
            "not have. Upgrade diffusers; a pipeline of your own is given as --model module:attribute."
        )
    if kind._load_connected_pipes:  # noqa: SLF001 - the only word that diffusers has for it
        raise UsageError(
            f"{folder.root} is a {folder.class_name}, which draws with a second pipeline that its README.md names and that runs "
            "its own number of steps. Wrap both as --model module:attribute."
        )
    takes = inspect.signature(kind.__call__).parameters
    missing = [name for name in _NEEDED if name not in takes]
    foreign = [name for name in _FOREIGN if name in takes]
    if missing or (foreign and not _draws_without(foreign, kind)):
        what = f"takes {', '.join(foreign)}" if foreign else f"takes no {', '.join(missing)}"
        raise UsageError(
            f"{folder.root} is a {folder.class_name}, which {what}: it does not draw an image from a text alone. Give a "
            "text-to-image pipeline, or wrap this one as --model module:attribute."
        )
    return kind


def _draws_without(foreign: list[str], kind: type) -> bool:
    """Whether all that a pipeline could start from is an image it can do without, as FLUX.2: diffusers lists those."""
    if foreign != ["image"] or "Control" in kind.__name__:
        return False
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    return kind in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()


def _network(folder: PipelineFolder, part: str, settings: PeerSettings) -> Any:
    """One network with every weight from its files: the libraries fill what is missing with random numbers."""
    library, class_name = folder.parts[part]
    kind: Any = getattr({"diffusers": diffusers, "transformers": transformers}[library], class_name, None)
    is_network = (
        inspect.isclass(kind) and issubclass(kind, torch.nn.Module) and hasattr(kind, "from_pretrained")
    )
    if not is_network:
        raise UsageError(
            f"{library} has no network {class_name!r}, the {part} of {folder.root}. Upgrade {library}."
        )
    network, report = kind.from_pretrained(
        folder.networks[part],
        **{_DTYPE_NAMES[library]: getattr(torch, settings.dtype)},
        variant=_variant_there(folder, part, settings.variant),
        use_safetensors=True,
        local_files_only=True,
        low_cpu_mem_usage=_HAS_ACCELERATE,
        output_loading_info=True,
    )
    if missing := sorted(report["missing_keys"]):
        raise UsageError(
            f"The weights of the {part} in {folder.networks[part]} lack {len(missing)} of the {class_name}'s tensors "
            f"({missing[0]} is the first): it would draw with random numbers in their place. Copy the part again."
        )
    return network


def _variant_there(folder: PipelineFolder, part: str, variant: str | None) -> str | None:
    """The variant, where the part has files of it: a part without takes the unnamed ones."""
    names = [path.name for name, path in folder.files.items() if name.startswith(f"{part}/")]
    return variant if any(f".{variant}" in name for name in names) else None


def _beginning(error: Exception) -> str:
    """The first two lines of a message that may be hundreds long."""
    return " ".join(line.strip() for line in str(error).splitlines()[:2])


def _scheduler(own: Any, chosen: PeerScheduler) -> Any:
    kind: Any = getattr(diffusers, chosen.name, None)
    is_scheduler = inspect.isclass(kind) and issubclass(kind, diffusers.SchedulerMixin)
    if not is_scheduler:
        raise UsageError(
            f"No scheduler {chosen.name!r} in diffusers {diffusers.__version__}: expected a class name such as LCMScheduler."
        )
    return kind.from_config(own.config, **chosen.options)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' own progress bars, for the caller shows its own, and one warning that names no fault of ours."""
    switches = [log for log in (diffusers_logging, transformers_logging) if log.is_progress_bar_enabled()]
    for log in switches:
        log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", ".*torch_dtype.*", FutureWarning
            )  # older versions know no `dtype`
            yield
    finally:
        for log in switches:
            log.enable_progress_bar()
