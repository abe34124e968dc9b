from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.schedules import schedules
from selfe_eval.errors import UsageError


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone, on the CPU."""
    app = typer.Typer()
    app.command()(schedules)
    return CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--steps", "0"), "whole numbers of at least 1"),
        (("--s-schedules", "nxt"), "next, current"),
        (("--s-schedules", "0.5,0.50"), "repeated: 0.5"),
        (("--etas", "0,2"), "found '2'"),
        (("--etas", "1,1.0"), "repeated: 1"),
        (("--warps", "-1,up"), "found 'up'"),
        (("--warps", "model,-21,nan"), "found '-21', 'nan'"),
        (("--warps", "0,model,-0"), "repeated: 0"),
        (("--suite", "openmogi"), "Did you mean 'openmoji'"),
    ],
)
def test_what_cannot_be_swept_is_a_usage_error(
    arguments: tuple[str, ...], complaint: str, random_checkpoint: Path, tmp_path: Path
) -> None:
    """Bad step counts, schedules, etas, warps and suites are named before anything is made."""
    result = invoke("--ckpt", random_checkpoint, "--out", tmp_path / "out", *arguments)

    assert isinstance(result.exception, UsageError)
    assert complaint in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_sweep_writes_runs_and_maps_and_goes_on(random_checkpoint: Path, tmp_path: Path) -> None:
    """Two cells and the default become three run folders; the same command again gives the same document."""
    out = tmp_path / "sweep"
    command: tuple[str | Path, ...] = (
        "--ckpt",
        random_checkpoint,
        "--out",
        out,
        "--limit",
        "6",
        "--images-per-prompt",
        "1",
    )
    command = (*command, "--steps", "1,2", "--s-schedules", "current", "--etas", "0,1", "--json")
    first, second = invoke(*command), invoke(*command)
    document = json.loads(first.stdout.splitlines()[0])

    assert document == json.loads((out / "result.json").read_text())
    assert second.stdout.splitlines()[0] == first.stdout.splitlines()[0]
    assert sorted(path.name for path in (out / "runs").iterdir()) == [
        "s-current-eta-0",
        "s-current-eta-1",
        "s-next-eta-1",
    ]
    for path in (out / "runs").iterdir():
        spec = json.loads((path / "run.json").read_text())["spec"]
        assert path.name == f"s-{spec['s_schedule']}-eta-{spec['eta']:g}"
    assert document["default"] == {"s_schedule": "next", "eta": 1.0, "warp": None}
    assert "warps" not in json.loads((out / "schedules.json").read_text())
    assert {cell["overall"]["n"] for cell in document["cells"]} == {6}
    assert sorted(path.name for path in out.glob("*.png")) == ["heat-steps-001.png", "heat-steps-002.png"]

    other = invoke(*command, "--seed", "1")
    assert isinstance(other.exception, UsageError)
    assert "other settings" in str(other.exception)


def test_warps_are_swept_beside_the_models_own(random_checkpoint: Path, tmp_path: Path) -> None:
    """A warp draws other images where there is a time in between, and the same ones at one step; the model's own is one more."""
    out = tmp_path / "sweep"
    shared: tuple[str | Path, ...] = ("--ckpt", random_checkpoint, "--out", out, "--limit", "6", "--json")
    shared = (*shared, "--images-per-prompt", "1", "--steps", "1,2", "--s-schedules", "next", "--etas", "1")
    document = json.loads(invoke(*shared, "--warps", "0,-1.50").stdout.splitlines()[0])
    runs = out / "runs"
    own, linear, early = (runs / f"s-next-eta-1{end}" for end in ("", "-warp-0", "-warp--1.5"))

    assert sorted(path.name for path in runs.iterdir()) == sorted(path.name for path in (own, linear, early))
    for folder, warp in ((linear, 0.0), (early, -1.5)):
        spec = json.loads((folder / "run.json").read_text())["spec"]
        assert (spec["s_schedule"], spec["eta"], spec["warp"]) == ("next", 1.0, warp)
        assert pictures(folder, 1) == pictures(own, 1)
        assert pictures(folder, 2) != pictures(own, 2)
    assert "warp" not in json.loads((own / "run.json").read_text())["spec"]
    assert [(cell["warp"], cell["is_default"], cell["run"]) for cell in document["cells"][::2]] == [
        *((None, True, str(own)), (0.0, False, str(linear)), (-1.5, False, str(early)))
    ]
    assert json.loads((out / "schedules.json").read_text())["warps"] == [0.0, -1.5]
    assert not list(out.glob("*.png"))


def pictures(folder: Path, steps: int) -> list[bytes]:
    """The images of a run at a step count."""
    found = [path.read_bytes() for path in sorted(folder.glob(f"images/steps-{steps:03d}/**/*.png"))]
    assert len(found) == 6
    return found
