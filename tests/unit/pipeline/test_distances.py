from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.metrics import METRICS, Measured
from selfe_eval.pipeline import distances as stage
from selfe_eval.pipeline.comparing import Side, comparison, method_of
from selfe_eval.pipeline.distances import measure_distances
from selfe_eval.pipeline.extract import FeatureViewer, features_at
from selfe_eval.pipeline.generate import generate
from selfe_eval.pipeline.look import look
from selfe_eval.pipeline.opening import existing_run, planned_run
from selfe_eval.pipeline.progress import Advance, Silence
from selfe_eval.pipeline.reference_statistics import ReferenceStatistics
from selfe_eval.pipeline.references import Reference, find_reference
from selfe_eval.ranks import Ranks
from selfe_eval.runs.distances import Distances, images_sha256, read_distances
from selfe_eval.runs.run import open_run
from selfe_eval.score.fidelity.frechet import frechet_distance, gaussian_of
from selfe_eval.score.fidelity.replicates import prompt_groups
from tests.fakes import FakeGenerator, MeanColor, small_record, small_suite

SUITE = small_suite(prompts_per_task=2)
RECORD = small_record(SUITE)
PER_STEP_COUNT = 12 * 2
"""12 prompts, 2 images."""
COMPARED = tuple(
    Measured(metric=metric, extractor="mean-color")
    for metric in METRICS.values()
    if metric.need == "reference"
)
(FID,) = (one for one in COMPARED if one.metric.name == "fid")
(KID,) = (one for one in COMPARED if one.metric.name == "kid")
(COVERAGE,) = (one for one in COMPARED if one.metric.name == "coverage")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELFE_EVAL_CACHE", str(tmp_path / "cache"))


def draw(folder: Path, **changes: Any) -> Path:
    """A run folder with images and their features."""
    with planned_run(folder, small_record(SUITE, **changes)) as run:
        generate(run, SUITE, FakeGenerator, Silence())
    return extract(folder)


def extract(folder: Path) -> Path:
    with existing_run(folder) as run:
        look(run, [FeatureViewer(run, MeanColor())], Silence())
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return draw(tmp_path / "run")


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A folder of images that no run has drawn."""
    (tmp_path / "others").mkdir()
    generator = np.random.default_rng(0)
    for number in range(10):
        pixels = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "others" / f"{number}.png")
    return tmp_path / "others"


def measure(
    folder: Path, wanted: Sequence[Measured], reference: Path | str | Reference
) -> dict[str, Distances]:
    """Metric -> its document."""
    if isinstance(reference, Path | str):
        reference = find_reference(str(reference), SUITE)
    with existing_run(folder) as run:
        notices = measure_distances(run, SUITE, wanted, {"mean-color": MeanColor()}, reference, Silence())
    assert notices == ()
    return {one.metric.name: document(folder, one) for one in wanted}


def document(folder: Path, measured: Measured) -> Distances:
    found = read_distances(folder / "scores" / f"{measured.file_stem}.json")
    assert found is not None
    return found


def features(folder: Path, steps: int) -> NDArray[np.float32]:
    with existing_run(folder) as run:
        return features_at(run, MeanColor(), steps)[1][0:PER_STEP_COUNT]


def colors(folder: Path) -> NDArray[np.float64]:
    """What the extractor says of a folder's images, by another way."""
    return np.stack([np.asarray(Image.open(path)).mean(axis=(0, 1)) for path in sorted(folder.glob("*.png"))])


def test_a_run_is_at_no_distance_from_itself(folder: Path) -> None:
    """FID, CMMD 0, and every neighbourhood full; at the other step count it is another set."""
    found = measure(folder, COMPARED, f"{folder}@4")
    at_4 = {name: one.steps[4].value for name, one in found.items()}

    assert at_4["fid"] == pytest.approx(0.0, abs=1e-9)
    assert at_4["cmmd"] == pytest.approx(0.0, abs=1e-9)
    assert (at_4["precision"], at_4["recall"], at_4["coverage"]) == (1.0, 1.0, 1.0)
    assert found["fid"].steps[1].value > 0.01


