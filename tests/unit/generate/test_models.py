from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from selfe_eval.errors import UsageError
from selfe_eval.generate.models import (
    DIFFUSERS,
    ModelSource,
    find_model,
    model_again,
    model_settings,
    parse_model,
    refuse_foreign_options,
)
from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.generate.peers import PRESETS, PeerSettings

CODE = parse_model("my_model:draw")


def test_a_folder_is_found_from_anywhere(here: Path) -> None:
    """A relative path becomes an absolute one, and the last part names the model."""
    (here / "pipe").mkdir()
    source = parse_model("diffusers:pipe")
    assert (source.adapter, source.place, source.name) == (DIFFUSERS, str(here / "pipe"), "pipe")
    assert not source.is_code


def test_a_hub_name_is_left_as_it_is() -> None:
    """A name on the hub is not looked up to read it."""
    source = parse_model("diffusers:somebody/their-model")
    assert (source.place, source.name) == ("somebody/their-model", "their-model")
    assert model_settings(source) == PeerSettings()


@pytest.mark.parametrize(
    ("name", "preset"),
    [("stabilityai/sdxl-turbo", "sdxl-turbo"), ("stabilityai/stable-diffusion-xl-base-1.0", "sdxl")],
)
def test_the_hub_name_of_a_preset_is_the_preset(name: str, preset: str) -> None:
    """A turbo model called as it comes would be given guidance, which it was distilled without."""
    assert parse_model(f"diffusers:{name}") == parse_model(preset)


@pytest.mark.parametrize("text", ["my_model:draw", "pkg.sub.my_model:Box.inside"])
def test_a_module_is_named_by_what_was_typed(text: str) -> None:
    """Code is marked as code, has no settings, and nothing is looked for."""
    source = parse_model(text)
    assert (source.adapter, source.place, source.name) == (text, text, text)
    assert source.is_code
    assert model_settings(source) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_brings_its_place_and_settings(preset: str, here: Path) -> None:
    """Alone it is drawn from the hub, with a folder from there; its settings and its name are the same."""
    (here / "mine").mkdir()
    from_hub, from_folder = parse_model(preset), parse_model(f"{preset}=mine")
    assert from_hub.place == PRESETS[preset].source
    assert from_folder.place == str(here / "mine")
    assert from_hub.name == from_folder.name == preset
    assert model_settings(from_hub) == model_settings(from_folder) == PRESETS[preset].settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flux1-dev", r"Unknown model 'flux1-dev'\. Did you mean 'flux\.1-dev'\?"),
        ("", r"Unknown model ''.*module:attribute"),
        ("my model:draw", "Unknown model"),
        ("my_model:", "Unknown model"),
        ("../my_model:draw", "Unknown model"),
        ("diffusers:", r"owner/name; found no folder ''"),
        ("diffusers:nowhere", "found no folder 'nowhere'"),
        ("diffusers:../a/b", "found no folder"),
        ("diffusers:file.txt", "found a file"),
        ("flux.1-dev=nowhere", "found nothing at 'nowhere'"),
        ("flux.1-dev=", "found nothing at ''"),
        ("pipe", r"this is a folder\. Say diffusers:pipe"),
        ("selfe-tiny", "Say --ckpt selfe-tiny"),
    ],
)
def test_what_is_no_model_is_refused(here: Path, text: str, message: str) -> None:
    """A wrong name, an empty place, a file and a folder without its kind each say what was expected."""
    (here / "pipe").mkdir()
    (here / "file.txt").touch()
    with pytest.raises(UsageError, match=message):
        parse_model(text)


def test_reading_a_name_runs_nothing(here: Path) -> None:
    """Parsing imports neither torch nor the module that is named."""
    (here / "trap.py").write_text("raise SystemExit(7)")
    program = (
        "import sys\nfrom selfe_eval.generate.models import parse_model\nparse_model('trap:x')\n"
        "assert 'torch' not in sys.modules and 'diffusers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=here)


def test_options_that_do_not_reach_a_model_are_refused() -> None:
    """Of the sampler's options a pipeline has two and a module none; silence would be a wrong number."""
    pipeline = ModelSource(adapter=DIFFUSERS, place="a/b")
    refuse_foreign_options(pipeline, SamplerOverrides(guidance=2, negative_prompt="a dog"))
    refuse_foreign_options(CODE, SamplerOverrides())
    with pytest.raises(
        UsageError, match=r"--eta, --s-schedule belongs.*takes --guidance and --negative-prompt"
    ):
        refuse_foreign_options(pipeline, SamplerOverrides(eta=0.5, s_schedule="next", guidance=2))
    with pytest.raises(UsageError, match=r"--guidance belongs.*Its module decides"):
        refuse_foreign_options(CODE, SamplerOverrides(guidance=2))


def test_the_files_of_a_module_are_its_source(here: Path) -> None:
    """A found module has the hash of its source and no batch size of its own."""
    (here / "mine.py").write_text("def draw(prompts, seeds, num_steps): ...")
    found = find_model("mine:draw")
    assert set(found.sha256) == {"mine.py"}
    assert (found.name, found.batch_size, found.settings) == ("mine:draw", None, None)


@pytest.mark.parametrize(
    ("adapter", "reference", "commit"),
    [
        ("sdxl", f"a/b@{'0' * 40}", "0" * 40),
        ("sdxl", "a/b", None),
        ("sdxl", f"/folder/a/b@{'0' * 40}", None),
        ("sdxl", "a/b@main", None),
        ("mine:draw", "mine:draw", None),
    ],
)
def test_a_reference_finds_the_same_source(adapter: str, reference: str, commit: str | None) -> None:
    """What a run keeps is read back as it was: a hub name with its commit, any other place as it is."""
    source = model_again(adapter, reference)

    assert (source.adapter, source.commit, source.reference) == (adapter, commit, reference)
