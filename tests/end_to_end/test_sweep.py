"""All metrics of a run by the installed command, with the bundled checkpoint, judge and extractor."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.metrics import metrics_of
from selfe_eval.resources import checkpoints_dir
from tests.fakes import folder_state

PROGRAM: list[str | Path] = [Path(sys.executable).with_name("selfe-eval")]
TWO_PROCESSES: list[str | Path] = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    *("-m", "selfe_eval"),
]
JOB = ["sweep", "--ckpt", "selfe-tiny", "--steps", "1,2", "--limit", "12", "--images-per-prompt", "2"]
NUM_IMAGES = 24
"""At each step count."""
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Of torch-fidelity's release v0.2.0."""
FOUND = ["--suite", "openmoji", "--allow-partial", "--json"]
BUNDLED = ("selfe-tiny", "openmoji-detector", "openmoji-clip")
WAIT_SECONDS = 300

pytestmark = pytest.mark.skipif(
    not all((checkpoints_dir() / name / "config.json").is_file() for name in BUNDLED),
    reason="the bundled weights are not in this checkout",
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Caches of the test's own, no weights but the bundled ones, and a network that answers nobody."""
    folder = tmp_path_factory.mktemp("caches")
    return {
        **os.environ,
        "NO_COLOR": "1",
        "OMP_NUM_THREADS": "1",
        "SELFE_EVAL_CACHE": str(folder / "features"),
        "SELFE_EVAL_WEIGHTS": str(folder / "weights"),
        "TORCH_HOME": str(folder / "torch"),
        "HF_HUB_OFFLINE": "1",
        "https_proxy": "http://127.0.0.1:9",
    }


Run = Callable[..., tuple[int, str, str]]
"""(arguments, folder, program) -> exit code, stdout and stderr."""


@pytest.fixture(scope="module")
def run(environment: dict[str, str]) -> Run:
    def run(
        *arguments: str | Path, folder: Path, program: list[str | Path] = PROGRAM
    ) -> tuple[int, str, str]:
        with start(*arguments, folder=folder, environment=environment, program=program) as process:
            out, err = process.communicate(timeout=WAIT_SECONDS)
        return process.returncode, out, err

    return run


def start(
    *arguments: str | Path, folder: Path, environment: dict[str, str], program: list[str | Path] = PROGRAM
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
    )


@pytest.fixture(scope="module")
def finished(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A working directory where the job has been done, and the JSON document it printed; not to be changed."""
    folder = tmp_path_factory.mktemp("sweep")
    exit_code, out, err = run(*JOB, "--json", folder=folder)
    assert exit_code == 0, err
    return folder, out


def run_folder(folder: Path) -> Path:
    """The only run in a working directory."""
    (found,) = (folder / "results" / "runs").iterdir()
    return found


@pytest.fixture
def copied(finished: tuple[Path, str], tmp_path: Path) -> Path:
    """The finished run, to be damaged."""
    return Path(shutil.copytree(run_folder(finished[0]), tmp_path / "run"))


def values(out: str, metric: str) -> list[float]:
    """What was printed of a metric, by step count."""
    rows = json.loads(out)["rows"]
    return [row["overall"]["value"] for row in rows if row["metric"].partition("[")[0] == metric]


def metric_state(folder: Path) -> dict[str, Any]:
    """What any history of a run must end in: images, features and numbers to the bit, all but the times."""
    files = [*folder.glob("features/*/*"), *folder.glob("scores/*")]
    state = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    state["metrics.json"] = without_seconds(json.loads((folder / "metrics.json").read_bytes()))
    return {**state, **folder_state(folder)}


def without_seconds(document: Any) -> Any:
    if isinstance(document, dict):
        return {
            name: without_seconds(one) for name, one in document.items() if not name.startswith("seconds")
        }
    return [without_seconds(one) for one in document] if isinstance(document, list) else document


def test_every_metric_has_a_value_and_an_interval_at_each_step_count(finished: tuple[Path, str]) -> None:
    """One document with all metrics of the openmoji world, GenEval first; nothing is left out."""
    document = json.loads(finished[1])
    assert (document["schema_version"], document["suite"], document["partial"]) == (1, "openmoji", True)
    assert document["not_measured"] == {}
    names = [row["metric"].partition("[")[0] for row in document["rows"]]
    assert list(dict.fromkeys(names)) == list(metrics_of("openmoji"))
    for row in document["rows"]:
        low, high = row["overall"]["ci"]
        assert low <= row["overall"]["value"] <= high
        assert (row["overall"]["n"], row["overall"]["n_unscored"]) == (NUM_IMAGES, 0)
    assert [row["steps"] for row in document["rows"]] == [1, 2] * len(metrics_of("openmoji"))
    judged = [verdict["metric"].partition("[")[0] for verdict in document["verdicts"]]
    assert judged == [name for name in metrics_of("openmoji") if name != "spread"]


def test_the_same_command_again_computes_nothing(run: Run, finished: tuple[Path, str]) -> None:
    """Every stage finds all of its images done, and the reference is not looked at; not one byte is other than before."""
    folder, out = finished
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    exit_code, again, err = run(*JOB, "--json", folder=folder)
    assert (exit_code, again) == (0, out)
    assert [line.split(": ")[1] for line in err.splitlines()] == ["48 of 48 images are there"] * 3
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_kill_9_in_the_middle_and_resume(
    run: Run, environment: dict[str, str], finished: tuple[Path, str], tmp_path: Path
) -> None:
    """Killed once the first features are there, resume ends in the files of the run that nobody disturbed."""
    with start(*JOB, folder=tmp_path, environment=environment) as process:
        deadline = time.monotonic() + WAIT_SECONDS
        while not list(tmp_path.glob("results/runs/*/features/*/*.safetensors")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert not (run_folder(tmp_path) / "metrics.json").exists()
    exit_code, _, err = run("resume", run_folder(tmp_path), folder=tmp_path)
    assert exit_code == 0, err
    assert metric_state(run_folder(tmp_path)) == metric_state(run_folder(finished[0]))


def test_two_processes_leave_the_files_of_one(run: Run, finished: tuple[Path, str], tmp_path: Path) -> None:
    """Images, features, numbers, and what is printed: all but the times is equal."""
    exit_code, out, err = run(*JOB, "--json", folder=tmp_path, program=TWO_PROCESSES)
    assert exit_code == 0, err
    assert metric_state(run_folder(tmp_path)) == metric_state(run_folder(finished[0]))
    assert without_seconds(json.loads(out)) == without_seconds(json.loads(finished[1]))
    files = [
        sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in (tmp_path, finished[0])
    ]
    assert files[0] == files[1]


def test_a_finished_run_is_valid(run: Run, finished: tuple[Path, str]) -> None:
    """Validate finds nothing."""
    exit_code, out, err = run("validate", run_folder(finished[0]), folder=finished[0])
    assert exit_code == 0, err
    assert out.startswith("valid: 48 images")


def test_another_number_in_the_metrics_is_found(run: Run, copied: Path) -> None:
    """A value of metrics.json that its own files do not give is named."""
    path = copied / "metrics.json"
    document = json.loads(path.read_bytes())
    document["measures"][0]["rows"][0]["overall"]["value"] += 1.0
    path.write_text(json.dumps(document, indent=2) + "\n")
    exit_code, out, err = run("validate", copied, folder=copied.parent)
    assert exit_code == 3
    assert "metrics.json: is not what the numbers give" in out + err


def test_features_and_distances_of_other_images_are_found(run: Run, copied: Path) -> None:
    """Features made from another image, a file of features that is cut, and a distance of other images are named."""
    other, cut = sorted(copied.glob("features/*/*.safetensors"))
    other.write_bytes(cut.read_bytes())
    cut.write_bytes(cut.read_bytes()[:-4])
    distances = copied / "scores" / "kid.openmoji-clip.json"
    document = json.loads(distances.read_bytes())
    document["steps"]["2"]["images_sha256"] = "0" * 64
    distances.write_text(json.dumps(document))
    exit_code, out, err = run("validate", copied, folder=copied.parent)
    assert exit_code == 3
    for path in (other, cut, distances):
        assert path.name in out
    assert "3 problems" in err


def test_found_images_get_the_numbers_of_the_run(
    run: Run, finished: tuple[Path, str], tmp_path: Path
) -> None:
    """The run's images, taken as images that anybody made: the metrics that are named, and no other, with its values."""
    images = run_folder(finished[0]) / "images"
    exit_code, out, err = run(
        *("sweep", "--images", images, *FOUND, "--metrics", "fid,coverage"), folder=tmp_path
    )
    assert exit_code == 0, err
    assert [row["metric"].partition("[")[0] for row in json.loads(out)["rows"]] == [
        *("fid", "fid"),
        *("coverage", "coverage"),
    ]
    for metric in ("fid", "coverage"):
        assert values(out, metric) == pytest.approx(values(finished[1], metric), rel=1e-6)


def test_clip_score_alone(run: Run, finished: tuple[Path, str], tmp_path: Path) -> None:
    """The verb clip-score prints the sweep's numbers of that metric, and nothing else."""
    images = run_folder(finished[0]) / "images"
    exit_code, out, err = run("clip-score", "--images", images, *FOUND, folder=tmp_path)
    assert exit_code == 0, err
    assert {row["metric"] for row in json.loads(out)["rows"]} == {"clip-score[openmoji-clip]"}
    assert values(out, "clip-score") == pytest.approx(values(finished[1], "clip-score"), rel=1e-6)


def test_fid_alone_to_a_run(run: Run, finished: tuple[Path, str], tmp_path: Path) -> None:
    """The verb fid compares with a run at one of its step counts: at no distance from itself there."""
    folder = run_folder(finished[0])
    command = ("fid", "--images", folder / "images", *FOUND, "--reference", f"{folder}@2")
    exit_code, out, err = run(*command, folder=tmp_path)
    assert exit_code == 0, err
    assert {row["metric"] for row in json.loads(out)["rows"]} == {"fid[openmoji-clip]"}
    at_1, at_2 = values(out, "fid")
    assert at_1 > 1.0
    assert at_2 == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("metric", "complaint"),
    [("fidd", "Unknown metric 'fidd'. Did you mean 'fid'?"), ("fid[dino]", "Unknown extractor 'dino'.")],
)
def test_an_unknown_metric_or_extractor(run: Run, tmp_path: Path, metric: str, complaint: str) -> None:
    """One paragraph, exit 2, and nothing is made."""
    exit_code, out, err = run(*JOB, "--metrics", metric, folder=tmp_path)
    assert (exit_code, out) == (2, "")
    assert err.startswith(f"error: {complaint}")
    assert list(tmp_path.iterdir()) == []


def test_photographs_need_a_reference(run: Run, tmp_path: Path) -> None:
    """The suite geneval has no images of its own: fid says what to give with --reference, exit 2."""
    exit_code, out, err = run("fid", "--ckpt", "selfe-tiny", "--suite", "geneval", folder=tmp_path)
    assert (exit_code, out) == (2, "")
    assert "The suite geneval has no reference images of its own" in err
    assert "--reference" in err
    assert list(tmp_path.iterdir()) == []


def test_missing_weights_are_named(run: Run, finished: tuple[Path, str], tmp_path: Path) -> None:
    """With a reference, fid of the suite geneval says which file to get, its hash, where to put it; exit 2."""
    command = ["fid", "--ckpt", "selfe-tiny", "--suite", "geneval", "--reference", run_folder(finished[0])]
    exit_code, out, err = run(*command, folder=tmp_path)
    assert (exit_code, out) == (2, "")
    for word in (
        *("https://github.com/toshas/torch-fidelity/releases", INCEPTION_FILE, INCEPTION_SHA256),
        *("put it into", "--weights inception=PATH"),
    ):
        assert word in err
    assert list(tmp_path.iterdir()) == []
