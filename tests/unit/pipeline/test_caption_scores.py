"""CLIP-score and spread of a run, from features whose angles are known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from selfe_eval.errors import UntrustworthyError
from selfe_eval.metrics import METRICS, Measured
from selfe_eval.pipeline.caption_scores import FeatureBlock, write_clip_scores, write_spread
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.records import ImageKey
from selfe_eval.runs import layout
from selfe_eval.runs.images import ImageRecord
from selfe_eval.runs.run import Run
from selfe_eval.runs.values import read_values
from selfe_eval.score.clip_score import PROTOCOLS, mean_score, protocol_for
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.features.protocol import Texts
from tests.fakes import small_record, small_suite

SUITE = small_suite()
SPREAD = Measured(metric=METRICS["spread"], extractor="openmoji-clip")


class FakeTowers:
    """Reads a text that ends in an even digit as the first axis of the plane, else the second; 19 letters at most."""

    name = "fake"
    width = 2

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self.read_texts: list[str] = []

    def read(self, texts: Sequence[str]) -> Texts:
        self.read_texts = list(texts)
        axes = [[0.0, 2.0] if int(text[-1]) % 2 else [2.0, 0.0] for text in texts]
        truncated = [len(text) > 19 for text in texts]
        return Texts(features=np.array(axes, np.float32), truncated=np.array(truncated))

    def extract(self, images: RgbImages) -> NDArray[np.float32]:
        raise AssertionError(f"{len(images)} images were looked at")

    def describe(self) -> dict[str, Any]:
        return {"extractor": self.name, "weights_sha256": "6" * 64, "device": self._device}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """A run of the small suite: 12 prompts, step counts 1 and 4, two images each."""
    with planned_run(tmp_path / "run", small_record(SUITE)) as run:
        yield run


def _vector(key: ImageKey) -> list[float]:
    """Cosines to the two axes: 0.6 and 0.8; at four steps 0.8 and 0.6, of the second image -0.6 and 0.8."""
    if key.steps == 1:
        return [3.0, 4.0]
    return [4.0, 3.0] if key.image_index == 0 else [-3.0, 4.0]


def _blocks(run: Run, keys: Sequence[ImageKey] | None = None, size: int = 5) -> Iterator[FeatureBlock]:
    """The planned images in blocks that cross prompts, one at a time."""
    keys = planned_keys(run.record) if keys is None else keys
    for start in range(0, len(keys), size):
        part = keys[start : start + size]
        yield FeatureBlock(
            images=[ImageRecord(key=key, path=f"{key}.png", sha256=f"sha of {key}") for key in part],
            features=np.array([_vector(key) for key in part], np.float32),
        )


def _scored(run: Run, protocol: str = "default", towers: FakeTowers | None = None) -> bool:
    measured, found = protocol_for(protocol, "openmoji")
    return write_clip_scores(run, SUITE, measured, found, towers or FakeTowers(), _blocks(run))


def _document(run: Run, stem: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(layout.scorer_path(run.folder, stem).read_text())
    return document


def test_every_planned_image_has_its_score(run: Run) -> None:
    """Each image's number is the angle between its features and its own prompt's, with its hash and the protocol's."""
    assert _scored(run)
    values = read_values(layout.scores_path(run.folder, "clip-score.openmoji-clip"))
    assert list(values) == planned_keys(run.record)
    for key, record in values.items():
        by_axis = (60.0, 80.0) if key.steps == 1 else ((80.0, 60.0), (0.0, 80.0))[key.image_index]
        expected = by_axis[key.prompt_id % 2]
        assert record.value == pytest.approx(expected, abs=1e-12)
        assert record.image_sha256 == f"sha of {key}"
    assert len({record.scorer for record in values.values()}) == 1


def test_torchmetrics_keeps_negative_numbers_for_its_mean(run: Run) -> None:
    """Its clamp comes last, so that images that fit worse than not at all count."""
    _scored(run, "torchmetrics")
    values = read_values(layout.scores_path(run.folder, "clip-score.torchmetrics"))
    at_four = np.array(
        [record.value for key, record in values.items() if key.steps == 4 and key.prompt_id % 2 == 0]
    )
    assert at_four.min() == pytest.approx(-60.0)
    assert mean_score(at_four, PROTOCOLS["torchmetrics"].clamp) == pytest.approx(10.0)


