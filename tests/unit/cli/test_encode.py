from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from selfe_eval.cli.encode import encode
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.train.encode import EncodeJob, EncodeOptions
from selfe_eval.train.encode import encode as encode_pictures
from tests.unit.selfe import frozen
from tests.unit.selfe.picture_files import encoded, metadata, write_files

COLORS = ("red", "blue", "green", "white", "black")
LONG = "a photo of a red dog and a blue cat"


def folder_of_pictures(folder: Path) -> Path:
    """Five squares and two wide ones, one with a caption of more than 8 tokens, and one that is cut off."""
    files = {f"{color}.png": encoded(color, (40, 40)) for color in COLORS}
    files |= {"wide.png": encoded("red", (100, 40)), "wider.png": encoded("blue", (120, 40))}
    files["broken.png"] = encoded("red", (64, 64))[:-30]
    captions = {name: f"a {name.removesuffix('.png')} dog" for name in files} | {"wide.png": LONG}
    return write_files(folder, files | {"metadata.jsonl": metadata(captions)})


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return folder_of_pictures(tmp_path / "pictures")


def job(pictures: Path, encoders: Path, out: Path, **options: Any) -> EncodeJob:
    place = str(encoders)
    chosen = {
        "size_px": 32,
        "max_aspect": 4.0,
        "num_tokens": frozen.NUM_TOKENS,
        "rows_per_shard": 3,
        **options,
    }
    return EncodeJob(
        data=pictures,
        out=out,
        t5=place,
        clip=place,
        autoencoder=place,
        options=EncodeOptions(**chosen),
        batch_size=2,
        num_threads=2,
    )


def invoke(*arguments: object) -> Result:
    """Run the verb alone, on the CPU."""
    app = typer.Typer()
    app.command()(encode)
    return CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])


def places(encoders: Path | str) -> list[str]:
    return [text for option in ("--t5", "--clip", "--autoencoder") for text in (option, str(encoders))]


