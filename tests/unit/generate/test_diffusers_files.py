"""What a folder of diffusers must hold and must not: looked through before anything of it is loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest
from huggingface_hub.errors import GatedRepoError
from safetensors.torch import load_file, save_file

from selfe_eval.errors import UsageError
from selfe_eval.generate.diffusers_files import diffusers_files, not_given, pipeline_folder
from selfe_eval.generate.diffusers_loading import _draws_without
from selfe_eval.generate.diffusers_pipeline import load_diffusers_generator
from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.generate.peers import PeerScheduler, PeerSettings
from selfe_eval.provenance import file_sha256

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tiny_pipeline: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a pipeline, to be spoilt."""
    return Path(shutil.copytree(tiny_pipeline("latent-consistency"), tmp_path / "copy"))


def edit(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def load(folder: Path, **settings: Any) -> object:
    return load_diffusers_generator(str(folder), PeerSettings(**settings), SamplerOverrides(), "cpu")


def test_every_file_that_is_loaded_is_hashed(folder: Path) -> None:
    """Configurations, vocabularies and weights are there with their own hashes; what is not loaded is not."""
    before = diffusers_files(str(folder))
    for name in (
        "README.md",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.fp16.safetensors",
    ):
        (folder / name).write_text("not loaded")

    assert diffusers_files(str(folder)) == before
    assert before[UNET] == file_sha256(folder / UNET)
    assert set(before) == {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/merges.txt",
        "tokenizer/vocab.json",
        "unet/config.json",
        UNET,
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    }


def test_another_weight_is_another_hash(folder: Path) -> None:
    """One changed byte of a weight file changes its hash and no other."""
    before = diffusers_files(str(folder))
    content = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    after = diffusers_files(str(folder))

    assert {name for name in before if after[name] != before[name]} == {UNET}


def test_a_variant_is_taken_where_a_part_has_it(folder: Path) -> None:
    """With variant fp16 a part with such files loads them, and a part without its unnamed ones."""
    (folder / UNET).rename(folder / "unet/diffusion_pytorch_model.fp16.safetensors")

    names = set(diffusers_files(str(folder), PeerSettings(variant="fp16")))

    assert "unet/diffusion_pytorch_model.fp16.safetensors" in names
    assert "vae/diffusion_pytorch_model.safetensors" in names
    assert load(folder, variant="fp16", height=32, width=32)


def test_shards_are_those_of_the_index(folder: Path) -> None:
    """Where an index lists shards, index and shards are what is loaded."""
    shard = "diffusion_pytorch_model-00001-of-00001.safetensors"
    (folder / UNET).rename(folder / "unet" / shard)
    index = folder / "unet/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"conv_in.weight": shard}}))

    names = set(diffusers_files(str(folder)))

    assert {f"unet/{shard}", f"unet/{index.name}"} <= names
    assert UNET not in names


def test_one_file_comes_before_shards_in_transformers_and_after_them_in_diffusers(folder: Path) -> None:
    """Where a part has both, what is hashed is what its library reads."""
    for part, stem in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        shard = f"{stem}-00001-of-00001.safetensors"
        shutil.copy(folder / part / f"{stem}.safetensors", folder / part / shard)
        index = folder / part / f"{stem}.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": {"weight": shard}}))

    names = {name for name in diffusers_files(str(folder)) if "safetensors" in name}

    assert names == {
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model-00001-of-00001.safetensors",
        "unet/diffusion_pytorch_model.safetensors.index.json",
        "vae/diffusion_pytorch_model.safetensors",
    }


@pytest.mark.parametrize("shard", ["../../weights.safetensors", "weights.bin", ""])
def test_shards_elsewhere_or_of_another_kind_are_refused(folder: Path, shard: str) -> None:
    """An index that leads out of its folder, or to pickles, is not followed."""
    index = folder / "unet/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"conv_in.weight": shard}}))

    with pytest.raises(UsageError, match=r"should map weights to \.safetensors files beside it"):
        diffusers_files(str(folder))


def test_pickles_are_refused(folder: Path) -> None:
    """Weights that are there as pickles only are named, and not read."""
    (folder / UNET).rename(folder / "unet/diffusion_pytorch_model.bin")

    with pytest.raises(UsageError, match=r"There is diffusion_pytorch_model\.bin, but pickles can run code"):
        diffusers_files(str(folder))


