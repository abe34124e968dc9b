from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.extract import FeatureViewer, extractor_folder, features_at
from selfe_eval.pipeline.generate import generate
from selfe_eval.pipeline.look import Viewer, look
from selfe_eval.pipeline.opening import existing_run, planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.score import GenEvalViewer
from selfe_eval.runs.images import read_images
from selfe_eval.runs.run import Run
from selfe_eval.runs.scores import read_scores
from tests.fakes import FakeGenerator, FakeScorer, MeanColor, small_record, small_suite

SUITE = small_suite(prompts_per_task=6)
RECORD = small_record(SUITE)
PER_STEP_COUNT = 36 * 2
"""36 prompts, 2 images: two batches of features a step count, 64 and 8 images."""


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """A run folder with images and nothing else."""
    with planned_run(tmp_path / "run", RECORD) as run:
        generate(run, SUITE, FakeGenerator, Silence())
    return tmp_path / "run"


def show(folder: Path, extractor: MeanColor, scorer: FakeScorer | None = None) -> Run:
    """Look at the images with an extractor, and with a scorer where one is given."""
    with existing_run(folder) as run:
        viewers: list[Viewer] = [FeatureViewer(run, extractor)]
        if scorer is not None:
            viewers.append(GenEvalViewer(run, SUITE, scorer))
        return look(run, viewers, Silence())


def mean_colors(run: Run, steps: int) -> NDArray[np.float64]:
    """What the extractor should say, read from the files by another way."""
    paths = [image.path for key, image in sorted(read_images(run.images_file).items()) if key.steps == steps]
    return np.stack([np.asarray(Image.open(run.folder / path)).mean(axis=(0, 1)) for path in paths])


def files_of(run: Run, extractor: MeanColor) -> Sequence[Path]:
    return sorted(extractor_folder(run, extractor).glob("*.safetensors"))


def test_features_are_those_of_the_images_in_the_order_of_the_plan(drawn: Path) -> None:
    """Each row is the extractor's answer on that image, whatever batch it lay in."""
    extractor = MeanColor()
    run = show(drawn, extractor)
    assert extractor.shown == [64, 8, 64, 8]
    for steps in (1, 4):
        images, features = features_at(run, extractor, steps)
        assert features.shape == (PER_STEP_COUNT, 3)
        assert [image.key.steps for image in images] == [steps] * PER_STEP_COUNT
        np.testing.assert_allclose(features[0:PER_STEP_COUNT], mean_colors(run, steps), rtol=1e-6)
        np.testing.assert_array_equal(features[60:70], features[0:PER_STEP_COUNT][60:70])


def test_nothing_is_computed_twice(drawn: Path) -> None:
    """A second look at unchanged images shows none of them to anybody, and writes nothing."""
    first = MeanColor()
    run = show(drawn, first)
    before = {path: path.stat().st_mtime_ns for path in files_of(run, first)}
    again = MeanColor()
    show(drawn, again)
    assert again.shown == []
    assert {path: path.stat().st_mtime_ns for path in files_of(run, again)} == before


def test_a_missing_file_costs_its_own_batch(drawn: Path) -> None:
    """Of the four batches only the one whose file is gone is computed again, to the same bytes."""
    run = show(drawn, MeanColor())
    lost = files_of(run, MeanColor())[1]
    content = lost.read_bytes()
    lost.unlink()
    again = MeanColor()
    show(drawn, again)
    assert again.shown == [8]
    assert lost.read_bytes() == content


def test_another_extractor_has_a_folder_of_its_own(drawn: Path) -> None:
    """Other weights or settings never meet the features of the former ones, and do not replace them."""
    old, new = MeanColor(), MeanColor(version=2)
    show(drawn, old)
    run = show(drawn, new)
    assert new.shown == [64, 8, 64, 8]
    assert extractor_folder(run, old) != extractor_folder(run, new)
    assert len(files_of(run, old)) == len(files_of(run, new)) == 4


def test_a_scorer_and_an_extractor_share_one_pass_and_one_changes_nothing_for_the_other(
    drawn: Path, tmp_path: Path
) -> None:
    """Together they keep what each keeps alone, also where one of them was there already."""
    together = show(drawn, MeanColor(), FakeScorer(batch_size=16))
    with planned_run(tmp_path / "alone", RECORD) as run:
        generate(run, SUITE, FakeGenerator, Silence())
        look(run, [GenEvalViewer(run, SUITE, FakeScorer(batch_size=16))], Silence())
    alone = show(tmp_path / "alone", MeanColor())
    name = "scores/geneval.jsonl"
    assert read_scores(together.folder / name) == read_scores(alone.folder / name)
    assert len(read_scores(together.folder / name)) == 2 * PER_STEP_COUNT
    for one, other in zip(files_of(together, MeanColor()), files_of(alone, MeanColor()), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_batch_sizes_that_do_not_divide_each_other_are_refused(drawn: Path) -> None:
    """Batches would cross those that a process takes as a whole."""
    with pytest.raises(ValueError, match="divide"):
        show(drawn, MeanColor(), FakeScorer(batch_size=5))


def test_a_damaged_image_stops_the_features_and_names_it(drawn: Path) -> None:
    """A distance over what can be read would be another number."""
    victim = drawn / "images/steps-004/00003/samples/0001.png"
    victim.write_bytes(b"no image")
    with pytest.raises(UntrustworthyError, match=r"steps-004/00003/samples/0001\.png has no features"):
        show(drawn, MeanColor())


def test_features_of_other_images_are_refused(drawn: Path) -> None:
    """A file that was made from other bytes than the record's is never read as theirs."""
    run = show(drawn, MeanColor())
    files = files_of(run, MeanColor())
    files[0].write_bytes(files[2].read_bytes())
    with pytest.raises(UntrustworthyError, match="was made from other images"):
        features_at(run, MeanColor(), 1)


def test_a_damaged_file_of_features_says_so(drawn: Path) -> None:
    """It is named, with what to do."""
    run = show(drawn, MeanColor())
    files_of(run, MeanColor())[0].write_bytes(b"torn")
    with pytest.raises(UntrustworthyError, match="Delete that file and score the run again"):
        features_at(run, MeanColor(), 1)
