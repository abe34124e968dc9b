"""Pipelines of each family, of random weights, saved and loaded: what they draw, and how many evaluations it takes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from safetensors.torch import load_file, save_file

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.generate.denoiser_calls import counted
from selfe_eval.generate.diffusers_files import pipeline_folder
from selfe_eval.generate.diffusers_loading import load_pipeline
from selfe_eval.generate.diffusers_pipeline import (
    DiffusersGenerator,
    load_diffusers_generator,
    step_arguments,
)
from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.generate.peers import PeerScheduler, PeerSettings

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
"""Schedulers of diffusers hand tensors to NumPy 2 in the old way."""

NFE: dict[str, Callable[[int], int]] = {
    "flux-dev": lambda steps: steps,
    "flux-schnell": lambda steps: steps,
    "latent-consistency": lambda steps: steps,
    "sana": lambda steps: 2 * steps,
    "sana-sprint": lambda steps: steps,
    "sd3": lambda steps: 2 * steps,
    "sdxl": lambda steps: 2 * steps,
    "sdxl-turbo": lambda steps: steps,
    "stable-diffusion": lambda steps: 2 * (steps + (steps > 1)),
}
"""Evaluations for an image: two a step where classifier-free guidance is on. PNDM does its second step twice."""
GUIDED = ("sana", "sd3", "sdxl", "stable-diffusion")
EMBEDDED = ("flux-dev", "latent-consistency", "sana-sprint")
CALLS: dict[str, dict[str, Any]] = {
    "flux": {"max_sequence_length": 8},
    "sana": {
        "max_sequence_length": 8,
        "complex_human_instruction": None,
        "use_resolution_binning": False,
    },
    "sd3": {"max_sequence_length": 8},
}
"""Short texts, and no rounding to the sizes that SANA was trained at."""
SIZE = 32
PROMPTS = ("a red dog", "a blue cat", "a photo")
SEEDS = (11, 2**63 - 1, 13)

Loader = Callable[..., DiffusersGenerator]


@pytest.fixture(scope="session")
def load(tiny_pipeline: Callable[[str], Path]) -> Loader:
    @cache
    def pipeline_of(family: str, overrides: SamplerOverrides) -> DiffusersGenerator:
        return load_diffusers_generator(str(tiny_pipeline(family)), settings_of(family), overrides, "cpu")

    return lambda family, **overrides: pipeline_of(family, SamplerOverrides(**overrides))


def settings_of(family: str, **options: Any) -> PeerSettings:
    call = CALLS.get(family.split("-", maxsplit=1)[0], {})
    guidance = 0.0 if family == "sdxl-turbo" else None
    return PeerSettings(**{"height": SIZE, "width": SIZE, "guidance": guidance, "call": call, **options})


def first_samples(generator: DiffusersGenerator, steps: int, seeds: Sequence[int]) -> torch.Tensor:
    """What the denoiser is given at the first step."""
    seen: list[torch.Tensor] = []
    (denoiser,) = generator._denoisers.values()
    with counted({"denoiser": denoiser}):
        handle = denoiser.register_forward_pre_hook(
            lambda _, __, named: seen.append(named["hidden_states"].clone()), with_kwargs=True
        )
        generator.generate(PROMPTS[: len(seeds)], seeds, steps)
        handle.remove()
    return seen[0]


@pytest.mark.parametrize("family", NFE)
def test_images_are_bytes_in_the_size_that_was_asked_for(load: Loader, family: str) -> None:
    """Every family draws (B, H, W, 3) uint8, no two images alike, and the same batch twice to the same bits."""
    generator = load(family)

    images = generator.generate(PROMPTS, SEEDS, 2)

    assert images.shape == (3, SIZE, SIZE, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(images, generator.generate(PROMPTS, SEEDS, 2))
    assert not np.array_equal(images[0], images[1])


def test_bytes_are_those_that_diffusers_saves(load: Loader) -> None:
    """Pixels are rounded as diffusers rounds them for a picture: 0 to 255, the nearest."""
    generator = load("flux-schnell")
    streams = [torch.Generator("cpu").manual_seed(seed) for seed in SEEDS]

    pictures = generator._pipeline(
        prompt=list(PROMPTS),
        num_inference_steps=2,
        generator=streams,
        height=SIZE,
        width=SIZE,
        **CALLS["flux"],
    ).images

    assert np.array_equal(generator.generate(PROMPTS, SEEDS, 2), np.stack(pictures))


@pytest.mark.parametrize("family", NFE)
def test_an_image_does_not_depend_on_its_neighbours(load: Loader, family: str) -> None:
    """Alone or last of three, an image is the same to within one level of rounding, at steps that add noise too."""
    generator = load(family)

    among_three = generator.generate(PROMPTS, SEEDS, 3)[2]
    alone = generator.generate(PROMPTS[2:], SEEDS[2:], 3)[0]

    assert np.abs(among_three.astype(int) - alone).max() <= 1


@pytest.mark.parametrize("family", NFE)
def test_evaluations_are_those_of_the_family(load: Loader, family: str) -> None:
    """Counted evaluations follow the family's formula, before anything is drawn and while it is."""
    generator = load(family)

    assert [generator.nfe(steps) for steps in (1, 2, 3, 8)] == [NFE[family](steps) for steps in (1, 2, 3, 8)]

    with counted(generator._denoisers) as count:
        generator.generate(PROMPTS, SEEDS, 3)

    assert count.evaluations == 3 * NFE[family](3)