def test_a_missing_part_is_named(folder: Path) -> None:
    """A part that the index names and nobody copied is an error before anything is loaded."""
    shutil.rmtree(folder / "scheduler")

    with pytest.raises(UsageError, match="lacks the folder scheduler, a LCMScheduler"):
        diffusers_files(str(folder))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"unet": ["unet", "MyNetwork"]}, r"takes its part 'unet' from 'unet' \('MyNetwork'\)"),
        ({"unet": ["os", "system"]}, "takes its part 'unet' from 'os'"),
        ({"../unet": ["diffusers", "UNet2DConditionModel"]}, r"takes its part '\.\./unet'"),
        ({"_class_name": ["my_pipeline", "MyPipeline"]}, "a pipeline whose class is code in its own folder"),
        ({"_class_name": "os.system"}, "names the pipeline 'os.system'"),
    ],
)
def test_code_of_the_folder_is_refused(folder: Path, entries: dict[str, Any], message: str) -> None:
    """Classes are those of diffusers and transformers: anything else would be code beside the weights."""
    edit(folder / "model_index.json", **entries)

    with pytest.raises(UsageError, match=f"(?i){message}"):
        diffusers_files(str(folder))


@pytest.mark.parametrize(
    "entries",
    [
        {"auto_map": {"AutoModel": "network.Network"}},
        {"text_config": {"auto_map": {"AutoModel": "network.Network"}}},
        {"_attn_implementation": "somebody/kernel"},
        {"attn_implementation": {"text_config": "paged|somebody/kernel:attend"}},
        {"layers": [{"_attn_implementation": "somebody/kernel@main"}]},
    ],
)
def test_a_part_that_asks_to_run_code_is_refused(folder: Path, entries: dict[str, Any]) -> None:
    """Entries with which transformers finds code beside the weights or on the hub are errors, however deep they lie."""
    edit(folder / "text_encoder/config.json", **entries)

    with pytest.raises(
        UsageError, match=r"text_encoder/config\.json asks to run code of its folder or of the hub"
    ):
        diffusers_files(str(folder))


@pytest.mark.parametrize("name", ["None.py", "scheduler/diffusers.py", "tokenizer/transformers.py"])
def test_code_under_the_name_of_a_library_is_refused(folder: Path, name: str) -> None:
    """Files that diffusers would import in the place of a library, or as a pipeline that nobody named, are no part of one."""
    (folder / name).write_text("raise SystemExit(7)")

    with pytest.raises(UsageError, match=rf"{name} is code that diffusers would run in the place of its own"):
        load(folder)


def test_attention_of_the_library_itself_is_taken(folder: Path) -> None:
    """The name of an attention that is part of transformers is no code of anybody else."""
    edit(folder / "text_encoder/config.json", attn_implementation="eager")

    assert diffusers_files(str(folder))


def test_an_adapter_beside_the_weights_is_refused(folder: Path) -> None:
    """Where peft is installed transformers would apply it unasked, with weights that no record names."""
    (folder / "text_encoder/adapter_config.json").write_text("{}")

    with pytest.raises(UsageError, match=r"text_encoder holds an adapter \(adapter_config\.json\)"):
        diffusers_files(str(folder))


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_broken_index_is_named(folder: Path, content: str) -> None:
    """What is no JSON object is an error that names the file."""
    (folder / "model_index.json").write_text(content)

    with pytest.raises(UsageError, match=r"model_index\.json (cannot be read|should hold a JSON object)"):
        diffusers_files(str(folder))


def test_what_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    """A folder without an index, and a place that is neither folder nor hub name, say what was expected."""
    with pytest.raises(UsageError, match=r"is no diffusers pipeline: expected model_index\.json"):
        diffusers_files(str(tmp_path))
    with pytest.raises(
        UsageError, match=r"expected a folder with model_index\.json, or a hub name as OWNER/NAME"
    ):
        diffusers_files(str(tmp_path / "nothing"))


def test_a_safety_checker_is_left_out_and_said(folder: Path) -> None:
    """A filter that blacks out images is neither looked for nor loaded, and the record says so."""
    edit(folder / "model_index.json", safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])

    generator = load_diffusers_generator(
        str(folder), PeerSettings(height=32, width=32), SamplerOverrides(), "cpu"
    )

    assert generator.describe()["left_out"] == ["safety_checker"]
    assert generator.generate(["a cat"], [1], 1).shape == (1, 32, 32, 3)