def test_the_number_is_the_distance_of_the_features_to_the_reference(folder: Path, others: Path) -> None:
    """As computed by hand from the pixels of both sides."""
    found = measure(folder, [FID], others)["fid"]
    for steps in (1, 4):
        paths = sorted((folder / f"images/steps-{steps:03d}").rglob("samples/*.png"))
        own = np.stack([np.asarray(Image.open(path)).mean(axis=(0, 1)) for path in paths])
        expected = frechet_distance(gaussian_of(own), gaussian_of(colors(others)))
        assert found.steps[steps].value == pytest.approx(expected, rel=1e-5)
        assert (found.steps[steps].n, found.steps[steps].n_clusters) == (PER_STEP_COUNT, 12)


def test_each_replicate_leaves_out_one_group_of_prompts(folder: Path, others: Path) -> None:
    """All images of those prompts, and nothing else; the same groups at both step counts."""
    found = measure(folder, [FID, KID], others)
    groups = prompt_groups([p.prompt_id for p in SUITE.prompts], [p.task for p in SUITE.prompts])
    prompt_ids = np.repeat([p.prompt_id for p in SUITE.prompts], 2)
    for steps in (1, 4):
        rows = features(folder, steps)
        assert len(found["fid"].steps[steps].without) == len(found["kid"].steps[steps].without) == 12
        for group in (0, 7):
            left = rows[[groups[prompt_id] != group for prompt_id in prompt_ids]]
            assert len(left) == PER_STEP_COUNT - 2
            expected = frechet_distance(gaussian_of(left), gaussian_of(colors(others)))
            assert found["fid"].steps[steps].without[group] == pytest.approx(expected, rel=1e-5)


def test_half_the_images_are_another_reference(folder: Path, others: Path) -> None:
    """Number, protocol and note follow the reference's content."""
    whole = measure(folder, [FID], others)["fid"]
    for path in sorted(others.glob("*.png"))[::2]:
        path.unlink()
    half = measure(folder, [FID], others)["fid"]

    assert half.steps[4].value != whole.steps[4].value
    assert (whole.protocol["reference"]["n"], half.protocol["reference"]["n"]) == (10, 5)
    assert "others', 5 images." in half.notes[0]


def test_the_protocol_says_all_that_decides_a_number_and_nothing_of_the_machine(
    folder: Path, others: Path, tmp_path: Path
) -> None:
    """The same images under another name and path are the same protocol, to the byte."""
    first = measure(folder, COMPARED, others)
    others.rename(tmp_path / "renamed")
    second = measure(folder, COMPARED, tmp_path / "renamed")

    assert {name: one.protocol for name, one in first.items()} == {
        name: one.protocol for name, one in second.items()
    }
    assert "renamed" in second["fid"].notes[0]
    assert str(tmp_path) not in json.dumps([(one.protocol, one.notes) for one in second.values()])
    assert first["cmmd"].protocol == {
        "metric": "cmmd[mean-color]",
        "version": stage.VERSION,
        "method": "MMD^2",
        "kernel": "gaussian",
        "sigma": 10.0,
        "estimator": "biased",
        "scale": 1000.0,
        "extractor": {"extractor": "mean-color", "version": 1},
        "reference": find_reference(str(tmp_path / "renamed"), SUITE).record(),
        "prompts": 12,
        "images_per_prompt": 2,
    }


@dataclass(kw_only=True)
class Counting:
    """Features from memory that remember the largest block asked for."""

    rows: NDArray[np.float32]
    asked: list[int] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.shape[0], self.rows.shape[1]

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        found = self.rows[part]
        self.asked.append(len(found))
        return found


def test_the_reference_is_read_in_blocks_and_its_own_part_is_computed_once() -> None:
    """No metric asks for more than a block at a time; a second step count reads it once, for FID not at all."""
    generator = np.random.default_rng(0)
    reference = Counting(rows=generator.normal(size=(5000, 2)).astype(np.float32))
    side = Side(reference)
    rows = generator.normal(size=(60, 2)).astype(np.float32)
    names = [one.metric.name for one in COMPARED]
    first = comparison(names, rows, np.arange(60) % 6, side, num_groups=6)
    assert max(reference.asked) <= 2048
    assert set(names) <= set(first)

    reads = {}
    for name in ("fid", "kid", "coverage"):
        before = len(reference.asked)
        again = comparison([name], rows, np.arange(60) % 6, side, num_groups=6)
        reads[name] = len(reference.asked) - before
        assert again[name].value == first[name].value
    assert reads == {"fid": 0, "kid": 3, "coverage": 10}


