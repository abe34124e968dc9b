"""What the harness checks of a generator, since anybody may write one: a broken adapter never becomes a number."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.errors import UntrustworthyError
from selfe_eval.generate.protocol import Generator


def stated_nfe(generator: Generator, num_steps: int) -> int | None:
    """Network evaluations an image takes at this step count; None where the generator does not know.

    Raises:
        UntrustworthyError: it says anything else than a whole number of at least 1, or None.
    """
    count: Any = generator.nfe(num_steps)
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise _broken(
            generator, f"says nfe({num_steps}) = {count!r}", "a whole number of at least 1, or None"
        )
    return int(count)


def stated_description(generator: Generator) -> dict[str, Any]:
    """What the generator says of itself, as ``run.json`` will give it back.

    Raises:
        UntrustworthyError: it is no JSON object.
    """
    said: Any = generator.describe()
    try:
        description = json.loads(json.dumps(said, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise _broken(generator, f"describes itself with what is no JSON ({error})", "JSON types") from error
    if not isinstance(description, dict):
        raise _broken(generator, f"describes itself with a {type(said).__name__}", "a dict of JSON types")
    return description


def checked_images(generator: Generator, images: object, num_prompts: int) -> NDArray[np.uint8]:
    """The images of a batch, once they are what the protocol says.

    Returns:
        (B, H, W, 3) uint8, RGB, one image for each prompt.

    Raises:
        UntrustworthyError: they are anything else.
    """
    expected = "uint8 images (batch, height, width, 3)"
    if not isinstance(images, np.ndarray):
        raise _broken(generator, f"returned a {type(images).__name__} for {num_prompts} prompts", expected)
    if (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[::3] != (num_prompts, 3)
        or not images.size
    ):
        raise _broken(
            generator, f"returned {images.dtype} of shape {images.shape} for {num_prompts} prompts", expected
        )
    return images


def _broken(generator: Generator, found: str, expected: str) -> UntrustworthyError:
    return UntrustworthyError(
        f"The generator {generator.name} {found}; expected {expected}. Its adapter is broken; nothing was kept."
    )
