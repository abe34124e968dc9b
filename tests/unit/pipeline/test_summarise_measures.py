"""The metrics of a run beside GenEval, from files written by hand: what they add up to, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.pipeline.status import status_by_steps
from selfe_eval.pipeline.summarise_measures import summarise_measures
from selfe_eval.pipeline.validate import problems
from selfe_eval.pipeline.validate_measures import measure_problems
from selfe_eval.provenance import json_sha256
from selfe_eval.report.measures_file import read_measures
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write_json
from selfe_eval.runs.distances import Distance, Distances, images_sha256, read_distances, write_distances
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.journal import append_records, rewrite_journal
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.runs.run import Run, create_or_open, open_run
from selfe_eval.runs.values import ValueRecord, write_values
from selfe_eval.score.features.store import write_features
from tests.fakes import small_record, small_suite

SUITE = small_suite(6)
PROTOCOLS: dict[str, dict[str, Any]] = {
    "clip-score": {"metric": "clip-score", "name": "default", "scale": 100.0, "clamp": "image"},
    "spread": {"metric": "spread"},
}
METRICS = ("clip-score", "fid[inception]", "spread")
FEATURES = "features/inception-01234567/steps-001-00000.safetensors"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """36 prompts, 2 images of each, at 1 and 4 steps; CLIP-score 20 x steps + index, FID 9 then 3."""
    record = replace(small_record(SUITE), measures=MeasureOptions(metrics=METRICS, clip_protocol="default"))
    made = create_or_open(tmp_path, record)
    images = [
        ImageRecord(key=key, path=f"{place}.png", sha256=f"{place:064d}", seed=0, seconds=0.5)
        for place, key in enumerate(planned_keys(record))
    ]
    append_records(made.images_file, [image.as_json() for image in images])
    (tmp_path / "scores").mkdir()
    for stem, protocol in PROTOCOLS.items():
        scorer = json_sha256(protocol)[:16]
        values = [
            ValueRecord(
                key=image.key,
                value=20.0 * image.key.steps + image.key.image_index if stem == "clip-score" else 0.25,
                image_sha256=image.sha256,
                scorer=scorer,
            )
            for image in images
        ]
        write_values(layout.scores_path(tmp_path, stem), values)
        atomic_write_json(layout.scorer_path(tmp_path, stem), {"protocol": protocol, "notes": [f"of {stem}"]})
    rng = np.random.default_rng(0)
    steps = {
        count: Distance(
            value=value,
            without=tuple(value + 0.01 * rng.standard_normal(36)),
            n=72,
            n_clusters=36,
            images_sha256=images_sha256(image.sha256 for image in images if image.key.steps == count),
        )
        for count, value in ((1, 9.0), (4, 3.0))
    }
    fid = Distances(metric="fid", protocol={"metric": "fid"}, notes=("N < 5k",), steps=steps)
    write_distances(layout.distances_path(tmp_path, "fid"), fid)
    return made


def fid_file(run: Run, change: Callable[[Distances], Distances]) -> None:
    path = layout.distances_path(run.folder, "fid")
    found = read_distances(path)
    assert found
    write_distances(path, change(found))


def test_every_metric_is_read_in_order(run: Run) -> None:
    """Means of images, distances and spread come out as they were written, with their notes and verdicts."""
    measures = summarise_measures(run, SUITE)
    assert measures is not None
    clip, fid, spread = measures.measures

    assert [one.metric for one in measures.measures] == ["clip-score", "fid", "spread"]
    assert [row.overall.value for row in clip.rows] == [20.5, 80.5]
    assert [row.overall.value for row in fid.rows] == [9.0, 3.0]
    assert [row.overall.value for row in spread.rows] == [0.25, 0.25]
    assert [one.notes for one in measures.measures] == [("of clip-score",), ("N < 5k",), ("of spread",)]
    assert [one.verdict.outcome for one in (clip, fid) if one.verdict] == ["monotone", "monotone"]
    assert [row.seconds_per_image for row in clip.rows] == [0.5, 0.5]
    assert read_measures(run.folder) == measures


def test_a_metric_that_was_typed_in_two_ways_is_shown_once(run: Run) -> None:
    """Commands may have asked for one metric under its plain name and with its extractor."""
    typed = ("fid", "fid[inception]", "spread", "spread[clip-vit-l-14]")
    measures = summarise_measures(run.update(measures=MeasureOptions(metrics=typed)), SUITE)
    assert measures is not None
    assert [one.metric for one in measures.measures] == ["fid", "spread"]


def test_an_unchanged_document_is_not_written_again(run: Run) -> None:
    """The second time nothing is touched; when a number changes the document follows."""
    summarise_measures(run, SUITE)
    path = run.folder / "metrics.json"
    before = path.stat()
    summarise_measures(run, SUITE)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino
    fid_file(run, lambda found: replace(found, notes=()))
    summarise_measures(run, SUITE)

    assert path.stat().st_ino != before.st_ino


def test_geneval_alone_writes_nothing(tmp_path: Path) -> None:
    """A run that measures GenEval alone has no such document."""
    made = create_or_open(tmp_path, small_record(SUITE))

    assert summarise_measures(made, SUITE) is None
    assert not (tmp_path / "metrics.json").exists()


def change_image(run: Run) -> None:
    images = [image.as_json() for image in read_images(run.images_file).values()]
    rewrite_journal(run.images_file, [{**images[0], "sha256": "f" * 64}, *images[1:]])


def lose_image(run: Run) -> None:
    images = [image.as_json() for image in read_images(run.images_file).values()]
    rewrite_journal(run.images_file, images[1:])


def edit_protocol(run: Run) -> None:
    path = layout.scorer_path(run.folder, "clip-score")
    path.write_text(path.read_text().replace("image", "none"))


def drop_steps(found: Distances) -> Distances:
    return replace(found, steps={1: found.steps[1]})


def drop_groups(found: Distances) -> Distances:
    one = found.steps[4]
    return replace(found, steps={**found.steps, 4: replace(one, without=one.without[1:])})


REFUSED: dict[str, tuple[Callable[[Run], Any], str]] = {
    "no values": (lambda run: (run.folder / "scores/clip-score.jsonl").unlink(), "has no numbers of it"),
    "no protocol": (lambda run: (run.folder / "scores/spread.scorer.json").unlink(), "has no numbers of it"),
    "no distances": (lambda run: (run.folder / "scores/fid.json").unlink(), "has no numbers of it"),
    "changed image": (change_image, r"0\.png has changed since it was measured"),
    "lost image": (lose_image, "of which the run has no image"),
    "edited protocol": (edit_protocol, "computed by another protocol"),
    "garbled protocol": (
        lambda run: (run.folder / "scores/spread.scorer.json").write_text("[]"),
        "TypeError",
    ),
    "other metric": (lambda run: fid_file(run, lambda f: replace(f, metric="kid")), "it holds kid"),
    "step missing": (lambda run: fid_file(run, drop_steps), "no number at 4 steps"),
    "other groups": (lambda run: fid_file(run, drop_groups), "shape"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_numbers_that_cannot_be_believed_are_refused(run: Run, case: str) -> None:
    """Whatever is missing, edited, or of other images is named with its file and the command that goes on."""
    spoil, words = REFUSED[case]
    spoil(run)

    with pytest.raises(UntrustworthyError, match=words) as caught:
        summarise_measures(run, SUITE)
    assert f"selfe-eval resume {run.folder}" in str(caught.value)
    assert str(run.folder / "scores") in str(caught.value)
    assert not (run.folder / "metrics.json").exists()


def test_distances_of_changed_images_are_refused(run: Run) -> None:
    """A set's number belongs to all of its images: where one has changed, the step count is named."""
    only_fid = run.update(measures=MeasureOptions(metrics=("fid[inception]",)))
    change_image(run)

    with pytest.raises(UntrustworthyError, match="images at 1 steps have changed"):
        summarise_measures(only_fid, SUITE)