@pytest.mark.parametrize("family", NFE)
def test_step_counts_give_different_images(load: Loader, family: str) -> None:
    """One step and four steps are not the same image: the step count reaches the scheduler."""
    generator = load(family)

    one, four = (generator.generate(PROMPTS[:1], SEEDS[:1], steps) for steps in (1, 4))

    assert not np.array_equal(one, four)


def test_noise_belongs_to_the_seed(load: Loader) -> None:
    """The first noise is standard normal from the image's own stream: equal at every step count and place in a batch."""
    generator = load("flux-schnell")

    at_one, at_four = (first_samples(generator, steps, SEEDS) for steps in (1, 4))
    last = first_samples(generator, 1, SEEDS[2:])

    assert torch.equal(at_one, at_four)
    assert torch.equal(at_one[2], last[0])
    expected = torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(SEEDS[0]))
    assert torch.equal(at_one[0].sort().values.flatten().sort().values, expected.flatten().sort().values)


@pytest.mark.parametrize("family", GUIDED)
def test_guidance_of_one_takes_one_pass(load: Loader, family: str) -> None:
    """Classifier-free guidance is off at scale 1: half the evaluations, and another image."""
    plain, guided = load(family, guidance=1.0), load(family)

    assert plain.nfe(3) == guided.nfe(3) / 2
    assert plain.describe()["guidance"]["convention"] == "none"
    assert not np.array_equal(plain.generate(PROMPTS, SEEDS, 3), guided.generate(PROMPTS, SEEDS, 3))


@pytest.mark.parametrize("family", EMBEDDED)
def test_an_embedded_scale_costs_nothing(load: Loader, family: str) -> None:
    """Where the network reads the scale, another one is another image and as many evaluations."""
    strong, default = load(family, guidance=50.0), load(family)

    assert strong.nfe(2) == default.nfe(2) == 2
    assert strong.describe()["guidance"] == {
        "convention": "embedded",
        "scale": 50.0,
        "negative_prompt": None,
    }
    assert not np.array_equal(strong.generate(PROMPTS, SEEDS, 2), default.generate(PROMPTS, SEEDS, 2))


@pytest.mark.parametrize("family", GUIDED)
def test_a_negative_prompt_is_read(load: Loader, family: str) -> None:
    """The unconditional branch reads the negative prompt: another image, as many evaluations."""
    negative, default = load(family, negative_prompt="a red dog"), load(family)

    assert negative.nfe(2) == default.nfe(2)
    assert not np.array_equal(
        negative.generate(PROMPTS[1:], SEEDS[1:], 2), default.generate(PROMPTS[1:], SEEDS[1:], 2)
    )


@pytest.mark.parametrize("family", ["sdxl-turbo", "flux-schnell", *EMBEDDED])
def test_a_negative_prompt_that_nothing_would_read_is_refused(load: Loader, family: str) -> None:
    """Without an unconditional branch a negative prompt would be dropped in silence."""
    with pytest.raises(UsageError, match=r"--negative-prompt 'a cat'.*has no unconditional branch"):
        load(family, negative_prompt="a cat")


def test_a_scale_that_nothing_would_read_is_refused(load: Loader) -> None:
    """FLUX.1-schnell takes a guidance scale and ignores it: asking for one is an error."""
    with pytest.raises(UsageError, match=r"--guidance 4\.0: flux-schnell reads no such scale"):
        load("flux-schnell", guidance=4.0)


@pytest.mark.parametrize(
    "option",
    [{"eta": 0.5}, {"noise_rule": "ddpm"}, {"s_schedule": "next"}, {"warp": 1.0}, {"guidance_norm": "none"}],
)
def test_options_of_our_own_sampler_are_refused(load: Loader, option: dict[str, Any]) -> None:
    """What diffusers' schedulers do not know is refused by its flag."""
    flag = "--" + next(iter(option)).replace("_", "-")

    with pytest.raises(UsageError, match=rf"{flag}: an option of Self-E's own sampler"):
        load("sd3", **option)


