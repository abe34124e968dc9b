from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.ablate import ablate
from selfe_eval.errors import UsageError
from selfe_eval.metrics import measured_on, metrics_of
from selfe_eval.pipeline.ablate import VARIANTS
from selfe_eval.resources import checkpoints_dir

BUNDLED = ("selfe-tiny", "openmoji-detector", "openmoji-clip")
OTHER_METRICS = [measured_on(name, "openmoji") for name in metrics_of("openmoji") if name != "geneval"]


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone, on the CPU."""
    app = typer.Typer()
    app.command()(ablate)
    return CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--variants", "self_e,flow_machting"), "Did you mean 'flow_matching'?"),
        (("--variants", "imm,imm"), "repeated: imm"),
        (("--variants", "imm,self_e", "--baseline", "flow_matching"), "one of the variants of this command"),
        (("--steps", "2,2"), "repeated: 2"),
        (("--seeds", "0,-1"), "found '-1'"),
        (("--seeds", "1,01"), "repeated: 1"),
        (("--smoke", "--warm-start", "20"), "fewer than the 20 steps"),
        (("--smoke", "--variants", "imm", "--batch-size", "6"), "a multiple of 4"),
    ],
)
def test_what_cannot_be_ablated_is_a_usage_error(
    arguments: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    """Unknown variants, bad lists and a budget that does not fit are named before anything is made."""
    result = invoke("--out", tmp_path / "out", *arguments)

    assert isinstance(result.exception, UsageError)
    assert complaint in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    """A file, and a folder with other files in it, are refused and stay as they were."""
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    for name, complaint in (("file", "is a file"), ("full", "is not empty")):
        result = invoke("--out", tmp_path / name, "--smoke", "--variants", "self_e")

        assert isinstance(result.exception, UsageError)
        assert complaint in str(result.exception)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_the_list_shows_every_variant_and_makes_nothing(tmp_path: Path) -> None:
    """Each variant has a line with its objective."""
    lines = invoke("--out", tmp_path / "out", "--variants", "list").stdout.splitlines()

    assert [line.split()[0] for line in lines] == list(VARIANTS)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(
    not all((checkpoints_dir() / name / "config.json").is_file() for name in BUNDLED),
    reason="the bundled weights are not in this checkout",
)
def test_an_ablation_goes_from_training_to_tables_and_takes_more_variants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each variant is trained, drawn and measured once, whoever is asked for later; other settings are refused."""
    monkeypatch.setenv("SELFE_EVAL_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "ablation"
    shared: tuple[str | Path, ...] = (
        "--out",
        out,
        "--smoke",
        "--iterations",
        "3",
        "--limit",
        "12",
        "--images-per-prompt",
        "2",
    )
    shared = (*shared, "--steps", "1,2", "--json")

    def document(*changes: str) -> dict[str, Any]:
        result = invoke(*shared, *changes)
        assert result.exception is None
        found: dict[str, Any] = json.loads(result.stdout.splitlines()[0])
        assert found == json.loads((out / "result.json").read_text())
        return found

    first = document("--variants", "flow_matching")
    was_measured_by_geneval_alone(out / "runs" / "flow_matching-seed-0")
    before = times(out)
    both = document("--variants", "flow_matching,self_e")
    made = times(out)
    other = document("--variants", "flow_matching,self_e", "--baseline", "self_e")
    fewer = document("--variants", "self_e")

    assert {row["overall"]["n"] for one in both["variants"] for row in one["rows"]} == {24}
    for one in both["variants"]:
        metrics = [number["metric"] for number in one["measures"]]
        assert list(dict.fromkeys(metrics)) == [measured.name for measured in OTHER_METRICS]
        assert [number["steps"] for number in one["measures"]] == [1, 2] * len(OTHER_METRICS)
        assert all(number["overall"]["ci"] and number["seed"] == 0 for number in one["measures"])
        assert one["train_seconds"][0] > 0
        assert (Path(one["runs"][0]) / "metrics.json").is_file()
    assert first["variants"][0]["measures"] == both["variants"][0]["measures"]
    assert before.items() <= made.items()
    assert times(out) == made
    assert (both["baseline"], other["baseline"], fewer["baseline"]) == ("flow_matching", "self_e", None)
    assert [one["variant"] for one in fewer["variants"]] == ["self_e"]
    plan = json.loads((out / "ablate.json").read_text())
    assert list(plan["trainings"]) == ["flow_matching-seed-0", "self_e-seed-0"]
    assert plan["budget"]["images_seen"] == 24

    refused = invoke(*shared, "--variants", "self_e", "--iterations", "4")
    assert isinstance(refused.exception, UsageError)
    assert "budget" in str(refused.exception)


def was_measured_by_geneval_alone(folder: Path) -> None:
    """Take everything out of a run folder that no metric but GenEval wrote."""
    (folder / "metrics.json").unlink()
    shutil.rmtree(folder / "features")
    for path in (folder / "scores").iterdir():
        if not path.name.startswith("geneval"):
            path.unlink()
    record = json.loads((folder / "run.json").read_text())
    record.pop("measures")
    (folder / "run.json").write_text(json.dumps(record))


def times(out: Path) -> dict[str, int]:
    """When weights, images and GenEval's scores were written."""
    found = [
        path
        for pattern in ("training/*/checkpoint/*.safetensors", "runs/**/*.png", "runs/*/scores/geneval.jsonl")
        for path in out.glob(pattern)
    ]
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in found}
