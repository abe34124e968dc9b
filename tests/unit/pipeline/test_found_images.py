from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.found_images import find_images, record_images
from selfe_eval.pipeline.geneval import FoundImagesJob, found_again
from selfe_eval.pipeline.opening import existing_run, planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.score import score
from selfe_eval.pipeline.summarise import summarise
from selfe_eval.records import ImageKey
from selfe_eval.report.summary import Summary
from tests.fakes import FakeScorer, small_suite

SUITE = small_suite()
EVERYTHING_RIGHT = FakeScorer(threshold=256)


def png(shade: int = 7, size: tuple[int, int] = (8, 8)) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((*size, 3), shade, dtype=np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two images of each prompt in the official layout, with five-digit names."""
    for prompt in SUITE.prompts:
        samples = tmp_path / "images" / f"{prompt.prompt_id:05d}" / "samples"
        samples.mkdir(parents=True)
        (samples.parent / "metadata.jsonl").write_text(json.dumps(prompt.metadata()))
        for index in range(2):
            (samples / f"{index:05d}.png").write_bytes(png(prompt.prompt_id))
    return tmp_path / "images"


def score_all(images: Path, out: Path) -> Summary:
    job = FoundImagesJob(found=find_images(images, SUITE), suite=SUITE, model="theirs")
    with planned_run(out, job.record()) as run:
        record_images(run, found_again(run, SUITE))
        return summarise(score(run, SUITE, EVERYTHING_RIGHT, Silence()), SUITE)[1]


def test_a_whole_folder_is_found_whole(images: Path) -> None:
    """Every image of the official layout is found under its key; nothing is missing or ignored."""
    found = find_images(images, SUITE, steps=50)
    found.refuse_incomplete()
    assert len(found.paths) == 24
    assert ImageKey(steps=50, prompt_id=11, image_index=1) in found.paths
    assert (found.images_per_prompt, found.steps, found.ignored) == (2, (50,), ())


def test_folders_of_step_counts_are_told_apart(images: Path, tmp_path: Path) -> None:
    """The images folder of a run is taken as it is, a curve of step counts; what lies beside is named."""
    (tmp_path / "curve").mkdir()
    images.rename(tmp_path / "curve" / "steps-004")
    (tmp_path / "curve" / "00000").mkdir()
    found = find_images(tmp_path / "curve", SUITE)
    assert found.steps == (4,)
    assert found.ignored == ("00000: no folder of a step count",)


def test_what_the_reference_skips_in_silence_is_named(images: Path) -> None:
    """JPEG files, stray folders and missing samples or prompts are named, and stop the scoring (exit 3)."""
    samples = images / "00003" / "samples"
    (samples / "00001.png").rename(samples / "00001.jpg")
    (images / "notes").mkdir()
    (images / "00099").mkdir()
    for path in (images / "00005" / "samples").iterdir():
        path.unlink()
    found = find_images(images, SUITE)
    assert found.missing == (
        "00003/samples/0001.png",
        "00005/samples/0000.png",
        "00005/samples/0001.png",
    )
    assert found.ignored == (
        "00003/samples/00001.jpg: not named like 0000.png",
        "00099: no such prompt in the suite",
        "notes: no prompt folder",
    )
    with pytest.raises(
        UntrustworthyError, match=r"3 of 24 images are missing .* 3 other entries are ignored"
    ):
        found.refuse_incomplete()


def test_a_folder_of_jpegs_says_so(tmp_path: Path) -> None:
    """Nothing that counts is a usage error that says what was found instead."""
    (tmp_path / "00000" / "samples").mkdir(parents=True)
    (tmp_path / "00000" / "samples" / "0000.jpg").touch()
    with pytest.raises(
        UsageError, match=r"found 00000/samples/0000\.jpg.*save the generator's output as PNG"
    ):
        find_images(tmp_path, SUITE)
    with pytest.raises(UsageError, match="No folder of images at"):
        find_images(tmp_path / "gone", SUITE)


def test_images_of_other_prompts_are_refused(images: Path) -> None:
    """A metadata line that is not the suite's means that every verdict would be about something else."""
    (images / "00004" / "metadata.jsonl").write_text(json.dumps(SUITE.prompts[5].metadata()))
    with pytest.raises(
        UntrustworthyError, match=r"expected 'a photo of prompt 4', found 'a photo of prompt 5'"
    ):
        find_images(images, SUITE)
    (images / "00004" / "metadata.jsonl").write_text("{")
    with pytest.raises(UntrustworthyError, match="cannot be read"):
        find_images(images, SUITE)
    (images / "00004" / "metadata.jsonl").unlink()
    find_images(images, SUITE).refuse_incomplete()


def test_two_files_for_one_image_are_refused(images: Path) -> None:
    """0001.png and 00001.png cannot both be sample 1."""
    (images / "00000" / "samples" / "0001.png").write_bytes(png())
    with pytest.raises(UntrustworthyError, match="both claim to be image 1 of prompt 0"):
        find_images(images, SUITE)


def test_a_stated_number_of_images_is_held_against_the_folder(images: Path) -> None:
    """With --images-per-prompt, fewer are missing and more are ignored, each by name."""
    assert len(find_images(images, SUITE, images_per_prompt=3).missing) == 12
    fewer = find_images(images, SUITE, images_per_prompt=1)
    assert len(fewer.paths) == len(fewer.ignored) == 12


def test_found_images_are_scored_where_they_lie(images: Path, tmp_path: Path) -> None:
    """The run keeps records and scores; the images stay where they are."""
    summary = score_all(images, tmp_path / "run")
    assert summary.rows[0].overall.value == 1.0
    assert summary.rows[0].overall.n == 24
    assert not summary.partial
    assert not (tmp_path / "run" / "images").exists()


def test_a_changed_image_is_scored_again(images: Path, tmp_path: Path) -> None:
    """Scores belong to bytes: after one image changed, one image is judged again."""
    score_all(images, tmp_path / "run")
    seen = EVERYTHING_RIGHT.images_seen
    (images / "00000" / "samples" / "00000.png").write_bytes(png(99, size=(16, 8)))
    score_all(images, tmp_path / "run")
    assert EVERYTHING_RIGHT.images_seen == seen + 1


def test_a_broken_file_is_unscored(images: Path, tmp_path: Path) -> None:
    """A PNG that cannot be decoded lowers n, not the value."""
    (images / "00000" / "samples" / "00000.png").write_bytes(png()[:40])
    overall = score_all(images, tmp_path / "run").rows[0].overall
    assert (overall.value, overall.n, overall.n_unscored) == (1.0, 23, 1)


def test_a_partial_folder_stays_stamped(images: Path, tmp_path: Path) -> None:
    """Where images are missing the run is partial, until they are there; a whole run refuses to lose one."""
    image = images / "00000" / "samples" / "00000.png"
    content = image.read_bytes()
    image.unlink()
    assert score_all(images, tmp_path / "run").partial
    image.write_bytes(content)
    assert not score_all(images, tmp_path / "run").partial
    image.unlink()
    with existing_run(tmp_path / "run") as run, pytest.raises(UntrustworthyError, match="1 of 24 images are"):
        found_again(run, SUITE)
