from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.runs import layout
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.runs.run import Run, RunRecord, create_or_open, lock_folder, open_run
from selfe_eval.runs.spec import LATER_FIELDS, RunSpec

SPEC = RunSpec(
    suite="openmoji",
    suite_sha256="0" * 64,
    source="checkpoint",
    model="selfe-tiny",
    checkpoint_sha256={"model.safetensors": "1" * 64},
    steps=(1, 4),
    images_per_prompt=2,
    detector="openmoji",
    batch_size=8,
)
RECORD = RunRecord(
    spec=SPEC, prompt_ids=(0, 1, 5), partial=True, nfe={1: 2, 4: 8}, attempts=({"argv": ["x"]},)
)


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    """run.json holds everything of the record."""
    create_or_open(tmp_path, RECORD)
    assert open_run(tmp_path).record == RECORD


def test_every_field_of_the_spec_counts(tmp_path: Path) -> None:
    """A folder refuses a run that differs in any field, and names the field."""
    create_or_open(tmp_path, RECORD)
    changes: dict[str, Any] = {
        "suite": "geneval",
        "suite_sha256": "2" * 64,
        "source": "images",
        "model": "flow-tiny",
        "checkpoint_sha256": {"model.safetensors": "3" * 64},
        "images_dir": "/x",
        "steps": (1, 2),
        "images_per_prompt": 4,
        "limit": 3,
        "seed": 1,
        "guidance": 2.0,
        "eta": 0.5,
        "s_schedule": "next",
        "guidance_norm": "robust",
        "negative_prompt": "a dog",
        "noise_rule": "heuristic",
        "warp": 0.0,
        "adapter": "diffusers",
        "settings": {"guidance": 3.5},
        "detector": "mmdet",
        "batch_size": 16,
    }
    assert set(changes) == {field.name for field in fields(SPEC)}
    for name, value in changes.items():
        other = replace(RECORD, spec=replace(SPEC, **{name: value}))
        assert other.spec.sha256 != SPEC.sha256
        with pytest.raises(UsageError, match=rf"differs in {name}: "):
            create_or_open(tmp_path, other)
    assert open_run(tmp_path).record == RECORD


def test_runs_from_before_a_field_keep_their_hash() -> None:
    """A spec without the later fields reads as None in them and has the hash it was written with; none other may lack."""
    assert LATER_FIELDS.isdisjoint(SPEC.as_json())
    assert SPEC.sha256 == "f3cedf2bb47eaf3e282edcd1177fedc60722f6aabd504386a598cd9c144d5e2c"
    assert RunSpec.from_json(SPEC.as_json()) == SPEC
    named = replace(SPEC, warp=0.0, negative_prompt="", adapter="flux.1-dev", settings={"guidance": 3.5})
    assert RunSpec.from_json(named.as_json()) == named
    with pytest.raises(UntrustworthyError, match=r"differing: eta, sampler\)"):
        RunSpec.from_json({**{k: v for k, v in SPEC.as_json().items() if k != "eta"}, "sampler": 1})


def test_opening_again_keeps_what_happened(tmp_path: Path) -> None:
    """Opening with the same spec keeps the status and attempts on disk; a checkpoint that moved is found."""
    create_or_open(tmp_path, RECORD).update(status="incomplete")
    moved = create_or_open(tmp_path, replace(RECORD, checkpoint="/new", attempts=())).record
    assert moved == open_run(tmp_path).record
    assert (moved.status, moved.checkpoint, moved.attempts) == ("incomplete", "/new", RECORD.attempts)


def test_what_is_measured_adds_up(tmp_path: Path) -> None:
    """Another metric asked of the same run joins the former ones, in the table's order, and on disk."""
    create_or_open(tmp_path, replace(RECORD, measures=MeasureOptions(metrics=("fid", "fid[dinov2]"))))
    create_or_open(tmp_path, RECORD)
    create_or_open(tmp_path, replace(RECORD, measures=MeasureOptions(metrics=("clip-score", "fid"))))
    measured = open_run(tmp_path).record.measures
    assert measured.metrics == ("geneval", "clip-score", "fid", "fid[dinov2]")


def test_options_of_a_metric_follow_the_last_command_that_asks_for_it() -> None:
    """A reference is replaced by a metric that reads one, also by the suite's own, and kept by every other metric."""
    first = MeasureOptions(
        metrics=("kid",), reference="/reference", weights={"inception": "/old", "dinov2": "/d"}
    )
    assert first.joined(MeasureOptions(metrics=("clip-score",), clip_protocol="hessel")) == MeasureOptions(
        metrics=("clip-score", "kid"), reference="/reference", clip_protocol="hessel", weights=first.weights
    )
    replaced = first.joined(MeasureOptions(metrics=("fid",), reference="/new"))
    assert (replaced.metrics, replaced.reference) == (("fid",), "/new"), (
        "no metric is left of the former reference"
    )
    assert first.joined(MeasureOptions(metrics=("fid",))).reference is None
    beside = first.joined(MeasureOptions(metrics=("fid",), reference="/reference"))
    assert (beside.metrics, beside.reference) == (("fid", "kid"), "/reference")
    newer = first.joined(MeasureOptions(metrics=("fid",), weights={"inception": "/new"}))
    assert newer.weights == {"inception": "/new", "dinov2": "/d"}


