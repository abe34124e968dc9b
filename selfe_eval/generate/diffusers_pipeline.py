"""Any diffusers text-to-image pipeline as a generator."""

from __future__ import annotations

from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.generate.peers import PeerSettings
from selfe_eval.generate.protocol import Generator


def load_diffusers_generator(
    source: str, settings: PeerSettings, overrides: SamplerOverrides, device: str = "cpu"
) -> Generator:
    """Load a pipeline from a folder or hub name.

    Raises:
        UsageError: it cannot be loaded safely, is no text-to-image pipeline, or has no such option.
    """
    raise NotImplementedError