def test_a_missing_image_makes_the_numbers_partial(run: Run) -> None:
    """Images without a number are counted, not averaged over in silence."""
    path = layout.scores_path(run.folder, "clip-score")
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[1:]) + "\n")
    measures = summarise_measures(run, SUITE)
    assert measures is not None

    assert measures.partial
    assert [row.overall.n_unscored for row in measures.measures[0].rows] == [1, 0]


def test_status_counts_images_with_every_number(run: Run) -> None:
    """An image is scored once every metric that was asked for has it, by itself or with its step count."""
    assert [row.scored for row in status_by_steps(run)] == [72, 72]
    lose_value(run)
    assert [row.scored for row in status_by_steps(run)] == [72, 71]
    fid_file(run, lambda found: replace(found, steps={4: found.steps[4]}))
    assert [row.scored for row in status_by_steps(run)] == [0, 71]
    with_geneval = run.update(measures=MeasureOptions(metrics=("geneval", *METRICS)))
    assert [row.scored for row in status_by_steps(with_geneval)] == [0, 0]


def found_problems(run: Run) -> list[str]:
    opened = open_run(run.folder)
    return list(measure_problems(opened, SUITE, read_images(opened.images_file)))


def test_a_whole_run_has_no_problem(run: Run) -> None:
    """Features of the run's images, their numbers and the document that they give are whole."""
    summarise_measures(run, SUITE)
    hashes = [image.sha256 for image in read_images(run.images_file).values()][:64]
    (run.folder / FEATURES).parent.mkdir(parents=True)
    write_features(run.folder / FEATURES, np.zeros((64, 2), dtype=np.float32), hashes)

    assert found_problems(run) == []


