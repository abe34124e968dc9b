from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.cli.asked import Asked, Judge, Measuring, Place, Request, Sampler, Source
from selfe_eval.cli.measure import parse_metrics
from selfe_eval.cli.measuring import request_of
from selfe_eval.errors import UsageError
from selfe_eval.pipeline.jobs import CheckpointJob
from selfe_eval.runs.measures import MeasureOptions


def request(source: Source, **groups: Any) -> Request:
    """What is asked where nothing but the source, and what a test says, is typed."""
    asked, sampler, place = (groups.get(n, kind()) for n, kind in GROUPS.items())
    return request_of(source, asked, sampler, Judge(), place, metrics=("geneval",))


GROUPS: dict[str, type[Any]] = {"asked": Asked, "sampler": Sampler, "place": Place}
TINY = Source(ckpt="selfe-tiny")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (Source(), "none of them"),
        (Source(ckpt="selfe-tiny", images=Path("here")), "--ckpt and --images"),
        (Source(ckpt="a", model="b", images=Path("c")), "--ckpt and --model and --images"),
    ],
)
def test_images_come_from_one_place(source: Source, found: str) -> None:
    """None of the three ways, or more than one, is an error that names what was found."""
    with pytest.raises(UsageError, match=f"found {found}"):
        request(source).job()


def test_a_checkpoint_gets_what_nobody_typed() -> None:
    """Five step counts, four images a prompt, the suite it was made for, and batches of 64."""
    job = request(TINY).job()
    assert isinstance(job, CheckpointJob)
    spec = job.record().spec
    assert (spec.steps, spec.images_per_prompt, spec.suite) == ((1, 2, 4, 8, 50), 4, "openmoji")
    assert (spec.batch_size, spec.detector) == (64, "openmoji")


def test_what_is_measured_is_no_part_of_the_spec() -> None:
    """The same images in the same folder, whatever is measured of them."""
    one = request(TINY)
    other = replace(one, measures=MeasureOptions(metrics=("fid",), clip_protocol="hessel"))
    assert one.job().record().spec == other.job().record().spec
    assert other.job().record().measures.metrics == ("fid",)


@pytest.mark.parametrize(
    ("groups", "option"),
    [
        ({"sampler": Sampler(guidance=3.0)}, "--guidance"),
        ({"sampler": Sampler(s_schedule="next")}, "--s-schedule"),
        ({"asked": Asked(limit=3)}, "--limit"),
        ({"asked": Asked(seed=1)}, "--seed"),
        ({"place": Place(batch_size=8)}, "--batch-size"),
    ],
)
def test_options_of_drawing_do_not_go_with_images(
    tmp_path: Path, groups: dict[str, Any], option: str
) -> None:
    """Images that are there already are not drawn: an option that would be ignored is refused."""
    with pytest.raises(UsageError, match=f"^{option} cannot be given with --images"):
        request(Source(images=tmp_path), **groups).job()


@pytest.mark.parametrize(
    ("source", "asked", "message"),
    [
        (TINY, Asked(allow_partial=True), "--allow-partial goes with --images"),
        (replace(TINY, name="other"), Asked(), "--name goes with --model and --images"),
    ],
)
def test_options_of_images_do_not_go_with_a_checkpoint(source: Source, asked: Asked, message: str) -> None:
    """What would be ignored is refused."""
    with pytest.raises(UsageError, match=message):
        request(source, asked=asked).job()


def test_references_and_weights_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run can be resumed from anywhere; a step count behind a reference stays."""
    (tmp_path / "run").mkdir()
    (tmp_path / "inception.pth").touch()
    monkeypatch.chdir(tmp_path)
    options = Measuring(reference="run@8", weights=["inception=inception.pth"]).options(("fid",))
    assert options.reference == f"{tmp_path / 'run'}@8"
    assert options.weights == {"inception": str(tmp_path / "inception.pth")}
    assert Measuring(reference="run").options(("fid",)).reference == str(tmp_path / "run")


@pytest.mark.parametrize(
    ("measuring", "message"),
    [
        (Measuring(reference="nowhere"), "--reference nowhere: expected a file or folder"),
        (Measuring(reference="nowhere@8"), "--reference nowhere: expected a file or folder"),
        (Measuring(weights=["inception"]), "expected EXTRACTOR=PATH"),
        (Measuring(weights=["inceptio=x"]), "Did you mean 'inception'"),
        (Measuring(weights=["inception=gone.pth"]), "--weights gone.pth: expected a file"),
        (Measuring(clip_protocol="hesel"), "Did you mean 'hessel'"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    measuring: Measuring, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each says what was expected, before anything is loaded."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        measuring.options(("fid",))


@pytest.mark.parametrize("text", ["", "fid,", "fid,,kid", "fid,fid"])
def test_a_list_of_metrics_names_each_once(text: str) -> None:
    """An empty or repeated name is an error."""
    with pytest.raises(UsageError, match="each once"):
        parse_metrics(text)
