from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.errors import UsageError
from selfe_eval.generate.models import FoundModel, ModelSource, find_model
from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.generate.peers import PRESETS, PeerSettings
from selfe_eval.pipeline.geneval import load_run_generator, load_scorer, make_images
from selfe_eval.pipeline.instruments import GENEVAL, Instruments
from selfe_eval.pipeline.jobs import BATCH_SIZE, ModelJob
from selfe_eval.pipeline.measure import measure
from selfe_eval.pipeline.opening import existing_run, planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.records import Prompt
from selfe_eval.resources import checkpoints_dir
from selfe_eval.runs.images import read_images
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.runs.run import RunRecord, open_run
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.suites.registry import load_suite
from tests.fakes import FakeScorer, run_stages

SUITE = load_suite("openmoji")

FLAT = """
import numpy as np

def draw(prompts, seeds, num_steps):
    return np.stack([np.full(({px}, {px}, 3), seed % 256, dtype=np.uint8) for seed in seeds])
"""


def write_module(folder: Path, name: str = "mine", px: int = 64) -> None:
    (folder / f"{name}.py").write_text(FLAT.format(px=px))


def job_of(text: str, **changes: Any) -> ModelJob:
    asked: dict[str, Any] = {
        "model": find_model(text),
        "suite": SUITE,
        "steps": (1, 4),
        "images_per_prompt": 1,
    }
    return ModelJob(**{**asked, "limit": 12, **changes})


def found(adapter: str, settings: PeerSettings | None) -> FoundModel:
    return FoundModel(
        source=ModelSource(adapter=adapter, place="a/b"),
        settings=settings,
        sha256={"model_index.json": "1" * 64},
    )


def test_a_model_s_run_says_what_decides_its_images(here: Path) -> None:
    """The spec of a run holds adapter, settings, and the hashes of all files; where the model lies is beside it."""
    write_module(here)
    record = job_of("mine:draw", measures=MeasureOptions(metrics=("fid",))).record()
    assert (record.spec.source, record.spec.adapter, record.spec.settings) == ("model", "mine:draw", None)
    assert set(record.spec.checkpoint_sha256) == {"mine.py"}
    assert (record.spec.model, record.checkpoint) == ("mine:draw", "mine:draw")
    assert record.measures.metrics == ("fid",)
    assert RunRecord.from_json(json.loads(json.dumps(record.as_json()))) == record
    assert job_of("mine:draw", name="theirs").record().spec.model == "theirs"


@pytest.mark.parametrize("preset", PRESETS)
def test_the_settings_of_a_preset_are_part_of_the_spec(preset: str) -> None:
    """They read back from JSON as they are, decide the spec's hash, and give the batch size where nobody says one."""
    settings = PRESETS[preset].settings
    job = ModelJob(model=found(preset, settings), suite=SUITE, steps=(4,))
    spec = job.record().spec
    assert PeerSettings.from_json(json.loads(json.dumps(spec.settings))) == settings
    assert spec.batch_size == settings.batch_size
    assert replace(job, batch_size=3).record().spec.batch_size == 3
    other = replace(job, model=found(preset, replace(settings, guidance=9.0)))
    assert other.record().spec.sha256 != spec.sha256


def test_a_module_has_no_batch_size_of_its_own() -> None:
    """Without a preset the harness's batch size holds."""
    job = ModelJob(model=found("mine:draw", None), suite=SUITE, steps=(4,))
    assert job.record().spec.batch_size == BATCH_SIZE


def test_options_that_would_not_count_are_refused() -> None:
    """A job of a module with a guidance scale is refused before anything is planned."""
    with pytest.raises(UsageError, match="--guidance belongs to the sampler of Self-E"):
        ModelJob(
            model=found("mine:draw", None), suite=SUITE, steps=(4,), overrides=SamplerOverrides(guidance=2.0)
        )


def test_a_module_is_run_where_the_command_line_names_it(here: Path) -> None:
    """Its images are drawn, NFE is unknown, and the same job goes on after a loss."""
    write_module(here)
    record = job_of("mine:draw").record()
    with planned_run(here / "run", record) as run:
        summary = run_stages(run, SUITE, lambda: load_run_generator(run), FakeScorer(), Silence())
    assert [row.nfe for row in summary.rows] == [None, None]
    assert sum(row.overall.n for row in summary.rows) == 2 * 12
    lost = next((here / "run" / "images").rglob("*.png"))
    content = lost.read_bytes()
    lost.unlink()
    with planned_run(here / "run", record) as run:
        make_images(run, SUITE, Silence())
    assert lost.read_bytes() == content