def test_a_consistency_model_has_at_most_its_own_steps(load: Loader) -> None:
    """LCM's scheduler has 50 times: 50 steps are drawn, 51 are an error that says so."""
    generator = load("latent-consistency")

    assert generator.nfe(50) == 50
    with pytest.raises(UsageError, match="latent-consistency cannot draw with --steps 51"):
        generator.nfe(51)


def test_the_middle_time_is_for_two_steps() -> None:
    """SANA-Sprint's middle time is left out at other counts, and nothing is said to pipelines without one."""
    sprint = {"intermediate_timesteps": 1.3, "num_inference_steps": 2}

    assert step_arguments(sprint, 2) == {}
    assert [step_arguments(sprint, steps) for steps in (1, 4)] == [{"intermediate_timesteps": None}] * 2
    assert step_arguments({"num_inference_steps": 50}, 4) == {}


def test_settings_may_say_the_middle_time(tiny_pipeline: Callable[[str], Path]) -> None:
    """Another middle time is another image at two steps; at other counts the pipeline refuses it, and so does the adapter."""
    settings = settings_of("sana-sprint", call={**CALLS["sana"], "intermediate_timesteps": 0.7})
    folder = str(tiny_pipeline("sana-sprint"))
    early, usual = (
        load_diffusers_generator(folder, chosen, SamplerOverrides(), "cpu")
        for chosen in (settings, settings_of("sana-sprint"))
    )

    assert not np.array_equal(early.generate(PROMPTS, SEEDS, 2), usual.generate(PROMPTS, SEEDS, 2))
    with pytest.raises(UsageError, match="cannot draw with --steps 4 at these settings"):
        early.nfe(4)


def test_a_second_order_scheduler_evaluates_twice_a_step(tiny_pipeline: Callable[[str], Path]) -> None:
    """Heun's method takes 2N - 1 evaluations for N steps, its last one being Euler's, doubled by guidance."""
    settings = settings_of("sdxl", scheduler=PeerScheduler(name="HeunDiscreteScheduler"))
    generator = load_diffusers_generator(str(tiny_pipeline("sdxl")), settings, SamplerOverrides(), "cpu")

    assert [generator.nfe(steps) for steps in (1, 2, 5)] == [2, 6, 18]
    assert generator.describe()["scheduler"]["class"] == "HeunDiscreteScheduler"


def test_a_distilled_network_takes_the_place_of_the_pipelines_own(
    tiny_pipeline: Callable[[str], Path],
) -> None:
    """LCM for SDXL is SDXL with another network and scheduler: one pass a step, the scale embedded."""
    settings = settings_of(
        "sdxl",
        scheduler=PeerScheduler(name="LCMScheduler"),
        parts={"unet": str(tiny_pipeline("sdxl-consistency") / "unet")},
        guidance=8.0,
    )
    generator = load_diffusers_generator(str(tiny_pipeline("sdxl")), settings, SamplerOverrides(), "cpu")

    assert [generator.nfe(steps) for steps in (1, 2, 8)] == [1, 2, 8]
    assert generator.describe()["guidance"]["convention"] == "embedded"
    assert generator.generate(PROMPTS, SEEDS, 2).shape == (3, SIZE, SIZE, 3)


def test_noise_from_a_shared_stream_is_refused(tiny_pipeline: Callable[[str], Path]) -> None:
    """FLUX's pipeline gives a noisy scheduler no stream of the image: its images would depend on their neighbours."""
    noisy = PeerScheduler(name="FlowMatchEulerDiscreteScheduler", options={"stochastic_sampling": True})
    settings = settings_of("flux-schnell", scheduler=noisy)
    generator = load_diffusers_generator(
        str(tiny_pipeline("flux-schnell")), settings, SamplerOverrides(), "cpu"
    )

    with pytest.raises(UntrustworthyError, match="drew random numbers from a stream that all images share"):
        generator.generate(PROMPTS, SEEDS, 2)


def test_pixels_that_are_no_numbers_are_refused(tiny_pipeline: Callable[[str], Path], tmp_path: Path) -> None:
    """An autoencoder that overflows would give black images, counted as bad ones: it is an error instead."""
    folder = shutil.copytree(tiny_pipeline("flux-schnell"), tmp_path / "overflowing")
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["decoder.conv_out.bias"][:] = torch.nan
    save_file(tensors, weights)
    generator = load_diffusers_generator(str(folder), settings_of("flux-schnell"), SamplerOverrides(), "cpu")

    with pytest.raises(UntrustworthyError, match="drew pixels that are no numbers at 2 steps: float32"):
        generator.generate(PROMPTS, SEEDS, 2)