def test_a_replaced_part_is_hashed_where_it_lies(folder: Path, tiny_pipeline: Callable[[str], Path]) -> None:
    """The files of a part that settings replace are those of the other place; an unknown part is an error."""
    other = tiny_pipeline("stable-diffusion") / "unet"

    files = diffusers_files(str(folder), PeerSettings(parts={"unet": str(other)}))

    assert files[UNET] == file_sha256(other / Path(UNET).name) != file_sha256(folder / UNET)
    with pytest.raises(UsageError, match=r"The settings replace prior, but .* has no such part"):
        diffusers_files(str(folder), PeerSettings(parts={"prior": str(other)}))


@pytest.mark.parametrize(
    ("class_name", "message"),
    [
        ("StableDiffusionImg2ImgPipeline", "takes image: it does not draw an image from a text alone"),
        ("StableDiffusionInpaintPipeline", "takes image, mask_image"),
        ("DiTPipeline", "takes class_labels"),
        ("DDPMPipeline", "takes no prompt, height, width"),
        ("KandinskyV22CombinedPipeline", r"draws with a second pipeline that its README\.md names"),
        ("TomorrowsPipeline", "which diffusers .* does not have"),
        ("UNet2DConditionModel", "which diffusers .* does not have"),
    ],
)
def test_only_text_to_image_pipelines_are_loaded(folder: Path, class_name: str, message: str) -> None:
    """What starts from an image or a class, or is no pipeline of diffusers, is refused by its call."""
    edit(folder / "model_index.json", _class_name=class_name)

    with pytest.raises(UsageError, match=message):
        load(folder)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")  # of another pipeline that diffusers lists
def test_a_pipeline_may_read_an_image_and_do_without() -> None:
    """FLUX.2 can be given images and draws from a text alone; a ControlNet or image-to-image pipeline cannot."""
    kinds = {
        "Flux2Pipeline": True,
        "StableDiffusionControlNetPipeline": False,
        "StableDiffusionXLImg2ImgPipeline": False,
    }

    found = {name: _draws_without(["image"], getattr(diffusers, name)) for name in kinds}

    assert found == kinds
    assert not _draws_without(["image", "mask_image"], diffusers.Flux2Pipeline)


def test_files_that_do_not_fit_together_are_an_error_of_ours(folder: Path) -> None:
    """A network whose configuration is another's is refused in one paragraph, with the versions at hand."""
    edit(folder / "unet/config.json", block_out_channels=[4, 16])

    with pytest.raises(UsageError, match="cannot be loaded as a LatentConsistencyModelPipeline") as found:
        load(folder)

    assert len(str(found.value)) < 800
    assert "\n" not in str(found.value)
    assert "(here" in str(found.value)


@pytest.mark.parametrize("part", ["unet", "text_encoder", "vae"])
def test_weights_that_are_not_there_are_not_made_up(folder: Path, part: str) -> None:
    """Both libraries fill a missing tensor with random numbers and go on: here it is an error that names it."""
    (weights,) = (folder / part).glob("*.safetensors")
    tensors = load_file(weights)
    name = min(tensors)
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, weights, {"format": "pt"})

    with pytest.raises(UsageError, match=rf"weights of the {part} in .* lack 1 of the .*'s tensors"):
        load(folder)


@pytest.mark.parametrize("class_name", ["pipeline", "UNet3000", "CLIPTextConfig"])
def test_only_networks_are_loaded_as_networks(folder: Path, class_name: str) -> None:
    """What diffusers or transformers has under a part's name must be a network."""
    edit(folder / "model_index.json", text_encoder=["transformers", class_name])

    with pytest.raises(UsageError, match=f"transformers has no network '{class_name}', the text_encoder of"):
        load(folder)


def test_only_schedulers_of_diffusers_are_taken(folder: Path) -> None:
    """A scheduler's name is that of a scheduler class and of nothing else in diffusers."""
    for name in ("UNet2DConditionModel", "TomorrowsScheduler", "os"):
        with pytest.raises(UsageError, match=f"No scheduler '{name}' in diffusers"):
            load(folder, scheduler=PeerScheduler(name=name))


def test_looking_through_a_folder_needs_no_torch(folder: Path) -> None:
    """Files are found and hashed at planning time, without loading torch or diffusers."""
    program = (
        "import sys\n"
        "from selfe_eval.generate.diffusers_files import diffusers_files\n"
        "diffusers_files(sys.argv[1])\n"
        "print({'torch', 'diffusers', 'transformers', 'huggingface_hub'} & set(sys.modules))\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, check=True, text=True
    ).stdout

    assert shown == "set()\n"


