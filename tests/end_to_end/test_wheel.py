"""The built wheel carries everything that the main job needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RUN = "from selfe_eval.cli.app import main; main()"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the working tree and unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_runs_the_main_job(unpacked: Path, tmp_path: Path) -> None:
    """Away from the repository, the wheel's own code and weights generate, score and summarise."""
    options = [
        "--ckpt",
        "selfe-tiny",
        "--steps",
        "1,2",
        "--images-per-prompt",
        "1",
        "--limit",
        "12",
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-c", RUN, "geneval", *options, "--out", tmp_path / "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(done.stdout)

    assert document["partial"]
    assert [row["overall"]["n"] for row in document["rows"]] == [12, 12]


def test_the_wheel_is_what_runs(unpacked: Path, tmp_path: Path) -> None:
    """Both import packages and their resources come from the wheel, not from the repository."""
    where = "import selfe, selfe_eval.resources as r; print(selfe.__file__, r.benchmarks_dir(), r.checkpoints_dir())"
    done = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert all(Path(path).is_relative_to(unpacked) for path in done.stdout.split())


def test_the_wheel_carries_the_templates_of_pages(unpacked: Path) -> None:
    """Every file that is no Python and lies beside the code, such as a page's style and script, is in the wheel."""
    beside = {
        path.relative_to(ROOT) for path in (ROOT / "selfe_eval").glob("**/templates/*") if path.is_file()
    }

    assert Path("selfe_eval/report/html/templates/report.js") in beside
    assert {path for path in beside if not (unpacked / path).is_file()} == set()
