from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.found_images import MISSING_SAMPLE, find_images, record_images
from selfe_eval.pipeline.geneval import found_again
from selfe_eval.pipeline.jobs import FoundImagesJob
from selfe_eval.pipeline.opening import existing_run, planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.score import score
from selfe_eval.pipeline.summarise import summarise
from selfe_eval.provenance import file_sha256
from selfe_eval.records import ImageKey
from selfe_eval.report.summary import Summary
from selfe_eval.runs.scores import read_scores
from selfe_eval.suites.registry import load_suite
from selfe_eval.suites.rewritten import rewritten_suite
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
    """Every image of the official layout is found under its key; grid and metadata are part of the layout."""
    (images / "00000" / "grid.png").write_bytes(png())
    found = find_images(images, SUITE, steps=50)
    found.refuse_incomplete()
    assert len(found.paths) == 24
    assert ImageKey(steps=50, prompt_id=11, image_index=1) in found.paths
    assert (found.images_per_prompt, found.steps, found.num_missing, found.report()) == (2, (50,), 0, [])


@pytest.mark.parametrize("digits", [1, 4, 5, 7])
def test_numbers_may_have_any_number_of_digits(images: Path, digits: int) -> None:
    """The reference takes every folder of digits and every number.png; so do we."""
    for prompt in SUITE.prompts:
        folder = images / f"{prompt.prompt_id:05d}"
        for index in range(2):
            sample = folder / "samples" / f"{index:05d}.png"
            sample.rename(sample.with_name(f"{index:0{digits}d}.png"))
        folder.rename(images / f"{prompt.prompt_id:0{digits}d}")
    found = find_images(images, SUITE)
    assert (len(found.paths), found.report()) == (24, [])


def test_folders_of_step_counts_are_told_apart(images: Path, tmp_path: Path) -> None:
    """The images folder of a run is taken as it is, a curve of step counts; what lies beside is named."""
    (tmp_path / "curve").mkdir()
    images.rename(tmp_path / "curve" / "steps-004")
    (tmp_path / "curve" / "00000").mkdir()
    (tmp_path / "curve" / "steps-050").mkdir()
    found = find_images(tmp_path / "curve", SUITE)
    assert found.steps == (4,)
    assert found.num_missing == 24
    assert found.report() == [
        "missing: no image of this prompt (12): steps-050/00000, steps-050/00001, steps-050/00002, ...",
        "not a folder of a step count (1): 00000",
    ]


def test_what_the_reference_skips_in_silence_is_named(images: Path) -> None:
    """Other formats, stray entries and missing samples or prompts are named, and stop the scoring (exit 3)."""
    samples = images / "00003" / "samples"
    (samples / "00001.png").rename(samples / "00001.jpg")
    for name in ("00002.JPEG", "00003.webp", "00004.PNG", "00000.png.bak", "00001.png.jpg"):
        (samples / name).touch()
    (samples / "00001.png").mkdir()
    (samples.parent / "notes.txt").touch()
    for name in ("notes", "00099", "results.jsonl"):
        (images / name).mkdir()
    for path in (images / "00005" / "samples").iterdir():
        path.unlink()
    found = find_images(images, SUITE)
    assert found.findings == {
        "missing: a sample that other prompts have, or that was asked for": ("00003/samples/0001.png",),
        "missing: no image of this prompt": ("00005",),
        "not a folder of a prompt": ("notes", "results.jsonl"),
        "not a prompt of the suite": ("00099",),
        "not part of the layout": ("00003/notes.txt",),
        "the name goes on after .png: the reference would score it as one more sample": (
            "00003/samples/00000.png.bak",
            "00003/samples/00001.png.jpg",
        ),
        "JPEG: the reference ignores it": ("00003/samples/00001.jpg", "00003/samples/00002.JPEG"),
        "not a file: the reference ignores it": ("00003/samples/00001.png",),
        "WebP: the reference ignores it": ("00003/samples/00003.webp",),
        "not named like 0000.png: the reference ignores it": ("00003/samples/00004.PNG",),
    }
    assert found.num_missing == 3
    with pytest.raises(
        UntrustworthyError, match=r"3 of 24 images are missing\. .*prompt \(1\): 00005; .*0001\.png\. The"
    ):
        found.refuse_incomplete()


