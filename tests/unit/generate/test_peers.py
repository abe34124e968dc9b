"""Presets of the paper's peers, and the settings that a run keeps of a pipeline."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from selfe_eval.errors import UsageError
from selfe_eval.generate.peers import PRESETS, Peer, PeerScheduler, PeerSettings
from tests.repository import ROOT

HARNESS = {"batch_size"}
"""What a setting says about speed alone."""


@pytest.mark.parametrize("settings", [PeerSettings(), *(peer.settings for peer in PRESETS.values())])
def test_settings_survive_a_record(settings: PeerSettings) -> None:
    """Settings read back from JSON are the settings that were written."""
    assert PeerSettings.from_json(json.loads(json.dumps(settings.as_json()))) == settings


@pytest.mark.parametrize("peer", PRESETS.values(), ids=PRESETS)
def test_every_setting_has_a_source(peer: Peer) -> None:
    """What differs from the plain settings says where it comes from, and nothing else does."""
    plain = PeerSettings()
    set_here = {
        field.name
        for field in fields(PeerSettings)
        if getattr(peer.settings, field.name) != getattr(plain, field.name)
    }

    assert set(peer.sources) == set_here - HARNESS
    assert all("the paper does not say" in source for source in peer.sources.values())


def test_the_peers_of_table_1_have_presets() -> None:
    """Every other model of Table 1 but TiM, for which diffusers has no pipeline, has a preset; rows are named rightly."""
    table = json.loads((ROOT / "results/published/self_e_2512.22374.json").read_text())["table1"]
    models = {row["model"] for row in table}

    assert {peer.published for peer in PRESETS.values() if peer.published} == models - {"TiM", "Self-E"}


@pytest.mark.parametrize("peer", PRESETS.values(), ids=PRESETS)
def test_presets_name_what_exists(peer: Peer) -> None:
    """Sources are hub names with an owner, step counts ascend, and schedulers are classes of diffusers."""
    import diffusers

    assert peer.source.count("/") == 1
    assert list(peer.steps) == sorted(set(peer.steps))
    if peer.settings.scheduler:
        assert hasattr(diffusers, peer.settings.scheduler.name)


def test_models_distilled_without_guidance_are_drawn_without() -> None:
    """Turbo and schnell are drawn at scale 0, as their cards say: the default of their pipelines would double the work."""
    unguided = {name for name, peer in PRESETS.items() if peer.settings.guidance == 0}

    assert unguided == {"flux.1-schnell", "sdxl-turbo", "sd3.5-large-turbo"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dtype": "int8"}, "Number format 'int8'"),
        ({"height": 0}, "An image of height 0"),
        ({"width": -1}, "An image of width -1"),
        ({"tea": 1}, "have no 'tea'"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    """A format, size or entry that does not exist is an error before anything is loaded."""
    with pytest.raises(UsageError, match=message):
        PeerSettings.from_json({**PeerSettings().as_json(), **wrong})


def test_a_scheduler_is_read_back_as_one() -> None:
    """A scheduler with options comes back from a record as a scheduler with those options."""
    scheduler = PeerScheduler(name="LCMScheduler", options={"original_inference_steps": 100})

    assert PeerSettings.from_json(PeerSettings(scheduler=scheduler).as_json()).scheduler == scheduler
