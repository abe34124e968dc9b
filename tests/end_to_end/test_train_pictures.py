"""Preset ``0.5b`` on a folder of pictures, between small frozen networks that lie on disk the way the real ones do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from selfe.pipeline import AnyStepPipeline
from selfe_eval.cli.encode import encode
from selfe_eval.cli.train import train
from selfe_eval.errors import UsageError
from tests.unit.selfe import frozen
from tests.unit.selfe.picture_files import encoded, metadata, write_files


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with captions, and a pipeline's folder of frozen networks."""
    folder = tmp_path_factory.mktemp("own-pictures")
    files = {
        f"{number}.png": encoded(color, (64, 64)) for number, color in enumerate(("red", "blue", "green"))
    }
    files["broken.png"] = files["0.png"][:-30]
    captions = dict.fromkeys(files, "a photo of a red dog")
    write_files(folder / "pictures", files | {"metadata.jsonl": metadata(captions)})
    frozen.save_pipeline(folder / "frozen")
    return folder


def run(verb: object, *arguments: object) -> Result:
    app = typer.Typer()
    app.command()(verb)  # type: ignore[type-var]
    return CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])


def trained(place: Path, *arguments: object) -> Result:
    return run(train, "0.5b", "--smoke", "--iterations", "2", "--out", place / "runs", *arguments)


def encoders(place: Path) -> list[object]:
    return [text for name in ("--t5", "--clip", "--autoencoder") for text in (name, place / "frozen")]


def test_pictures_become_a_checkpoint_that_names_its_frozen_networks(place: Path) -> None:
    """The checkpoint states the hashes of T5, CLIP and autoencoder, and draws through them; a broken picture is named."""
    result = trained(
        place, "--name", "direct", "--sizes", "32", "--data", place / "pictures", *encoders(place)
    )
    assert result.exception is None, result.output
    folder = Path(result.stdout.strip())
    config = json.loads((folder / "config.json").read_text())
    skipped = [json.loads(line) for line in (folder.parent / "skipped.jsonl").read_text().splitlines()]

    assert [record["name"] for record in skipped] == ["broken.png"]
    assert set(config["encoders"]) == {"t5", "clip", "autoencoder"}
    assert AnyStepPipeline.load(folder)(["a photo of a red dog"], [7], 2).shape == (1, 3, 32, 32)
    assert list(folder.parent.glob("samples-*.png"))


def test_a_training_goes_on_at_other_sizes(place: Path) -> None:
    """256 px first and 256 and 512 px later are one training; an option of the recipe is another one."""
    size = ("--name", "sizes", "--data", place / "pictures", *encoders(place), "--sizes")
    first, later = trained(place, *size, "32"), trained(place, *size, "32,64")
    other = trained(place, *size, "32", "--seed", "1")

    assert first.exception is None, first.output
    assert later.exception is None, later.output
    assert isinstance(other.exception, UsageError)
    assert "seed was 0 and is 1" in str(other.exception)


def test_encoded_pictures_train_without_the_frozen_networks(place: Path) -> None:
    """What encode wrote is enough to train; the checkpoint names the same networks by the same hashes."""
    shards = place / "shards"
    encoded_by = run(encode, "--data", place / "pictures", "--size", "32", "--out", shards, *encoders(place))
    assert encoded_by.exit_code == 0, encoded_by.output
    (place / "frozen").rename(place / "elsewhere")
    try:
        result = trained(place, "--name", "from-shards", "--data", shards)
    finally:
        (place / "elsewhere").rename(place / "frozen")
    assert result.exception is None, result.output
    names = ("direct", "from-shards")
    direct, from_shards = (
        json.loads((place / "runs" / name / "checkpoint" / "config.json").read_text()) for name in names
    )

    assert from_shards["encoders"] == direct["encoders"]
    assert from_shards["network"]["denoiser"] == direct["network"]["denoiser"]


def test_what_is_missing_is_said_before_anything_is_computed(place: Path) -> None:
    """Frozen networks that are not named, do not fit or are not there end in a usage error, and no folder is made."""
    pictures = ("--data", place / "pictures")
    unnamed = trained(place, "--name", "a", *pictures)
    absent = trained(
        place, "--name", "b", *pictures, "--t5", place / "no", "--clip", "x", "--autoencoder", "x"
    )
    too_narrow = run(train, "2b", "--name", "c", "--out", place / "runs", *pictures, *encoders(place))

    assert isinstance(unnamed.exception, UsageError)
    assert "needs --t5" in str(unnamed.exception)
    assert isinstance(absent.exception, UsageError)
    assert "T5" in str(absent.exception)
    assert isinstance(too_narrow.exception, UsageError)
    assert "expected 4096" in str(too_narrow.exception)
    assert not any((place / "runs" / name).exists() for name in "abc")
