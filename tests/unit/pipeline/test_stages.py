from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.geneval import refuse_incomplete
from selfe_eval.pipeline.opening import existing_run, planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.score import score
from selfe_eval.pipeline.summarise import summarise
from selfe_eval.report.summary import Summary
from selfe_eval.runs.images import read_images
from selfe_eval.runs.journal import read_journal
from selfe_eval.runs.run import open_run
from tests.fakes import FakeGenerator, FakeScorer, folder_state, run_stages, small_record, small_suite

SUITE = small_suite()
RECORD = small_record(SUITE)
NUM_IMAGES = 2 * 12 * 2
"""2 step counts, 12 prompts, 2 images."""


def run_all(
    folder: Path, generator: FakeGenerator | None = None, scorer: FakeScorer | None = None
) -> Summary:
    generator = generator or FakeGenerator()
    with planned_run(folder, RECORD) as run:
        return run_stages(run, SUITE, lambda: generator, scorer or FakeScorer(), Silence())


def test_a_run_makes_what_was_planned(tmp_path: Path) -> None:
    """All images, records, scores and the summary are there, and every number follows from the pixels."""
    summary = run_all(tmp_path)
    state = folder_state(tmp_path)
    assert len(state["images.jsonl"]) == len(state["scores/geneval.jsonl"]) == NUM_IMAGES
    assert sum(name.endswith(".png") for name in state) == NUM_IMAGES
    for row in summary.rows:
        files = sorted((tmp_path / "images" / f"steps-{row.steps:03d}").rglob("*.png"))
        reds = [int(np.asarray(Image.open(path))[0, 0, 0]) for path in files]
        assert row.overall.value == pytest.approx(np.mean([red < 128 for red in reds]))
        assert row.nfe == 2 * row.steps
    assert open_run(tmp_path).record.status == "complete"
    assert json.loads((tmp_path / "summary.json").read_text())["partial"] is False


def test_a_second_run_computes_nothing_and_changes_nothing(tmp_path: Path) -> None:
    """The same command again leaves every byte of the folder as it was, and draws and judges no image."""
    first = run_all(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    generator, scorer = FakeGenerator(), FakeScorer()
    assert run_all(tmp_path, generator, scorer) == first
    assert generator.batches_drawn == scorer.images_seen == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_layout_is_the_official_one(tmp_path: Path) -> None:
    """Each prompt folder has the official metadata line and its samples, so the reference can score them."""
    run_all(tmp_path)
    folder = tmp_path / "images" / "steps-004" / "00007"
    assert json.loads((folder / "metadata.jsonl").read_text()) == SUITE.prompts[7].metadata()
    assert sorted(path.name for path in (folder / "samples").iterdir()) == ["0000.png", "0001.png"]


def test_the_seed_is_shared_by_all_step_counts(tmp_path: Path) -> None:
    """The same prompt and index start from the same noise at every step count; all others differ."""
    run_all(tmp_path)
    seeds: dict[tuple[int, int], set[int | None]] = {}
    for key, image in read_images(tmp_path / "images.jsonl").items():
        seeds.setdefault((key.prompt_id, key.image_index), set()).add(image.seed)
    assert all(len(own) == 1 for own in seeds.values())
    assert len(set.union(*seeds.values())) == 24


def test_a_deleted_or_changed_image_comes_back_with_the_same_bits(tmp_path: Path) -> None:
    """Damage to the files is found by their hashes and repaired by drawing the whole batch again."""
    run_all(tmp_path)
    before = folder_state(tmp_path)
    (tmp_path / "images/steps-001/00003/samples/0001.png").unlink()
    (tmp_path / "images/steps-004/00011/samples/0000.png").write_bytes(b"not an image")
    (tmp_path / "images/steps-004/00002/metadata.jsonl").write_bytes(b"{}")
    generator = FakeGenerator()
    run_all(tmp_path, generator)
    assert generator.batches_drawn == 2
    assert folder_state(tmp_path) == before


def test_an_image_that_comes_out_differently_stops_the_run(tmp_path: Path) -> None:
    """Where another machine draws other bits, nothing is overwritten and the error says so."""
    run_all(tmp_path)
    image = tmp_path / "images/steps-001/00003/samples/0001.png"
    image.unlink()
    before = folder_state(tmp_path)

    class Other(FakeGenerator):
        def generate(self, *arguments: object) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
            return 255 - super().generate(*arguments)  # type: ignore[arg-type]

    with pytest.raises(UntrustworthyError, match="came out differently"):
        run_all(tmp_path, Other())
    assert folder_state(tmp_path) == before


def test_another_scorer_scores_everything_again(tmp_path: Path) -> None:
    """Scores belong to the scorer that gave them: another description makes all of them stale, once."""
    run_all(tmp_path)
    scorer = FakeScorer(threshold=0)
    summary = run_all(tmp_path, scorer=scorer)
    assert scorer.images_seen == NUM_IMAGES
    assert [row.overall.value for row in summary.rows] == [0.0, 0.0]
    assert len(read_journal(tmp_path / "scores/geneval.jsonl")) == NUM_IMAGES


def test_an_unreadable_image_is_unscored_and_never_zero(tmp_path: Path) -> None:
    """A missing and a damaged image get null with a reason, lower n and not the value, and stop trust."""
    everything_right = FakeScorer(threshold=256)
    run_all(tmp_path, scorer=everything_right)
    (tmp_path / "images/steps-001/00003/samples/0001.png").unlink()
    (tmp_path / "images/steps-001/00004/samples/0000.png").write_bytes(b"GIF89a")
    (tmp_path / "scores/geneval.jsonl").unlink()
    with existing_run(tmp_path) as run:
        scored = score(run, SUITE, everything_right, Silence())
        _, summary = summarise(scored, SUITE)
    one, four = (row.overall for row in summary.rows)
    assert (one.value, one.n, one.n_unscored) == (1.0, 22, 2)
    assert (four.value, four.n, four.n_unscored) == (1.0, 24, 0)
    reasons = [
        line["reason"] for line in read_journal(tmp_path / "scores/geneval.jsonl") if line["correct"] is None
    ]
    assert len(reasons) == 2
    assert all(reason.startswith("unscored: the file ") for reason in reasons)
    assert open_run(tmp_path).record.status == "incomplete"
    with pytest.raises(UntrustworthyError, match="2 of 48 planned images have no score"):
        refuse_incomplete(scored, summary)


def test_a_limited_run_is_stamped_partial(tmp_path: Path) -> None:
    """--limit stamps the record and the summary."""
    record = small_record(SUITE, limit=6)
    with planned_run(tmp_path, record) as run:
        summary = run_stages(run, SUITE, FakeGenerator, FakeScorer(), Silence())
    assert open_run(tmp_path).record.partial
    assert summary.partial
    assert summary.num_prompts == 6


def test_an_interrupt_keeps_everything_and_names_the_way_on(tmp_path: Path) -> None:
    """Ctrl-C marks the run incomplete, prints the resume command, and resuming gives the same run."""
    run_all(tmp_path / "whole")

    def interrupt(batches_drawn: int) -> None:
        if batches_drawn == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"selfe-eval resume .*broken"):
        run_all(tmp_path / "broken", FakeGenerator(before_batch=interrupt))
    assert open_run(tmp_path / "broken").record.status == "incomplete"
    assert len(read_images(tmp_path / "broken" / "images.jsonl")) == 15
    run_all(tmp_path / "broken")
    assert folder_state(tmp_path / "broken") == folder_state(tmp_path / "whole")


