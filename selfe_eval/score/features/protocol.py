"""What an extractor is: RGB images in, one feature vector for each out. There is no torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from selfe_eval import provenance
from selfe_eval.runs.scores import protocol_of
from selfe_eval.score.detectors.protocol import RgbImages


class Extractor(Protocol):
    """A trained network that turns images into vectors."""

    name: str
    """Its key in the table of extractors."""
    width: int
    """Numbers of a vector, d."""

    def extract(self, images: RgbImages) -> NDArray[np.float32]:
        """The vectors of B images, of any size: (B, d) float32, in order, not normalised.

        Rounding aside it does not matter which images are handed over together.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Everything that decides the vectors, and the machine. JSON types only.

        ``extractor``, ``weights_sha256``, ``resize``, ``layer`` and the like; the machine under keys that `protocol_of`
        leaves out.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Texts:
    """Texts as a CLIP model reads them."""

    features: NDArray[np.float32]
    """(N, d), not normalised."""
    truncated: NDArray[np.bool_]
    """(N,) whether the end of the text did not fit the model's context."""


@runtime_checkable
class ClipTowers(Extractor, Protocol):
    """An extractor that reads texts too, into the same space."""

    def read(self, texts: Sequence[str]) -> Texts:
        """The vectors of N texts."""
        ...


def extractor_id(extractor: Extractor) -> str:
    """First 16 digits of the hash of the extractor's description, the machine left out."""
    return provenance.json_sha256(protocol_of(extractor.describe()))[:16]
