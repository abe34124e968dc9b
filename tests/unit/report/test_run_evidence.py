from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.metrics import Measured, measured_on
from selfe_eval.provenance import json_sha256
from selfe_eval.records import ImageKey
from selfe_eval.report.comparison import compare
from selfe_eval.report.evidence import ImageEvidence, SetEvidence
from selfe_eval.report.measures import Measure, measures_bytes
from selfe_eval.report.measuring import (
    ImageNumbers,
    design_of,
    measure_of_images,
    measure_of_sets,
    measure_set,
)
from selfe_eval.report.outcomes import ImageOutcome
from selfe_eval.report.run_evidence import file_stem, read_evidence
from selfe_eval.report.summary import summarise, summary_bytes
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write_json
from selfe_eval.runs.distances import Distance, Distances, write_distances
from selfe_eval.runs.journal import append_records
from selfe_eval.runs.run import RunRecord
from selfe_eval.runs.scores import ScoreRecord
from selfe_eval.runs.spec import RunSpec
from selfe_eval.runs.values import ValueRecord, write_values
from selfe_eval.suites.registry import load_suite

PROMPT_IDS = (0, 1, 80, 81, 179, 180)
"""Two prompts of each of the first three tasks."""
STEPS = (1, 4)
KEYS = [ImageKey(steps=steps, prompt_id=prompt, image_index=0) for steps in STEPS for prompt in PROMPT_IDS]
CLIP = {key: 20.0 + key.prompt_id / 10 + key.steps for key in KEYS}
CORRECT = {key: bool(key.prompt_id % 2) for key in KEYS} | {KEYS[0]: None}
"""The first image could not be scored."""
EXTRACTOR = {"extractor": "openmoji-clip", "weights_sha256": "a1" * 32}
FOLDED = {**EXTRACTOR, "variant": "folded"}
MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Writes a partial run folder with hand-made numbers: (name, what it has) -> its path."""

    def make(
        name: str = "run", *, has: tuple[str, ...] = ("geneval", "clip-score", "fid"), **changes: Any
    ) -> Path:
        return write_run(tmp_path / name, has, **changes)

    return make


def write_run(
    folder: Path,
    has: tuple[str, ...],
    *,
    extractor: dict[str, Any] = EXTRACTOR,
    source: str = "checkpoint",
    seed: int = 7,
) -> Path:
    """The files that a run of six prompts and two step counts leaves behind."""
    suite = load_suite("openmoji")
    spec = RunSpec(
        suite=suite.name,
        suite_sha256=suite.sha256,
        source="images" if source == "images" else "checkpoint",
        model="tiny",
        checkpoint_sha256={},
        steps=STEPS,
        images_per_prompt=1,
        limit=6,
        seed=seed,
        detector="openmoji",
        batch_size=64,
    )
    record = RunRecord(spec=spec, prompt_ids=PROMPT_IDS, partial=True, status="complete")
    (folder / layout.SCORES_FOLDER).mkdir(parents=True)
    atomic_write_json(folder / layout.RUN_FILE, record.as_json())
    if "geneval" in has:
        records = [
            ScoreRecord(key=key, correct=c, reason="", image_sha256=None, scorer="s").as_json()
            for key, c in CORRECT.items()
        ]
        append_records(layout.scores_path(folder, "geneval"), records)
        outcomes = {key: ImageOutcome(key=key, correct=c, reason="") for key, c in CORRECT.items()}
        summary = summarise(record, suite, outcomes, seconds={}, scorer={"sha256": "7"})
        (folder / layout.SUMMARY_FILE).write_bytes(summary_bytes(summary))
    design = design_of(record, suite, {})
    measures: list[Measure] = []
    if "clip-score" in has:
        protocol = {"metric": "clip-score", "scale": 100.0, "clamp": "image", "extractor": extractor}
        clip = measured_on("clip-score", suite.name)
        scorer = json_sha256(protocol)[:16]
        values = [ValueRecord(key=k, value=v, image_sha256="0", scorer=scorer) for k, v in CLIP.items()]
        write_values(layout.scores_path(folder, clip.file_stem), values)
        measures.append(
            measure_of_images(clip, ImageNumbers(numbers=CLIP, protocol=protocol, notes=()), design)
        )
    if "fid" in has:
        measures.append(measure_of_sets(*written_distances(folder, extractor), design))
    if measures:
        (folder / layout.METRICS_FILE).write_bytes(measures_bytes(measure_set(record, suite, measures)))
    return folder


def written_distances(folder: Path, extractor: dict[str, Any]) -> tuple[Measured, Distances]:
    """FID with three replicates at each step count."""
    fid = measured_on("fid", "openmoji")
    steps = {
        count: Distance(
            value=10.0 / count, without=(9.0, 10.0, 11.0), n=6, n_clusters=6, images_sha256=str(count)
        )
        for count in STEPS
    }
    protocol = {"metric": fid.name, "extractor": extractor}
    distances = Distances(metric=fid.name, protocol=protocol, notes=(), steps=steps)
    write_distances(layout.distances_path(folder, fid.file_stem), distances)
    return fid, distances


def test_every_number_of_a_run_is_read(make_folder: MakeFolder) -> None:
    """Verdicts as 0 and 1 without the unscored one, values of images, and distances with their replicates."""
    found = read_evidence(make_folder(), allow_partial=True)
    geneval, clip, fid = found.metrics.values()

    assert list(found.metrics) == ["geneval", "clip-score[openmoji-clip]", "fid[openmoji-clip]"]
    assert (found.model, found.suite, found.images_per_prompt, found.seed) == ("tiny", "openmoji", 1, 7)
    assert found.partial
    assert list(found.tasks) == list(PROMPT_IDS)
    assert found.tasks[80] == "two_object"
    assert geneval.is_macro
    assert geneval.steps[1] == ImageEvidence(
        values={(1, 0): 1.0, (80, 0): 0.0, (81, 0): 1.0, (179, 0): 1.0, (180, 0): 0.0}
    )
    assert clip.steps[4] == ImageEvidence(values={(p, 0): 24.0 + p / 10 for p in PROMPT_IDS})
    assert not fid.higher_is_better
    last = fid.steps[4]
    assert isinstance(last, SetEvidence)
    assert (last.value, last.n, last.n_clusters) == (2.5, 6, 6)
    np.testing.assert_array_equal(last.without, [9.0, 10.0, 11.0])


def test_the_direction_of_a_metric_is_not_up_to_a_file(make_folder: MakeFolder) -> None:
    """A metrics.json that calls a greater distance better does not turn a loss into a gain."""
    folder = make_folder(has=("fid",))
    path = folder / layout.METRICS_FILE
    content = path.read_text()
    assert '"higher_is_better": false' in content
    path.write_text(content.replace('"higher_is_better": false', '"higher_is_better": true'))

    (fid,) = read_evidence(folder, allow_partial=True).metrics.values()
    assert not fid.higher_is_better


@pytest.mark.parametrize("has", [("geneval",), ("clip-score",), ("fid",), ("clip-score", "fid")])
def test_a_run_has_what_it_has(make_folder: MakeFolder, has: tuple[str, ...]) -> None:
    """A run needs no GenEval, and GenEval needs no other metric; compared with itself nothing differs."""
    found = read_evidence(make_folder(has=has), allow_partial=True)

    assert [name.partition("[")[0] for name in found.metrics] == list(has)
    comparison = compare(found, found)
    assert {row.overall.delta for one in comparison.metrics for row in one.rows} == {0.0}


def test_an_extractor_that_is_not_official_has_the_files_of_its_metric(make_folder: MakeFolder) -> None:
    """The variant stands in the name of the metric, and not in that of its files."""
    found = read_evidence(make_folder(extractor=FOLDED), allow_partial=True)

    assert list(found.metrics)[1:] == ["clip-score[openmoji-clip+folded]", "fid[openmoji-clip+folded]"]


@pytest.mark.parametrize(
    ("name", "variant", "stem"),
    [
        ("fid", None, "fid"),
        ("fid[inception-clean]", None, "fid.inception-clean"),
        ("fid[folded]", "folded", "fid"),
        ("fid[openmoji-clip+folded]", "folded", "fid.openmoji-clip"),
    ],
)
def test_names_of_files_follow_from_names_of_metrics(name: str, variant: str | None, stem: str) -> None:
    """What the extractor adds to the name is taken off again."""
    protocol = {"extractor": {"variant": variant} if variant else {}}
    measure = Measure(
        metric=name,
        protocol=protocol,
        unit="distance",
        higher_is_better=False,
        method="",
        rows=(),
        verdict=None,
        notes=(),
    )

    assert file_stem(measure) == stem


def test_found_images_have_no_seed(make_folder: MakeFolder) -> None:
    """Nobody knows which noise they began from."""
    assert read_evidence(make_folder(source="images"), allow_partial=True).seed is None


def test_partial_runs_are_barred_unless_asked_for(make_folder: MakeFolder) -> None:
    """Whichever of the two summaries says so."""
    for has in (("geneval",), ("fid",)):
        with pytest.raises(UntrustworthyError, match="partial"):
            read_evidence(make_folder("-".join(has), has=has))


def test_a_run_without_numbers_says_what_to_do(make_folder: MakeFolder, tmp_path: Path) -> None:
    """A usage error with the command to type; a folder that is no run is one too."""
    with pytest.raises(UsageError, match="selfe-eval resume"):
        read_evidence(make_folder(has=()), allow_partial=True)
    with pytest.raises(UsageError, match="nowhere"):
        read_evidence(tmp_path / "nowhere")


def test_scores_that_are_not_those_of_the_summary_are_refused(make_folder: MakeFolder) -> None:
    """A flipped verdict, a changed or missing value, and a changed distance are each found by name."""
    stems = {
        "geneval.jsonl": ('"correct": true', '"correct": false'),
        "clip-score.openmoji-clip.jsonl": ('"value": 21.0', '"value": 22.0'),
        "fid.openmoji-clip.json": ('"value":10.0', '"value":11.0'),
    }
    for name, (before, after) in stems.items():
        folder = make_folder(name)
        path = folder / layout.SCORES_FOLDER / name
        content = path.read_text().replace('"value": 10.0', '"value":10.0')
        assert before in content
        path.write_text(content.replace(before, after, 1))
        with pytest.raises(UntrustworthyError, match=rf"{name.split('.')[0]}.* images at 1 steps"):
            read_evidence(folder, allow_partial=True)
    folder = make_folder("shorter")
    path = folder / layout.SCORES_FOLDER / "clip-score.openmoji-clip.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UntrustworthyError, match=r"of 6 images at 4 steps, but its scores give .* of 5"):
        read_evidence(folder, allow_partial=True)


def test_scores_of_another_protocol_are_refused(make_folder: MakeFolder) -> None:
    """The protocol of the scores has to be that of the summary, and each file has to be there."""
    values = make_folder("values")
    path = values / layout.SCORES_FOLDER / "clip-score.openmoji-clip.jsonl"
    lines = [{**json.loads(line), "scorer": "0" * 16} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UntrustworthyError, match="another protocol"):
        read_evidence(values, allow_partial=True)

    sets = make_folder("sets")
    fid, distances = written_distances(sets, EXTRACTOR)
    path = layout.distances_path(sets, fid.file_stem)
    write_distances(path, replace(distances, protocol={**distances.protocol, "version": 2}))
    with pytest.raises(UntrustworthyError, match="another protocol"):
        read_evidence(sets, allow_partial=True)
    write_distances(path, replace(distances, steps={1: distances.steps[1]}))
    with pytest.raises(UntrustworthyError, match="no number at 4 steps"):
        read_evidence(sets, allow_partial=True)
    path.unlink()
    with pytest.raises(UntrustworthyError, match="is missing"):
        read_evidence(sets, allow_partial=True)


def test_summaries_of_another_run_are_refused(make_folder: MakeFolder) -> None:
    """A summary copied from a run that was asked for other images is not this run's."""
    for number, name in enumerate((layout.SUMMARY_FILE, layout.METRICS_FILE)):
        run, other = make_folder(f"a{number}"), make_folder(f"b{number}", seed=8)
        (run / name).write_bytes((other / name).read_bytes())
        with pytest.raises(UntrustworthyError, match="asked for other images"):
            read_evidence(run, allow_partial=True)