def test_a_full_disk_in_the_middle_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC after three batches ends in one paragraph (exit 3), and resuming gives the same run."""
    run_all(tmp_path / "whole")
    whole_write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name.startswith(".0001.png") and "00007" in path.parts:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return whole_write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(UntrustworthyError, match=r"No space left.*selfe-eval resume") as failure:
            run_all(tmp_path / "full")
    assert failure.value.exit_code == 3
    assert open_run(tmp_path / "full").record.status == "incomplete"
    run_all(tmp_path / "full")
    assert folder_state(tmp_path / "full") == folder_state(tmp_path / "whole")


def test_a_disk_without_room_is_refused_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the images cannot fit, the run does not begin (exit 2)."""
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=4096 * (NUM_IMAGES - 1)))
    with pytest.raises(UsageError, match="48 images need at least"):
        run_all(tmp_path / "new")
    assert not (tmp_path / "new" / "run.json").exists()


def test_an_output_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    """A path that cannot be a folder is a usage error that says nothing was computed."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be written: Not a directory\. Nothing was computed"):
        run_all(tmp_path / "file" / "run")


def test_a_read_only_output_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that takes no files is found before the run begins (exit 2)."""

    def refuse(path: Path, _content: bytes) -> int:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(UsageError, match=r"cannot be written: Read-only file system\. Nothing was computed"):
        run_all(tmp_path / "run")


def test_two_processes_never_share_a_folder(tmp_path: Path) -> None:
    """While one works, another is refused."""
    with planned_run(tmp_path, RECORD), pytest.raises(UsageError, match="Another process"):
        run_all(tmp_path)


def test_the_first_batch_is_not_timed_where_others_are(tmp_path: Path) -> None:
    """Warm-up does not count: exactly the first batch lacks seconds."""
    run_all(tmp_path)
    untimed = [key for key, image in read_images(tmp_path / "images.jsonl").items() if image.seconds is None]
    assert len(untimed) == 5
    assert {key.steps for key in untimed} == {1}
