from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfe_eval.errors import UsageError
from selfe_eval.score.features.registry import EXTRACTORS, weights_problem
from selfe_eval.score.features.weight_sources import (
    DINOV2,
    INCEPTION,
    SOURCES,
    FileSource,
    find_weights,
    problem_with_weights,
)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The folder of weights and torch.hub's cache, both empty."""
    own, cache = tmp_path / "own", tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    monkeypatch.setenv("SELFE_EVAL_WEIGHTS", str(own))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return own, cache


def _local(path: Path, sha256: str) -> FileSource:
    """A file whose address is a path."""
    return FileSource(title="a test", file="one.pth", url=path.as_uri(), sha256=sha256)


def test_every_extractor_says_where_its_weights_are_had() -> None:
    """The two tables name the same extractors, but for the bundled one, which brings its weights along."""
    assert set(EXTRACTORS) - set(SOURCES) == {"openmoji-clip"}
    assert set(SOURCES) <= set(EXTRACTORS)
    assert weights_problem("openmoji-clip") is None


def test_an_unknown_extractor_is_an_error() -> None:
    """It is never taken for one whose weights are there."""
    with pytest.raises(UsageError, match="Did you mean 'inception'"):
        weights_problem("inceptoin")


def test_missing_weights_say_what_to_get(folders: tuple[Path, Path]) -> None:
    """File, address, whole hash, place and option are in the paragraph."""
    problem = weights_problem("inception")
    assert problem is not None
    for part in (
        INCEPTION.file,
        INCEPTION.url,
        INCEPTION.sha256,
        str(folders[0]),
        "--weights inception=PATH",
    ):
        assert part in problem
    assert "--weights inception-clean=PATH" in str(weights_problem("inception-clean"))


def test_the_official_name_and_hash_agree() -> None:
    """The name of the file, its address and its other name all hold the beginning of its hash."""
    for name in (INCEPTION.file, *INCEPTION.other_names):
        assert name.endswith(f"-{INCEPTION.sha256[:8]}.pth")
    assert INCEPTION.url.endswith(INCEPTION.file)


@pytest.mark.parametrize("place", [0, 1], ids=["own folder", "torch.hub's cache"])
@pytest.mark.parametrize("name", [INCEPTION.file, *INCEPTION.other_names])
def test_files_are_found_where_programs_leave_them(folders: tuple[Path, Path], place: int, name: str) -> None:
    """In our folder or torch.hub's, under torch-fidelity's or pytorch-fid's name."""
    path = folders[place] / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    assert weights_problem("inception") is None
    assert find_weights("inception", INCEPTION, None) == path


def test_what_the_user_names_is_taken(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """A file or folder that is there is used, whatever its name and whatever else lies about."""
    (folders[1] / INCEPTION.file).write_bytes(b"")
    path = tmp_path / "mine.pth"
    path.write_bytes(b"")
    assert weights_problem("inception", path) is None
    assert find_weights("inception", INCEPTION, path) == path
    assert find_weights("dinov2", DINOV2, tmp_path) == tmp_path


@pytest.mark.parametrize("name", ["inception", "dinov2", "openmoji-clip"])
def test_a_named_path_without_anything_is_an_error(
    folders: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    """A mistyped path is never replaced by what lies elsewhere."""
    folders[0].mkdir()
    (folders[0] / INCEPTION.file).write_bytes(b"")
    path = tmp_path / "typo"
    assert f"{path}, where there is nothing" in str(weights_problem(name, path))
    for source in (INCEPTION, DINOV2):
        with pytest.raises(UsageError, match="where there is nothing"):
            find_weights(name, source, path)


def test_clip_models_are_found_where_the_clip_package_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenAI's own file counts as well as the hub's copy; the advice names its address and the option."""
    monkeypatch.setenv("HOME", str(tmp_path))
    source = SOURCES["clip-vit-b-32"]
    advice = source.advice("clip-vit-b-32")
    assert "openaipublic.azureedge.net" in advice
    assert "--weights clip-vit-b-32=ViT-B-32.pt" in advice
    kept = tmp_path / ".cache" / "clip" / "ViT-B-32.pt"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"")
    assert weights_problem("clip-vit-b-32") is None


def test_a_missing_file_is_fetched_into_the_folder_of_weights(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """It is found there afterwards; asking whether it is there has fetched nothing."""
    (tmp_path / "elsewhere").write_bytes(b"weights")
    source = _local(tmp_path / "elsewhere", hashlib.sha256(b"weights").hexdigest())
    assert problem_with_weights("one", source, None) is not None
    assert not folders[0].exists()
    path = find_weights("one", source, None)
    assert path == folders[0] / "one.pth"
    assert path.read_bytes() == b"weights"
    assert problem_with_weights("one", source, None) is None


@pytest.mark.parametrize("content", [None, b"other weights"], ids=["unreachable", "another file"])
def test_a_failed_download_leaves_nothing(
    folders: tuple[Path, Path], tmp_path: Path, content: bytes | None
) -> None:
    """An address without the file, or with another one, is the same paragraph with the reason; no file appears."""
    path = tmp_path / "elsewhere"
    if content is not None:
        path.write_bytes(content)
    source = _local(path, hashlib.sha256(b"weights").hexdigest())
    with pytest.raises(UsageError, match=r"--weights one=PATH \(Downloading it failed: \S+"):
        find_weights("one", source, None)
    assert list(folders[0].iterdir()) == []


def test_files_of_the_hub_are_found_in_its_cache(tmp_path: Path) -> None:
    """Offline, what is missing is named with its repository; once all files are cached, their folder is found."""
    repository = tmp_path / "models--facebook--dinov2-large"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").write_text("{}")
    program = (
        "import pathlib, sys\n"
        "from selfe_eval.errors import UsageError\n"
        "from selfe_eval.score.features.weight_sources import DINOV2, find_weights, problem_with_weights\n"
        "try:\n"
        "    find_weights('dinov2', DINOV2, None)\n"
        "except UsageError as error:\n"
        "    print(error)\n"
        "pathlib.Path(sys.argv[1], 'model.safetensors').write_bytes(b'')\n"
        "print(problem_with_weights('dinov2', DINOV2, None))\n"
        "print(find_weights('dinov2', DINOV2, None))\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", program, str(snapshot)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    missing, *found = result.stdout.splitlines()
    for part in (DINOV2.repo, "model.safetensors", "--weights dinov2=PATH", "Downloading it failed"):
        assert part in missing
    assert found == ["None", str(snapshot)]
