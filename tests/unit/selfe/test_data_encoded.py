from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfe.autoencoder import Autoencoder, AutoencoderConfig, patchify, to_unit_range
from selfe.buckets import Bucket
from selfe.condition import Condition
from selfe.data.batches import BatchOptions, PictureBatches, Turn
from selfe.data.encoded import EncodedPictures
from selfe.data.pictures import BrokenPictureError, Entry, NoPicturesError
from selfe.objectives.self_e import SelfE
from selfe.text import Tokeniser
from selfe.training.trainer import ModelTraining, Recipe
from tests.unit.selfe import tiny

CPU = torch.device("cpu")


class Noise:
    """Pictures of noise, square and wide in turn."""

    def __init__(self, broken: frozenset[int] = frozenset()) -> None:
        self.broken = broken
        self.skipped: dict[str, str] = {}

    def __len__(self) -> int:
        return 12

    def entry(self, number: int) -> Entry:
        return Entry(name=str(number), width=64 if number % 2 else 32, height=32, caption=f"dog {number}")

    def read(self, number: int) -> NDArray[np.uint8]:
        if number in self.broken:
            raise BrokenPictureError(f"{number}: broken")
        entry = self.entry(number)
        shape = (entry.height, entry.width, 3)
        return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


class Coder:
    """Cells of 8 x 8 px, averaged, are the latents of all 16 channels; tells whether it was asked to train."""

    def encode(self, images_BCHW: Tensor) -> Tensor:  # noqa: N803 (the protocol's name)
        assert not torch.is_grad_enabled()
        assert torch.is_autocast_enabled("cpu")
        grey = images_BCHW.mean(dim=1, keepdim=True)
        return torch.nn.functional.avg_pool2d(grey, 8).repeat(1, 16, 1, 1)

    def decode(self, latents_BChw: Tensor) -> Tensor:  # noqa: N803 (the protocol's name)
        return latents_BChw


class Reader:
    """A prompt's tokens are the numbers of its letters; counts how often it is asked for the null prompt."""

    def __init__(self) -> None:
        self.num_nulls = 0
        self.scale = torch.ones((), requires_grad=True)

    def __call__(self, prompts: list[str]) -> Condition:
        self.num_nulls += prompts == [""]
        tokens = torch.zeros(len(prompts), 32, 1)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt), 0] = torch.tensor([float(ord(letter)) for letter in prompt])
        mask = tokens[:, :, 0] > 0
        mask[:, 0] = True
        return Condition(tokens * self.scale, mask)

    def unknown_words(self, prompt: str) -> list[str]:
        del prompt
        return []


def written(c: Condition) -> list[str]:
    return ["".join(chr(int(number)) for number in row if number) for row in c.tokens[:, :, 0].tolist()]


def batches(broken: frozenset[int] = frozenset()) -> PictureBatches:
    options = BatchOptions(num_rows=3, num_parts=2, seed=0)
    return PictureBatches(Noise(broken), [Turn(buckets=(Bucket(32, 32), Bucket(32, 64)))], options)


def source(reader: Reader, *, with_fake: bool = False, parts: range = range(2)) -> EncodedPictures:
    return EncodedPictures(batches(), Coder(), reader, device=CPU, with_fake=with_fake, parts=parts)


def test_latents_and_captions_are_those_of_the_pictures() -> None:
    """Latents are patchify(encode(pixels in [-1, 1])) row by row on their grid; captions are read as they are."""
    encoded = source(Reader())
    for step in range(2):
        for part in range(2):
            pictures, data = batches().at(step, part), encoded.batch(step, part)
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                expected = patchify(Coder().encode(to_unit_range(pictures.images))).float()
            assert torch.equal(data.latents, expected)
            assert data.latents.shape[1] == data.grid[0] * data.grid[1]
            assert data.grid == pictures.grid
            assert written(data.c) == pictures.captions
            assert data.c_fake is None


def test_fake_captions_carry_the_phrase_and_the_null_prompt_is_read_once() -> None:
    """c_fake is the caption with "fake image" behind it; nothing that is read can be trained."""
    reader = Reader()
    encoded = source(reader, with_fake=True)
    data = encoded.batch(0, 0)

    assert data.c_fake is not None
    assert written(data.c_fake) == [f"{caption} fake image" for caption in written(data.c)]
    assert encoded.null.mask.shape[0] == 1
    assert encoded.null is encoded.null
    assert reader.num_nulls == 1
    assert not any(c.tokens.requires_grad for c in (encoded.null, data.c, data.c_fake))


@pytest.mark.parametrize("parts", [range(2), range(0, 2, 2), range(1, 2, 2)])
def test_reading_ahead_changes_nothing(parts: range) -> None:
    """In the expected order, out of it, twice and backwards: the rows are those of the plan."""
    encoded = source(Reader(), parts=parts)
    order = [(step, part) for step in range(3) for part in parts] + [(2, 0), (2, 0), (0, 1), (1, 1), (7, 0)]
    for step, part in order:
        assert written(encoded.batch(step, part).c) == batches().at(step, part).captions


def test_broken_pictures_met_on_the_way_are_named_and_a_hopeless_bucket_stops_training() -> None:
    """An error of the reading threads reaches the trainer at the part that needs it."""
    some = EncodedPictures(batches(frozenset({2})), Coder(), Reader(), device=CPU, parts=range(2))
    for step in range(2):
        for part in range(2):
            some.batch(step, part)
    assert some.batches.skipped == {"2": "2: broken"}

    none = EncodedPictures(batches(frozenset(range(12))), Coder(), Reader(), device=CPU, parts=range(2))
    with pytest.raises(NoPicturesError, match="All 6 pictures"):
        none.batch(0, 0)


def test_a_model_trains_on_pictures() -> None:
    """The trainer takes this source like any other: two steps on the bundled autoencoder's geometry, Self-E's loss finite."""
    sizes = AutoencoderConfig(encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8))
    words = Tokeniser(tiny.TEXT)
    encoded = EncodedPictures(batches(), Autoencoder(sizes).eval(), words, device=CPU, parts=range(2))
    recipe = Recipe(objective=SelfE(), num_steps=2, micro_batches=2, warmup_steps=1)
    training = ModelTraining(tiny.config(), recipe, encoded, device=CPU)

    for step in range(2):
        assert torch.isfinite(torch.as_tensor(training.train_step(step)["loss"]))
