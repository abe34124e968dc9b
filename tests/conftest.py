"""Fixtures that several folders of tests share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
"""A law holds on a busy machine too: no test asserts a time."""


@pytest.fixture(scope="session")
def random_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights in the real format: 64 px, a fraction of a second for a batch."""
    import torch

    from selfe.autoencoder import Autoencoder, AutoencoderConfig
    from selfe.checkpoint import Checkpoint, save_checkpoint
    from selfe.denoiser import DenoiserConfig
    from selfe.model import ConditionalModel, ModelConfig
    from selfe.sampler import SamplerOptions
    from selfe.text import TextConfig

    torch.manual_seed(0)
    config = ModelConfig(
        denoiser=DenoiserConfig(
            width=32,
            num_heads=2,
            num_double=1,
            num_single=1,
            rope_dims=(4, 6, 6),
            text_width=32,
            grid=(4, 4),
            modulation="shared",
        ),
        text=TextConfig(
            phrases=("dog", "red"), silent=("a", "photo", "of"), num_tokens=24, width=32, num_layers=1
        ),
        parametrisation="x0",
    )
    sizes = AutoencoderConfig(encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8))
    folder = tmp_path_factory.mktemp("checkpoints") / "random"
    save_checkpoint(
        folder,
        Checkpoint(
            name="random",
            suite="openmoji",
            model=ConditionalModel(config),
            autoencoder=Autoencoder(sizes),
            sampler=SamplerOptions(guidance=2.0),
            training={"objective": "none"},
            sha256="",
        ),
    )
    return folder


@pytest.fixture(scope="session")
def frozen_encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T5, CLIP and an autoencoder of random weights in the layout of FLUX.1; not to be changed."""
    from tests.unit.selfe.frozen import save_pipeline

    folder = tmp_path_factory.mktemp("encoders") / "flux"
    save_pipeline(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a diffusers pipeline of random weights, by its family; not to be changed."""
    folder = tmp_path_factory.mktemp("pipelines")

    def saved(family: str) -> Path:
        from tests.unit.generate.tiny_pipelines import SAVERS

        if not (folder / family).is_dir():
            SAVERS[family](folder / family)
        return folder / family

    return saved


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory; modules that a test imports from it are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