def test_a_jpeg_that_is_called_png_is_named(images: Path) -> None:
    """It is scored, as by the reference, which looks into the file; but whoever made it should know."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    (images / "00001" / "samples" / "00000.png").write_bytes(stream.getvalue())
    found = find_images(images, SUITE)

    assert found.num_missing == 0
    ((reason, entries),) = found.findings.items()
    assert reason.startswith("named .png, but its content is none")
    assert entries == ("00001/samples/00000.png",)


def test_a_folder_of_jpegs_says_so(tmp_path: Path) -> None:
    """Nothing that counts is a usage error that says what was found instead, once for each kind."""
    for prompt in SUITE.prompts:
        samples = tmp_path / f"{prompt.prompt_id:05d}" / "samples"
        samples.mkdir(parents=True)
        (samples / "0000.jpg").touch()
    with pytest.raises(
        UsageError,
        match=r"found JPEG: .* \(12\): 00000/samples/0000\.jpg, .*, \.\.\.\. .*save the generator's output as PNG",
    ):
        find_images(tmp_path, SUITE)
    with pytest.raises(UsageError, match="No folder of images at"):
        find_images(tmp_path / "gone", SUITE)


def test_metadata_goes_before_the_folder_s_number(images: Path) -> None:
    """As in the reference, a folder is of the prompt that its metadata names; without any, of its number."""
    other = images / "other"
    (images / "00004").rename(other)
    (images / "00005").rename(images / "00004")
    other.rename(images / "777")
    (images / "00006" / "metadata.jsonl").unlink()
    found = find_images(images, SUITE)
    assert (found.num_missing, found.report()) == (0, [])
    folder_of = {key.prompt_id: path.parent.parent.name for key, path in found.paths.items()}
    assert (folder_of[4], folder_of[5], folder_of[6]) == ("777", "00004", "00006")


def test_two_folders_of_one_prompt_are_named(images: Path) -> None:
    """Of equal metadata the folder with the prompt's number counts; the other is named beside it."""
    shutil.copytree(images / "00004", images / "00000004")
    (images / "00002" / "metadata.jsonl").write_text(json.dumps(SUITE.prompts[5].metadata()))
    found = find_images(images, SUITE)
    assert found.findings == {
        "missing: no image of this prompt": ("00002",),
        "not counted: another folder is of the same prompt": (
            "00004 beside 00000004",
            "00002 beside 00005",
        ),
    }


def test_images_of_other_prompts_are_refused(images: Path) -> None:
    """Metadata of no prompt of the suite means that every verdict would be about something else."""
    metadata = images / "00004" / "metadata.jsonl"
    metadata.write_text(json.dumps({**SUITE.prompts[4].metadata(), "prompt": "a drawing"}))
    with pytest.raises(
        UntrustworthyError, match=r"that of 'a photo of prompt 4', found 'a drawing'.*--prompts"
    ):
        find_images(images, SUITE)
    metadata.write_text("[]")
    with pytest.raises(UntrustworthyError, match=r"found \[\]"):
        find_images(images, SUITE)
    metadata.write_text("{")
    with pytest.raises(UntrustworthyError, match="cannot be read"):
        find_images(images, SUITE)


def test_foreign_metadata_outside_the_suite_is_one_prompt_more(images: Path) -> None:
    """A folder whose number and metadata both are none of the suite's is named and not scored."""
    (images / "00099").mkdir()
    (images / "00099" / "metadata.jsonl").write_text("{}")
    assert find_images(images, SUITE).findings == {"not a prompt of the suite": ("00099",)}


def test_two_files_for_one_image_are_refused(images: Path) -> None:
    """0001.png and 00001.png cannot both be sample 1."""
    (images / "00000" / "samples" / "0001.png").write_bytes(png())
    with pytest.raises(UntrustworthyError, match="both claim to be image 1 of prompt 0"):
        find_images(images, SUITE)


def test_samples_may_be_counted_from_anywhere(images: Path) -> None:
    """Images of each prompt numbered 7 and 1000 are its images 0 and 1, and nothing between is missing."""
    for prompt in SUITE.prompts:
        samples = images / f"{prompt.prompt_id:05d}" / "samples"
        (samples / "00000.png").rename(samples / "7.png")
        (samples / "00001.png").rename(samples / "1000.png")
    found = find_images(images, SUITE)
    assert (found.images_per_prompt, found.num_missing, len(found.paths)) == (2, 0, 24)
    assert found.paths[ImageKey(steps=0, prompt_id=3, image_index=1)].name == "1000.png"


