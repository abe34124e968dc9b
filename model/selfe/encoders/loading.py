"""Load a frozen network from a directory: safetensors only, no code of others, no weight left at random."""

from __future__ import annotations

from typing import Any

import torch

from selfe.encoders.places import EncoderError, FrozenPart


def load_frozen(kind: Any, part: FrozenPart, **options: Any) -> Any:
    """A network of transformers or diffusers, in eval mode, without gradients.

    Args:
        kind: Its class, with ``from_pretrained``.
        part: Where it lies.
        options: For ``from_pretrained``, such as its dtype, which the two libraries spell differently.

    Raises:
        EncoderError: a file cannot be read, does not fit its configuration, or lacks weights.
    """
    try:
        network, report = kind.from_pretrained(
            part.folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **options
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise EncoderError(
            f"The {part.role.about} in {part.folder} cannot be loaded: {error}. Copy it again."
        ) from error
    if report["missing_keys"]:
        raise EncoderError(
            f"The weights of the {part.role.about} in {part.folder} lack {len(report['missing_keys'])} tensors, such as "
            f"{min(report['missing_keys'])}. Copy it again."
        )
    assert isinstance(network, torch.nn.Module)
    return network.eval().requires_grad_(requires_grad=False)