def test_what_is_not_measured_is_no_problem(run: Run) -> None:
    """A run without GenEval is not asked for its scores and its summary; one with it is."""
    summarise_measures(run, SUITE)
    without = problems(run, SUITE)
    both = problems(run.update(measures=MeasureOptions(metrics=("geneval", *METRICS))), SUITE)

    assert not any("score" in problem for problem in without)
    assert sum(problem.endswith("has no score") for problem in both) == 144
    assert any("has no scores to summarise" in problem for problem in both)


def edit_document(run: Run) -> None:
    path = run.folder / "metrics.json"
    path.write_text(path.read_text().replace("20.5", "21.5"))


def lose_value(run: Run) -> None:
    path = layout.scores_path(run.folder, "spread")
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def write_foreign(run: Run, name: str) -> None:
    path = (run.folder / FEATURES).with_name(name)
    path.parent.mkdir(parents=True)
    write_features(path, np.zeros((1, 2), dtype=np.float32), ["0" * 64])


def write_garbage(run: Run) -> None:
    (run.folder / FEATURES).parent.mkdir(parents=True)
    (run.folder / FEATURES).write_bytes(b"no tensors")


def forget_metrics(run: Run) -> None:
    document = json.loads((run.folder / "run.json").read_bytes())
    del document["measures"]
    atomic_write_json(run.folder / "run.json", document)


PROBLEMS: dict[str, tuple[Callable[[Run], Any], str]] = {
    "document missing": (lambda run: (run.folder / "metrics.json").unlink(), "metrics.json: is missing"),
    "document edited": (edit_document, "metrics.json: is not what the numbers give"),
    "nothing asked for": (forget_metrics, "metrics.json: no metric was asked for"),
    "value missing": (lose_value, "143.png: has no spread"),
    "values damaged": (lambda run: (run.folder / "scores/spread.jsonl").write_text("{}\n"), "no value of an"),
    "image changed": (change_image, "has changed since it was measured"),
    "distances damaged": (lambda run: (run.folder / "scores/fid.json").write_text("{"), "cannot be believed"),
    "features of others": (
        lambda run: write_foreign(run, "steps-001-00000.safetensors"),
        f"{FEATURES}: was made from other images than the run has",
    ),
    "features of no batch": (
        lambda run: write_foreign(run, "steps-009-00000.safetensors"),
        "steps-009-00000.safetensors: no batch of this run",
    ),
    "features damaged": (write_garbage, "cannot be read"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_validate_names_what_is_wrong(run: Run, case: str) -> None:
    """A document that the numbers do not give, numbers of other images, and features of others are found."""
    summarise_measures(run, SUITE)
    spoil, words = PROBLEMS[case]
    spoil(run)

    assert any(words in problem for problem in found_problems(run))