def test_numbers_that_are_there_are_not_computed_again(folder: Path, others: Path) -> None:
    """A planted value stays: same images, same protocol; so does the file."""
    measure(folder, [FID], others)
    path = folder / "scores/fid.mean-color.json"
    planted = json.loads(path.read_text())
    planted["steps"]["1"]["value"] = 77.0
    path.write_text(json.dumps(planted))
    before = path.stat().st_mtime_ns

    assert measure(folder, [FID], others)["fid"].steps[1].value == 77.0
    assert path.stat().st_mtime_ns == before


class Told:
    """Remembers what stages said of themselves, and how many images each did."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int, int]] = []
        self.advanced: list[tuple[int, str]] = []

    @contextlib.contextmanager
    def stage(self, name: str, *, total: int, done: int) -> Iterator[Advance]:
        self.stages.append((name, total, done))
        yield lambda count, detail: self.advanced.append((count, detail))


def test_progress_counts_what_is_missing(folder: Path, others: Path) -> None:
    """A step count whose numbers are there needs no work, not even a look at the reference, and none is told of."""
    measure(folder, [FID], others)
    looked = ("reference (mean-color)", 10, 10)
    for wanted, done, advanced in (
        ([FID], 48, []),
        ([FID, KID], 0, [(24, "1 steps"), (24, "4 steps")]),
    ):
        told = Told()
        with existing_run(folder) as run:
            reference = find_reference(str(others), SUITE)
            measure_distances(run, SUITE, wanted, {"mean-color": MeanColor()}, reference, told)
        assert told.stages == [*([looked] if advanced else []), ("compare (mean-color)", 48, done)]
        assert told.advanced == advanced


@pytest.mark.parametrize("changed", ["image", "protocol", "version"])
def test_numbers_of_other_images_or_another_protocol_are_computed_again(
    folder: Path, others: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted value goes where anything that decides it has changed; only the changed step count is touched."""
    measure(folder, [FID], others)
    path = folder / "scores/fid.mean-color.json"
    planted = json.loads(path.read_text())
    for steps in ("1", "4"):
        planted["steps"][steps]["value"] = 77.0
    if changed == "image":
        planted["steps"]["1"]["images_sha256"] = images_sha256([])
    if changed == "protocol":
        planted["protocol"]["reference"]["sha256"] = "0" * 64
    if changed == "version":
        monkeypatch.setattr(stage, "VERSION", stage.VERSION + 1)
    path.write_text(json.dumps(planted))
    found = measure(folder, [FID], others)["fid"]

    assert found.steps[1].value != 77.0
    assert (found.steps[4].value == 77.0) == (changed == "image")


def test_several_metrics_of_one_extractor_are_computed_in_one_pass(folder: Path, others: Path) -> None:
    """Together they are what each is alone."""
    together = measure(folder, COMPARED, others)
    for one in COMPARED:
        (folder / "scores" / f"{one.file_stem}.json").unlink()
        assert measure(folder, [one], others)[one.metric.name] == together[one.metric.name]


def test_the_first_process_alone_computes_and_every_process_meets_once(folder: Path, others: Path) -> None:
    """Two that wrote one file would spoil each other's work; the others must not read before it is there."""

    @dataclass(frozen=True, kw_only=True)
    class Pair(Ranks):
        met: list[int] = field(default_factory=list)

        def meet(self) -> None:
            self.met.append(self.index)

    reference = find_reference(str(others), SUITE)
    for index in (1, 0):
        ranks = Pair(index=index, count=2)
        run = open_run(folder, ranks)
        assert not (folder / "scores").exists()
        measure_distances(run, SUITE, [FID], {"mean-color": MeanColor()}, reference, Silence())
        assert ranks.met == [index]
    assert document(folder, FID).steps.keys() == {1, 4}


def statistics(width: int = 3) -> ReferenceStatistics:
    return ReferenceStatistics(
        title="the statistics 's.npz'", sha256="5" * 64, mean=np.zeros(width), covariance=np.eye(width)
    )