def test_a_run_folder_never_runs_the_code_that_it_names(here: Path) -> None:
    """Opened without a command line that names it, a run of a module is refused and the module is not imported."""
    write_module(here, "trap")
    record = job_of("trap:draw").record()
    with planned_run(here / "run", record):
        pass
    (here / "trap.py").write_text("raise SystemExit(7)")
    with (
        existing_run(here / "run") as run,
        pytest.raises(UsageError, match="with --model trap:draw") as refused,
    ):
        make_images(run, SUITE, Silence())
    assert "Run folders travel" in str(refused.value)
    assert "trap" not in sys.modules


def test_a_command_for_another_model_does_not_run_a_folder_s_code(here: Path) -> None:
    """Naming one module on the command line opens no folder that names another."""
    write_module(here, "mine")
    write_module(here, "trap")
    with planned_run(here / "run", job_of("trap:draw").record()):
        pass
    other = job_of("mine:draw").record()
    refused = pytest.raises(UsageError, match="adapter: 'trap:draw', now 'mine:draw'")
    with refused, planned_run(here / "run", other):
        pass
    assert "trap" not in sys.modules


def test_a_changed_module_is_refused(here: Path) -> None:
    """Between planning and drawing the source may not change: both hashes are named, and nothing is imported."""
    write_module(here)
    with planned_run(here / "run", job_of("mine:draw").record()) as run:
        (here / "mine.py").write_text("raise SystemExit(7)")
        with pytest.raises(UsageError, match=r"The model mine:draw has changed .*expected .*mine\.py"):
            load_run_generator(run)


@pytest.mark.skipif(not (checkpoints_dir() / "openmoji-detector").is_dir(), reason="no bundled detector here")
def test_images_that_the_judge_does_not_take_are_refused_at_the_first(here: Path) -> None:
    """The bundled detector takes 64 px: a model of 32 px draws one batch, of which not one image is kept."""
    write_module(here, px=32)
    scorer = load_scorer("openmoji", JudgeOptions(), "cpu")
    judge = Instruments(metrics=(GENEVAL,), measured=(), scorer=scorer)
    with planned_run(here / "run", job_of("mine:draw", batch_size=2).record()) as run:
        with pytest.raises(UsageError, match="judges 64 x 64 px scenes; these images are 32 x 32 px"):
            measure(run, judge, Silence())
        assert read_images(run.images_file) == {}
        assert not list((here / "run").rglob("*.png"))


def test_the_judge_sees_one_image_before_the_rest_is_drawn(here: Path) -> None:
    """The first look is at the first image alone, and a run that has images gets none."""
    write_module(here)
    seen: list[tuple[int, int]] = []

    def first_look(images: RgbImages, prompts: Sequence[Prompt]) -> None:
        seen.append((len(images), len(prompts)))

    for _ in range(2):
        with planned_run(here / "run", job_of("mine:draw", batch_size=2).record()) as run:
            make_images(run, SUITE, Silence(), first_look)
        next((here / "run" / "images").rglob("*.png")).unlink()
    assert seen == [(1, 1)]


@pytest.fixture
def pipeline(tiny_pipeline: Callable[[str], Path], tmp_path: Path) -> Path:
    """A Stable Diffusion of random weights that draws 64 px; a test may spoil it."""
    folder = Path(shutil.copytree(tiny_pipeline("stable-diffusion"), tmp_path / "tiny-sd"))
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "sample_size": 32}))
    return folder


def test_a_diffusers_pipeline_is_drawn_and_resumed(here: Path, pipeline: Path) -> None:
    """A pipeline from a folder draws every prompt, counts its evaluations, and may be resumed: no code is loaded."""
    record = job_of(f"diffusers:{pipeline}", limit=6, steps=(2,)).record()
    assert record.spec.model == "tiny-sd"
    assert "unet/diffusion_pytorch_model.safetensors" in record.spec.checkpoint_sha256
    with planned_run(here / "run", record) as run:
        make_images(run, SUITE, Silence())
    lost = next((here / "run" / "images").rglob("*.png"))
    content = lost.read_bytes()
    lost.unlink()
    with existing_run(here / "run") as run:
        make_images(run, SUITE, Silence())
    assert lost.read_bytes() == content
    assert len(read_images(open_run(here / "run").images_file)) == 6
    assert open_run(here / "run").record.nfe[2] >= 2


def test_changed_weights_of_a_pipeline_are_refused(here: Path, pipeline: Path) -> None:
    """A run planned with one set of files draws with no other."""
    with planned_run(here / "run", job_of(f"diffusers:{pipeline}").record()) as run:
        with (pipeline / "scheduler" / "scheduler_config.json").open("a") as config:
            config.write(" ")
        with pytest.raises(UsageError, match="has changed since"):
            load_run_generator(run)