def test_a_stated_number_of_images_is_held_against_the_folder(images: Path) -> None:
    """With --images-per-prompt, fewer are missing and more are ignored, each by name."""
    more = find_images(images, SUITE, images_per_prompt=4)
    assert more.num_missing == 24
    assert more.findings[MISSING_SAMPLE][:2] == ("00000/samples/0002.png", "00000/samples/0003.png")
    fewer = find_images(images, SUITE, images_per_prompt=1)
    assert len(fewer.paths) == len(fewer.findings["more than --images-per-prompt"]) == 12
    assert {key.image_index for key in fewer.paths} == {0}


def test_a_folder_may_be_given_from_here(images: Path) -> None:
    """Paths are absolute whatever was typed: they stand in a run folder that lies elsewhere."""
    found = find_images(Path(os.path.relpath(images)), SUITE)
    assert found.folder == images.resolve()
    assert all(path.is_absolute() and path.is_file() for path in found.paths.values())


def test_links_are_followed(images: Path, tmp_path: Path) -> None:
    """Folders and files may be links to elsewhere; one that leads nowhere is no file."""
    (images / "00001").rename(tmp_path / "elsewhere")
    (images / "00001").symlink_to(tmp_path / "elsewhere")
    sample = images / "00002" / "samples" / "00000.png"
    sample.unlink()
    sample.symlink_to(tmp_path / "elsewhere" / "samples" / "00000.png")
    found = find_images(images, SUITE)
    assert (len(found.paths), found.report()) == (24, [])
    sample.unlink()
    sample.symlink_to(tmp_path / "nowhere")
    assert find_images(images, SUITE).findings["not a file: the reference ignores it"]


def test_rewritten_prompts_may_lie_beside_official_metadata(tmp_path: Path) -> None:
    """Folders keep the rewritten line or the official one; a third wording is refused."""
    base = load_suite("geneval")
    (tmp_path / "long.txt").write_text("\n".join(f"{prompt.text}, afar" for prompt in base.prompts))
    suite = rewritten_suite(base, tmp_path / "long.txt")
    images = tmp_path / "images"
    for prompt, line in zip(base.prompts, suite.prompts, strict=True):
        samples = images / f"{prompt.prompt_id:05d}" / "samples"
        samples.mkdir(parents=True)
        (samples / "0000.png").write_bytes(png())
        metadata = (prompt if prompt.prompt_id % 2 else line).metadata()
        (samples.parent / "metadata.jsonl").write_text(json.dumps(metadata))
    assert (len(find_images(images, suite).paths), find_images(images, suite).report()) == (553, [])
    with pytest.raises(UntrustworthyError, match=r"no line of the suite geneval: .*, afar"):
        find_images(images, base)


def test_found_images_are_scored_where_they_lie(images: Path, tmp_path: Path) -> None:
    """The run keeps records and scores; the images stay where they are."""
    summary = score_all(images, tmp_path / "run")
    assert summary.rows[0].overall.value == 1.0
    assert summary.rows[0].overall.n == 24
    assert not summary.partial
    assert not (tmp_path / "run" / "images").exists()


def test_a_changed_image_is_scored_again(images: Path, tmp_path: Path) -> None:
    """Scores belong to bytes: a changed image gets a new score, the others keep theirs, no change means no work."""
    path = images / "00000" / "samples" / "00000.png"
    scores = tmp_path / "run" / "scores" / "geneval.jsonl"
    score_all(images, tmp_path / "run")
    before = read_scores(scores)
    path.write_bytes(png(99, size=(16, 8)))
    score_all(images, tmp_path / "run")
    after, seen = read_scores(scores), EVERYTHING_RIGHT.images_seen
    key = ImageKey(steps=0, prompt_id=0, image_index=0)
    assert after[key].image_sha256 == file_sha256(path) != before[key].image_sha256
    assert {**after, key: before[key]} == before
    score_all(images, tmp_path / "run")
    assert EVERYTHING_RIGHT.images_seen == seen


@pytest.mark.parametrize("content", [b"", png()[:40], b"no image"], ids=["empty", "cut", "text"])
def test_a_broken_file_is_unscored(images: Path, tmp_path: Path, content: bytes) -> None:
    """A PNG that cannot be decoded lowers n, not the value."""
    (images / "00000" / "samples" / "00000.png").write_bytes(content)
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
