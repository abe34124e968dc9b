"""Training data from pictures and captions, encoded while the model trains."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from selfe.autoencoder import patchify, to_unit_range
from selfe.condition import Condition
from selfe.data.batches import PictureBatches
from selfe.data.read_ahead import ReadAhead
from selfe.encoders.protocol import LatentCoder, PromptReader
from selfe.training.trainer import Captioned


def fake_prompt(caption: str) -> str:
    """The caption c_fake of a picture that the model made itself: the paper puts the phrase "fake image" beside it."""
    return f"{caption} fake image".lstrip()


class EncodedPictures:
    """Pictures through a frozen autoencoder and captions through a reader; implements ``selfe.training.trainer.LatentSource``.

    Pictures are encoded in bfloat16 autocast; captions exactly as the sampler has them read. Neither takes part in training.
    """

    def __init__(
        self,
        batches: PictureBatches,
        coder: LatentCoder,
        reader: PromptReader,
        *,
        device: torch.device,
        parts: Sequence[int],
        with_fake: bool = False,
        num_threads: int = 4,
    ) -> None:
        """Encode on a device.

        Args:
            batches: Of which pictures.
            coder: Encodes pictures; lies on ``device``.
            reader: Reads captions.
            device: Where pictures are encoded.
            parts: The parts of each step that this process computes (``selfe.training.parallel.own_parts``), to read ahead.
            with_fake: Whether a batch carries its captions with the phrase "fake image" too.
            num_threads: Threads that decode pictures.
        """
        self.batches = batches
        self._ahead = ReadAhead(batches, parts, num_threads=num_threads)
        self._coder = coder
        self._reader = reader
        self._device = device
        self._with_fake = with_fake
        self._null = self._read([""])

    @property
    def null(self) -> Condition:
        """The null prompt phi, one row."""
        return self._null

    def batch(self, step: int, part: int) -> Captioned:
        """One part of the batch of a step, encoded; its latents lie on the device.

        Raises:
            NoPicturesError: every picture of a bucket is broken.
            ValueError: a caption is longer than the reader reads.
        """
        pictures = self._ahead.at(step, part)
        with torch.no_grad(), torch.autocast(self._device.type, torch.bfloat16):
            latents = patchify(self._coder.encode(to_unit_range(pictures.images.to(self._device))))
        return Captioned(
            latents.float(),
            self._read(pictures.captions),
            pictures.grid,
            self._read([fake_prompt(caption) for caption in pictures.captions]) if self._with_fake else None,
        )

    @torch.no_grad()
    def _read(self, prompts: list[str]) -> Condition:
        return self._reader(prompts)