def test_a_prefix_stands_before_every_prompt(run: Run) -> None:
    """What the network reads is the protocol's words and the prompt's, and only the run's prompts are read."""
    towers = FakeTowers()
    _scored(run, "hessel", towers)
    assert towers.read_texts == [f"A photo depicts {prompt.text}" for prompt in SUITE.prompts]


def test_the_protocol_and_the_truncated_prompts_stand_beside_the_numbers(run: Run) -> None:
    """Prefix, scale, clamp and extractor are recorded without the machine; prompts cut short are counted."""
    _scored(run)
    document = _document(run, "clip-score.openmoji-clip")
    assert document == {
        "protocol": {
            "metric": "clip-score",
            "name": "default",
            "prefix": "",
            "scale": 100.0,
            "clamp": "image",
            "extractor": {"extractor": "fake", "weights_sha256": "6" * 64},
        },
        "notes": [
            "The network could not read 2 of 12 prompts to their end, first prompt 10: 'a photo of prompt 10'."
        ],
    }
    _scored(run, "hessel")
    (note,) = _document(run, "clip-score.hessel")["notes"]
    assert "12 of 12 prompts to their end, first prompt 0: 'A photo depicts a photo of prompt 0'" in note


def test_what_has_not_changed_is_not_written(run: Run) -> None:
    """A second look leaves the files alone, on another device too; a lost or changed file is written again."""
    assert _scored(run)
    path = layout.scores_path(run.folder, "clip-score.openmoji-clip")
    before = path.stat().st_mtime_ns, path.read_bytes()
    assert not _scored(run)
    assert not _scored(run, towers=FakeTowers("cuda"))
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    path.write_bytes(before[1][:-30])
    assert _scored(run)
    assert path.read_bytes() == before[1]


def test_a_feature_that_is_no_number_is_no_score(run: Run) -> None:
    """A network that overflows is said, with its image, and nothing is written."""
    broken = [
        FeatureBlock(images=block.images, features=block.features * np.float32(0)) for block in _blocks(run)
    ]
    measured, protocol = protocol_for("default", "openmoji")
    with pytest.raises(UntrustworthyError, match=r"clip-score\[openmoji-clip\] of .* is nan"):
        write_clip_scores(run, SUITE, measured, protocol, FakeTowers(), broken)
    assert not layout.scores_path(run.folder, measured.file_stem).exists()


def test_spread_compares_the_images_of_one_prompt_and_step_count(run: Run) -> None:
    """Equal images at one step have none; at four the cosine of the two is 0, so each is 1 from the other."""
    assert write_spread(run, SPREAD, FakeTowers().describe(), _blocks(run))
    values = read_values(layout.scores_path(run.folder, "spread.openmoji-clip"))
    assert list(values) == planned_keys(run.record)
    for key, record in values.items():
        assert record.value == pytest.approx(0.0 if key.steps == 1 else 1.0, abs=1e-12)
    document = _document(run, "spread.openmoji-clip")
    assert document["protocol"]["extractor"] == {"extractor": "fake", "weights_sha256": "6" * 64}
    assert document["notes"] == []
    assert not write_spread(run, SPREAD, FakeTowers("cuda").describe(), _blocks(run, size=7))


def test_one_prompt_at_two_step_counts_is_two_groups(run: Run) -> None:
    """Images of different step counts are never compared, though they follow each other where there is one prompt."""
    keys = [key for key in planned_keys(run.record) if key.prompt_id == 0]
    write_spread(run, SPREAD, FakeTowers().describe(), _blocks(run, keys))
    values = read_values(layout.scores_path(run.folder, "spread.openmoji-clip"))
    assert [record.value for record in values.values()] == pytest.approx([0.0, 0.0, 1.0, 1.0], abs=1e-12)


def test_an_image_alone_has_no_spread(run: Run) -> None:
    """Missing is not zero: where a prompt has lost all but one image, that is noted and no number is written."""
    lost = ImageKey(steps=4, prompt_id=3, image_index=1)
    keys = [key for key in planned_keys(run.record) if key != lost]
    write_spread(run, SPREAD, FakeTowers().describe(), _blocks(run, keys))
    values = read_values(layout.scores_path(run.folder, "spread.openmoji-clip"))
    assert len(values) == len(planned_keys(run.record)) - 2
    assert all((key.steps, key.prompt_id) != (4, 3) for key in values)
    (note,) = _document(run, "spread.openmoji-clip")["notes"]
    assert note.startswith("1 times a prompt had a single image")