def test_statistics_give_the_same_distance_as_the_images_they_were_made_from(
    folder: Path, others: Path, tmp_path: Path
) -> None:
    """Mean and covariance are all that a Frechet distance sees; the note says that nobody knows their origin."""
    rows = colors(others)
    np.savez(tmp_path / "s.npz", mu=rows.mean(axis=0), sigma=np.cov(rows, rowvar=False))
    from_images = measure(folder, [FID], others)["fid"]
    found = measure(folder, [FID], tmp_path / "s.npz")["fid"]

    assert found.steps[4].value == pytest.approx(from_images.steps[4].value, rel=1e-5)
    assert found.protocol["reference"] == find_reference(str(tmp_path / "s.npz"), SUITE).record()
    assert any("does not say" in note for note in found.notes)


def test_statistics_of_another_width_are_refused(folder: Path) -> None:
    """They were made with another extractor."""
    with pytest.raises(UsageError, match=r"is 4, but the extractor mean-color makes features of width 3"):
        measure(folder, [FID], statistics(4))
    with pytest.raises(UsageError, match="kid"):
        measure(folder, [KID], statistics())


def test_few_images_are_noted_where_they_matter(folder: Path, others: Path) -> None:
    """A Frechet distance of few images is too large, of fewer than the width meaningless; KID is neither."""
    found = measure(folder, [FID, KID], others)

    assert any(note.startswith("Unreliable (N < 5k): 10 images") for note in found["fid"].notes)
    assert not any("Unreliable" in note for note in found["kid"].notes)
    for path in sorted(others.glob("*.png"))[3:]:
        path.unlink()
    assert any(
        "3 images do not determine a covariance" in note
        for note in measure(folder, [FID], others)["fid"].notes
    )


def test_unequal_counts_are_noted_where_neighbours_count(folder: Path, others: Path, tmp_path: Path) -> None:
    """Few images cover little of a large reference, whatever they show."""
    assert any(
        "The run has 24 images at a step count and the reference 10" in note
        for note in measure(folder, [COVERAGE], others)["coverage"].notes
    )
    assert len(measure(folder, [COVERAGE], draw(tmp_path / "same", seed=1))["coverage"].notes) == 1


def test_too_few_images_for_a_number_are_an_error(folder: Path, others: Path, tmp_path: Path) -> None:
    """Of the reference, and of the run: with how many there are and how many it needs."""
    for path in sorted(others.glob("*.png"))[5:]:
        path.unlink()
    with pytest.raises(
        UsageError, match=r"needs a reference of 6 images at least, and the folder 'others' has 5"
    ):
        measure(folder, [COVERAGE], others)
    small = draw(tmp_path / "small", limit=1, images_per_prompt=1)
    with pytest.raises(UntrustworthyError, match=r"needs 2 images at least and there are 1 at 1 steps"):
        measure(small, [FID], others)
    assert not (small / "scores").exists()


def test_a_run_that_lacks_images_has_no_distance_and_a_partial_one_says_so(
    others: Path, tmp_path: Path
) -> None:
    """What is left of a run is another set of images; one that was planned small is what it is."""
    partial = draw(tmp_path / "partial", limit=6)
    assert any("partial" in note for note in measure(partial, [FID], others)["fid"].notes)

    whole = draw(tmp_path / "whole")
    lines = (whole / "images.jsonl").read_text().splitlines(keepends=True)
    (whole / "images.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(UntrustworthyError, match="has 23 of 24 images at 4 steps"):
        measure(extract(whole), [FID], others)


def test_features_that_are_not_there_are_an_error(folder: Path, others: Path) -> None:
    """Nothing is looked at here: the stage before this one does."""
    for path in (folder / "features").rglob("*.safetensors"):
        path.unlink()
    with pytest.raises(UntrustworthyError, match="should hold the features"):
        measure(folder, [FID], others)


def test_a_method_is_spelt_out_for_every_metric_with_a_reference() -> None:
    """No two of one extractor are told apart by their name alone but those that share their computation."""
    methods = {one.metric.name: json.dumps(method_of(one.metric.name)) for one in COMPARED}
    assert methods["precision"] == methods["recall"] != methods["coverage"] == methods["density"]
    assert methods["fid"] == methods["clean-fid"] == methods["fd-dinov2"]
    assert len(set(methods.values())) == 5
