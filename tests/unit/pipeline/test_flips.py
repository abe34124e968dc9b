from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.flips import FlippedImage, draw_flips, flipped_images
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.report.comparison import compare
from selfe_eval.report.contact_sheet import PICTURE_PX
from selfe_eval.report.flips import Flip, flips_of
from selfe_eval.report.run_evidence import read_evidence
from selfe_eval.suites.registry import load_suite
from tests.fakes import FakeGenerator, FakeScorer, run_stages, small_record

SUITE = load_suite("openmoji")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of twelve prompts with other noise: each image is right by chance."""
    made = []
    for seed in (0, 1):
        record = small_record(SUITE, limit=12, seed=seed, model=f"model-{seed}")
        with planned_run(tmp_path / str(seed), record) as run:
            run_stages(run, SUITE, FakeGenerator, FakeScorer(threshold=128), Silence())
        made.append(tmp_path / str(seed))
    return made[0], made[1]


def flips_between(folders: tuple[Path, Path]) -> list[Flip]:
    """All flips at both step counts."""
    a, b = (read_evidence(folder, allow_partial=True) for folder in folders)
    return [flip for found in flips_of(a, b, compare(a, b)) for flip in found.flips]


@pytest.fixture
def images(folders: tuple[Path, Path]) -> list[FlippedImage]:
    """What is known of all flips."""
    return flipped_images(folders, flips_between(folders))


def test_both_pictures_are_named_with_what_is_wrong_with_one(
    folders: tuple[Path, Path], images: list[FlippedImage]
) -> None:
    """Each flip has the prompt, the reason of the wrong side, and two files that are there."""
    assert len(images) > 8
    assert {image.flip.is_right_now for image in images} == {True, False}
    for image in images:
        document = image.as_json()
        right, wrong = image.sides[image.flip.is_right_now], image.sides[not image.flip.is_right_now]
        assert (right.score.correct, wrong.score.correct) == (True, False)
        headings = [image.heading(side) for side in (0, 1)]
        assert headings == (
            ["A, WRONG: model-0", "B, right: model-1"]
            if image.flip.is_right_now
            else ["A, right: model-0", "B, WRONG: model-1"]
        )
        assert document["reason"] == wrong.score.reason == "expected less red"
        assert document["prompt"] == SUITE.prompts[image.flip.key.prompt_id].text
        assert document["direction"] == ("to_right" if image.flip.is_right_now else "to_wrong")
        for folder, path in zip(folders, (document["path_a"], document["path_b"]), strict=True):
            assert Path(path).is_relative_to(folder)
            assert Path(path).is_file()


def test_a_sheet_has_two_pairs_a_row(images: list[FlippedImage], tmp_path: Path) -> None:
    """The sheet is as wide as four pictures and grows with the pairs; no more are drawn than asked for."""
    sizes = {}
    for num in (1, 2, 3, 200):
        drawn = draw_flips(images, tmp_path / "flips.png", num=num)
        assert drawn == min(num, len(images))
        with Image.open(tmp_path / "flips.png") as sheet:
            sizes[num] = sheet.size

    assert 2 * PICTURE_PX < sizes[1][0] < 3 * PICTURE_PX
    assert 4 * PICTURE_PX < sizes[2][0] == sizes[3][0] < 5 * PICTURE_PX
    assert sizes[2][1] < sizes[3][1] < sizes[200][1]


def test_pictures_that_are_not_as_judged_are_named(images: list[FlippedImage], tmp_path: Path) -> None:
    """A missing, an overwritten and a damaged picture are each an error with the file's name, and nothing is written."""
    path = Path(images[0].as_json()["path_b"])
    other = Path(images[0].as_json()["path_a"]).read_bytes()
    for content in (other, b"no image", None):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(UntrustworthyError, match=path.name):
            draw_flips(images, tmp_path / "flips.png", num=200)
        assert not (tmp_path / "flips.png").exists()


def test_a_score_without_its_image_is_named(folders: tuple[Path, Path]) -> None:
    """A run whose journal of images lost a line is refused with the command that mends it."""
    flips = flips_between(folders)
    journal = folders[1] / "images.jsonl"
    key = flips[0].key
    kept = [
        line
        for line in journal.read_text().splitlines(keepends=True)
        if f'"steps": {key.steps}, "prompt_id": {key.prompt_id}, "image_index": {key.image_index},'
        not in line
    ]
    assert len(kept) < len(journal.read_text().splitlines())
    journal.write_text("".join(kept))

    with pytest.raises(UntrustworthyError, match=f"no image of prompt {key.prompt_id}, .*selfe-eval"):
        flipped_images(folders, flips)


def test_without_flips_no_folder_is_read(tmp_path: Path) -> None:
    """An A/A comparison needs no image."""
    assert flipped_images((tmp_path / "a", tmp_path / "b"), []) == []