def made(folder: Path, family: str, change: Callable[[Any], object]) -> DiffusersGenerator:
    """A generator of a loaded pipeline that has been changed."""
    settings = settings_of(family)
    pipeline = load_pipeline(pipeline_folder(str(folder), settings), settings, "cpu")
    change(pipeline)
    return DiffusersGenerator("mine", pipeline, settings, SamplerOverrides())


def test_pixels_beyond_black_and_white_are_refused(tiny_pipeline: Callable[[str], Path]) -> None:
    """A pipeline that leaves its pixels in [-1, 1] would give bytes that wrap around: it is an error instead."""

    def leave(pipeline: Any) -> None:
        pipeline.image_processor = VaeImageProcessor(do_normalize=False)

    generator = made(tiny_pipeline("flux-schnell"), "flux-schnell", leave)

    with pytest.raises(
        UntrustworthyError, match=r"mine gives pixels of float32 from -.* fractions from 0 to 1"
    ):
        generator.generate(PROMPTS, SEEDS, 1)


def test_a_batch_that_the_memory_does_not_hold_is_an_error_of_ours(
    tiny_pipeline: Callable[[str], Path],
) -> None:
    """The batch size decides the last bits, so it is not changed in silence: the caller is told to say a smaller one."""

    def bear_four(_network: object, arguments: tuple[torch.Tensor, ...]) -> None:
        if len(arguments[0]) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    generator = made(
        tiny_pipeline("stable-diffusion"),
        "stable-diffusion",
        lambda pipeline: pipeline.unet.register_forward_pre_hook(bear_four),
    )

    assert len(generator.generate(PROMPTS[:2], SEEDS[:2], 1)) == 2
    with pytest.raises(
        UsageError, match=r"does not hold mine in float32 and a batch of 3 images\. Say a smaller --b"
    ):
        generator.generate(PROMPTS, SEEDS, 1)


def test_another_size_than_asked_for_is_refused(tiny_pipeline: Callable[[str], Path]) -> None:
    """FLUX rounds sizes down in silence: an image of another size than the record says is an error."""
    generator = load_diffusers_generator(
        str(tiny_pipeline("flux-schnell")), settings_of("flux-schnell", height=35), SamplerOverrides(), "cpu"
    )

    with pytest.raises(UsageError, match=r"images of 3\d by 32 pixels .* where 35 by 32 were asked for"):
        generator.generate(PROMPTS, SEEDS, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [({"tea": 1}, "has no such argument"), ({"num_inference_steps": 4}, "is for the harness to say")],
)
def test_arguments_of_the_call_are_known_and_free(
    tiny_pipeline: Callable[[str], Path], call: dict[str, Any], message: str
) -> None:
    """Settings pass on what the pipeline takes and the harness does not say itself."""
    with pytest.raises(UsageError, match=message):
        load_diffusers_generator(
            str(tiny_pipeline("sd3")), settings_of("sd3", call=call), SamplerOverrides(), "cpu"
        )


def test_a_description_says_what_was_used(load: Loader) -> None:
    """Pipeline, parts, scheduler with its configuration, guidance, settings and versions, as JSON."""
    description = load("sd3", guidance=3.0, negative_prompt="a cat").describe()

    assert json.loads(json.dumps(description)) == description
    assert description["adapter"] == "diffusers"
    assert description["pipeline"] == "StableDiffusion3Pipeline"
    assert description["components"]["transformer"] == "SD3Transformer2DModel"
    assert description["scheduler"]["class"] == "FlowMatchEulerDiscreteScheduler"
    assert description["scheduler"]["config"]["shift"] == 3.0
    assert description["guidance"] == {
        "convention": "classifier-free",
        "scale": 3.0,
        "negative_prompt": "a cat",
    }
    assert PeerSettings.from_json(description["settings"]) == settings_of("sd3")
    assert {"diffusers", "transformers", "torch", "device"} <= set(description)


def test_weights_are_loaded_in_the_format_of_the_settings(tiny_pipeline: Callable[[str], Path]) -> None:
    """bfloat16 is the format of the denoiser's weights, and pixels still come out as bytes."""
    settings = settings_of("sana-sprint", dtype="bfloat16")
    generator = load_diffusers_generator(
        str(tiny_pipeline("sana-sprint")), settings, SamplerOverrides(), "cpu"
    )

    (denoiser,) = generator._denoisers.values()

    assert denoiser.dtype == torch.bfloat16
    assert generator.generate(PROMPTS, SEEDS, 2).dtype == np.uint8