def test_one_protocol_of_clip_score_takes_the_place_of_another() -> None:
    """Else the former metric, with an extractor that the new protocol is not defined for, could never be read again."""
    first = MeasureOptions(metrics=("clip-score", "clip-score[clip-vit-l-14]", "fid"))
    later = first.joined(MeasureOptions(metrics=("clip-score",), clip_protocol="hessel"))
    assert (later.metrics, later.clip_protocol) == (("clip-score", "fid"), "hessel")
    assert first.joined(MeasureOptions(metrics=("clip-score",))).metrics == first.metrics
    assert first.joined(MeasureOptions(metrics=("fid",), clip_protocol="hessel")).metrics == first.metrics


def test_a_command_without_geneval_leaves_the_judge(tmp_path: Path) -> None:
    """Only who asks for GenEval says with which files it is judged; `fid` on the same run does not reset them."""
    judge = JudgeOptions(color_mode="reference", detector_weights="/mine.pth")
    create_or_open(tmp_path, replace(RECORD, judge=judge))
    fid = replace(RECORD, measures=MeasureOptions(metrics=("fid",)))
    assert create_or_open(tmp_path, fid).record.judge == judge
    assert create_or_open(tmp_path, RECORD).record.judge == JudgeOptions()
    assert open_run(tmp_path).record.judge == JudgeOptions()


def test_an_update_without_change_writes_nothing(tmp_path: Path) -> None:
    """A second run of a finished command leaves run.json untouched."""
    run = create_or_open(tmp_path, RECORD)
    (tmp_path / layout.RUN_FILE).unlink()
    run.update(status="started")
    assert not (tmp_path / layout.RUN_FILE).exists()


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    """Results are not mixed with a stranger's files; what a crash at the very start leaves is no stranger."""
    (tmp_path / ".lock").touch()
    (tmp_path / ".run.json.tmp").touch()
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        create_or_open(tmp_path, RECORD)
    (tmp_path / "thesis.tex").unlink()
    assert isinstance(create_or_open(tmp_path, RECORD), Run)


def test_a_locked_folder_is_refused_until_it_is_free(tmp_path: Path) -> None:
    """Two processes never work on one folder."""
    with lock_folder(tmp_path), pytest.raises(UsageError, match="Another process"), lock_folder(tmp_path):
        pass
    with lock_folder(tmp_path):
        pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema_version 99"),
        ({"spec_sha256": "0" * 64}, "does not match its own hash"),
        ({"status": "perfect"}, "status 'perfect'"),
        ({"spec": {"suite": "x"}}, "fields this version knows"),
        ({"nfe": None}, "lacks or garbles"),
        ({"nfe": {"few": 2}}, "lacks or garbles"),
        ({"measures": {**MeasureOptions().as_json(), "metrics": ["fud"]}}, r"lacks or garbles .* \['fud'\]"),
        ({"spec": {**SPEC.as_json(), "seed": 7}}, "does not match its own hash"),
    ],
)
def test_an_edited_record_is_not_believed(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """run.json that was edited, or is of another version, is refused with the reason."""
    create_or_open(tmp_path, RECORD)
    path = tmp_path / layout.RUN_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UntrustworthyError, match=message):
        open_run(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\x00"])
def test_a_damaged_run_file_is_named(tmp_path: Path, content: bytes) -> None:
    """A run.json that is no JSON object is damage, not a traceback."""
    (tmp_path / layout.RUN_FILE).write_bytes(content)
    with pytest.raises(UntrustworthyError, match=r"run\.json is damaged"):
        open_run(tmp_path)


def test_a_folder_without_a_run_says_what_was_expected(tmp_path: Path) -> None:
    """Opening something else names the file that a run folder has."""
    with pytest.raises(UsageError, match=r"expected the file .*run\.json"):
        open_run(tmp_path / "missing")


def test_the_default_folder_follows_from_the_spec_alone() -> None:
    """The same command finds the same folder; another command finds another; names are safe as file names."""
    assert SPEC.folder_name() == replace(SPEC).folder_name()
    assert SPEC.folder_name().startswith("openmoji-selfe-tiny-")
    assert SPEC.folder_name() != replace(SPEC, seed=1).folder_name()
    assert "/" not in replace(SPEC, model="../my model").folder_name()


def test_the_resume_command_survives_a_space_in_the_path(tmp_path: Path) -> None:
    """The printed command can be pasted into a shell."""
    run = Run(folder=tmp_path / "my run", record=RECORD)
    assert run.resume_command.endswith("my run'")


def test_a_run_of_code_goes_on_by_the_command_that_named_it(tmp_path: Path) -> None:
    """Where the model is code, no run folder may name it: the way on is the first command, ready to be pasted."""
    argv = ["selfe-eval", "geneval", "--model", "mine:draw", "--out", "my runs"]
    record = replace(
        RECORD, spec=replace(SPEC, source="model", adapter="mine:draw"), attempts=({"argv": argv},)
    )
    assert Run(folder=tmp_path, record=record).resume_command == (
        "selfe-eval geneval --model mine:draw --out 'my runs'"
    )