def test_a_hub_name_is_read_from_the_hubs_cache(folder: Path, tmp_path: Path) -> None:
    """A pipeline that was fetched before is found without a network; one that was not is an error that says what to do."""
    (folder / UNET).rename(folder / "unet/diffusion_pytorch_model.fp16.safetensors")
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "cache/models--somebody--theirs"
    shutil.copytree(folder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text(commit)
    program = (
        "import json, sys\n"
        "from selfe_eval.errors import UsageError\n"
        "from selfe_eval.generate.diffusers_files import diffusers_files\n"
        "from selfe_eval.generate.peers import PeerSettings\n"
        "print(json.dumps(diffusers_files('somebody/theirs', PeerSettings(variant='fp16'))))\n"
        "try:\n    diffusers_files('somebody/others')\n"
        "except UsageError as error:\n    print(error)\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "cache")},
    ).stdout
    files, error = shown.splitlines()

    assert json.loads(files) == diffusers_files(str(folder), PeerSettings(variant="fp16"))
    assert "'somebody/others' is no folder here, and the hub did not give it" in error
    assert "run `hf download somebody/others` once" in error


def test_a_run_goes_on_with_the_commit_that_it_began_with(folder: Path, tmp_path: Path) -> None:
    """When the hub's main branch has moved on, the reference that a run keeps finds the old files, and a new run the new."""
    old, new = "0" * 40, "1" * 40
    cached = tmp_path / "cache/models--somebody--theirs"
    for commit in (old, new):
        shutil.copytree(folder, cached / "snapshots" / commit)
    edit(cached / "snapshots" / new / "scheduler/scheduler_config.json", beta_start=0.1)
    (cached / "refs").mkdir()
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from selfe_eval.generate.models import find_model, model_again, model_files\n"
        "main, old, new = Path(sys.argv[1]), *sys.argv[2:]\n"
        "main.write_text(old)\n"
        "begun = find_model('diffusers:somebody/theirs')\n"
        "main.write_text(new)\n"
        "again = model_again('diffusers', begun.source.reference)\n"
        "print(begun.source.reference, again == begun.source)\n"
        "print(model_files(again, begun.settings) == begun.sha256)\n"
        "print(find_model('diffusers:somebody/theirs').sha256 == begun.sha256)\n"
    )

    shown = subprocess.run(
        [sys.executable, "-c", program, str(cached / "refs/main"), old, new],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "cache")},
    ).stdout

    assert shown.split() == [f"somebody/theirs@{old}", "True", "True", "False"]


def test_a_gated_pipeline_is_told_from_a_missing_one() -> None:
    """Whose terms nobody accepted says where to do that and how to log in; else the very commit is to be fetched."""
    response: Any = SimpleNamespace(headers={}, request=None)

    gated = str(
        not_given("a/b", None, GatedRepoError("403 Client Error.\n\nCannot access", response=response))
    )
    missing = str(not_given("a/b", "1234", OSError("no route\nto host")))

    assert "https://huggingface.co/a/b" in gated
    assert "hf auth login" in gated
    assert "OSError, no route On a machine" in missing
    assert "`hf download a/b --revision 1234`" in missing


def test_unchanged_weights_are_hashed_once_a_process(folder: Path) -> None:
    """A file whose time of change is the same is not read again; one with another time is."""
    before = diffusers_files(str(folder))
    weights = folder / UNET
    changed = weights.stat().st_mtime_ns
    weights.write_bytes(b"other")
    os.utime(weights, ns=(changed, changed))

    assert diffusers_files(str(folder)) == before
    os.utime(weights, ns=(changed, changed + 1))
    assert diffusers_files(str(folder))[UNET] == file_sha256(weights) != before[UNET]


def test_empty_parts_and_options_are_no_parts(folder: Path) -> None:
    """A part left empty, as SD3's third text encoder may be, and a yes-or-no option are nothing to load."""
    edit(folder / "model_index.json", image_encoder=[None, None], requires_safety_checker=True)

    assert set(pipeline_folder(str(folder), PeerSettings()).parts) == {
        "scheduler",
        "text_encoder",
        "tokenizer",
        "unet",
        "vae",
    }