def test_a_folder_of_pictures_becomes_shards_that_train(
    pictures: Path, frozen_encoders: Path, tmp_path: Path
) -> None:
    """Pictures become rows of the grids of their aspect ratios; what is broken or cut is named; a network trains on it."""
    import torch

    from selfe.data.batches import BatchOptions
    from selfe.data.precomputed import PrecomputedLatents
    from selfe.objectives.flow_matching import FlowMatching
    from selfe.training.trainer import ModelTraining, Recipe

    result = invoke(
        "--data", pictures, *places(frozen_encoders), "--out", tmp_path / "out", "--size", 32,
        "--max-aspect", 4, "--num-tokens", frozen.NUM_TOKENS, "--fake",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    source = PrecomputedLatents(
        tmp_path / "out", BatchOptions(num_rows=2, num_parts=1, seed=0), with_fake=True
    )
    recipe = Recipe(objective=FlowMatching(), num_steps=2)
    config = frozen.model_config(frozen_encoders)
    training = ModelTraining(config, recipe, source, device=torch.device("cpu"))
    losses = [float(training.train_step(step)["loss"]) for step in range(2)]

    assert result.stdout.strip().splitlines()[-1] == str(tmp_path / "out")
    assert {tuple(shard["grid"]): shard["rows"] for shard in manifest["shards"]} == {(1, 4): 2, (2, 2): 5}
    assert set(manifest["skipped"]) == {"broken.png"}
    assert manifest["truncated"] == ["wide.png"]
    assert source.widths == (frozen.T5_WIDTH, frozen.CLIP_WIDTH, 64)
    assert source.text == frozen.text_config(frozen_encoders)
    assert all(loss > 0 for loss in losses)


def test_shards_hold_what_the_encoders_give(pictures: Path, frozen_encoders: Path, tmp_path: Path) -> None:
    """A row's latents and embeddings are those of its picture and caption, in 16 bits."""
    import torch

    from selfe.autoencoder import patchify, to_unit_range
    from selfe.encoders.flux_autoencoder import FluxAutoencoder, find_autoencoder
    from selfe.encoders.frozen_text import FrozenText, find_text

    encode_pictures(job(pictures, frozen_encoders, tmp_path / "out"))
    shard = load_file(tmp_path / "out" / "latents-2x2-00000.safetensors")
    record = json.loads((tmp_path / "out" / "latents-2x2-00000.json").read_text())
    coder = FluxAutoencoder(find_autoencoder(frozen.autoencoder_config(frozen_encoders)))
    c = FrozenText(find_text(frozen.text_config(frozen_encoders)))(record["captions"])
    row = record["names"].index("red.png")
    red = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None].expand(3, 32, 32)

    expected = patchify(coder.encode(to_unit_range(red[None])))[0]
    torch.testing.assert_close(shard["latents"][row].float(), expected, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(shard["text.tokens"].float(), c.tokens[c.mask], rtol=1e-2, atol=1e-2)
    assert record["captions"][row] == "a red dog"


def test_a_shard_that_is_there_is_not_made_again(
    pictures: Path, frozen_encoders: Path, tmp_path: Path
) -> None:
    """After an interruption what is whole is kept, what is missing or cut short is made, and the result is the same."""
    this = job(pictures, frozen_encoders, tmp_path / "out")
    first = encode_pictures(this)
    kept, cut, gone = (tmp_path / "out" / shard["file"] for shard in first["shards"])
    cut.write_bytes(cut.read_bytes()[:-1])
    gone.with_suffix(".json").unlink()
    (tmp_path / "out" / "manifest.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in (kept, cut, gone)}
    second = encode_pictures(this)

    assert second == first
    assert [path.stat().st_mtime_ns == time for path, time in before.items()] == [True, False, False]


def test_another_setting_in_the_same_folder_is_refused(
    pictures: Path, frozen_encoders: Path, tmp_path: Path
) -> None:
    """A folder goes on as it was begun: other sizes, other captions and other encoders are named."""
    out = tmp_path / "out"
    encode_pictures(job(pictures, frozen_encoders, out))

    with pytest.raises(UsageError, match=r"max_aspect was 4\.0 and is 1\.0"):
        encode_pictures(job(pictures, frozen_encoders, out, max_aspect=1.0))
    write_files(pictures, {"metadata.jsonl": metadata({"red.png": "another caption"})})
    with pytest.raises(UsageError, match="pictures_sha256 was"):
        encode_pictures(job(pictures, frozen_encoders, out))


def test_broken_pictures_alone_are_no_data(frozen_encoders: Path, tmp_path: Path) -> None:
    """Where nothing can be decoded there is an error with a reason, and no manifest."""
    files = {"a.png": encoded("red", (64, 64))[:-30], "metadata.jsonl": metadata({"a.png": "a red dog"})}
    pictures = write_files(tmp_path / "pictures", files)

    with pytest.raises(UntrustworthyError, match=r"Not one of 1 pictures .* the first because a\.png"):
        encode_pictures(job(pictures, frozen_encoders, tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_what_cannot_be_encoded_is_a_usage_error(
    pictures: Path, frozen_encoders: Path, tmp_path: Path
) -> None:
    """A wrong dtype, size, place, folder of pictures or --out is named, and nothing is written."""
    out = tmp_path / "out"
    rest = ["--data", pictures, "--out", out, "--size", 32]
    (tmp_path / "file").touch()
    failures = {
        r"--dtype int8: expected one of auto, bf16": invoke(
            *rest, *places(frozen_encoders), "--dtype", "int8"
        ),
        r"--size or --max-aspect: .*multiple of 16": invoke(*rest[:-1], 40, *places(frozen_encoders)),
        r"No T5 text encoder at .*nowhere": invoke(*rest, *places(tmp_path / "nowhere")),
        r"--out .*file is a file": invoke(*rest, *places(frozen_encoders), "--out", tmp_path / "file"),
    }
    for message, result in failures.items():
        with pytest.raises(UsageError, match=message):
            raise result.exception or AssertionError(result.output)
    assert not out.exists()
    unread = shutil.copytree(frozen_encoders, tmp_path / "cut")
    for weights in unread.rglob("*.safetensors"):
        weights.write_bytes(b"")
    no_pictures = invoke("--data", tmp_path / "nothing", *places(unread), "--out", out)
    with pytest.raises(UsageError, match=r"Expected at .*nothing a folder"):
        raise no_pictures.exception or AssertionError(no_pictures.output)
    assert not out.exists()
    no_pictures = invoke("--data", tmp_path, *places(frozen_encoders), "--out", out)
    assert isinstance(no_pictures.exception, UsageError)
