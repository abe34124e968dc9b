"""How fast the sampler is beside a plain loop over the same network, and how much of its time is not the network's.

    python benchmarks/speed/sampling.py
    python benchmarks/speed/sampling.py --checkpoint model/checkpoints/selfe-tiny
    python benchmarks/speed/sampling.py --device cuda --width 384 --rounds 10

Both sides draw the same number of latents from the same network, prompts, times and precision, with guidance of the same
energy and fresh noise in each step. The plain loop is written as most repositories have it: the conditional and the
unconditional prediction in two calls a step, noise from the device's global generator. Ours is ``AnyStepPipeline.latents``:
one call a step, and a generator for each image. Prompts are read on both sides; decoding to pixels is on neither.

Rounds alternate between the two, so a machine that slows down slows both; the fastest round of each is what counts. The
share outside the network is measured apart, in one more round of ours with a clock (and, on a GPU, a wait) around every
network call. Without --checkpoint the network is random, with 64 image tokens. README.md holds what it printed, and where.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from selfe.autoencoder import Autoencoder, AutoencoderConfig
from selfe.checkpoint import Checkpoint
from selfe.denoiser import DenoiserConfig
from selfe.model import ConditionalModel, ModelConfig
from selfe.parametrisation import predicted_clean
from selfe.pipeline import AnyStepPipeline, prompt_reader
from selfe.sampler import SamplerOptions, noise_split
from selfe.text import TextConfig
from selfe.times import time_grid

PROMPT = "a photo of a red dog"
OMEGA = 5.0
HEAD_SIZE = 32
Side = Callable[[int], Tensor]
"""Number of steps -> latents (B, L, D)."""


def random_pipeline(width: int, device: str) -> AnyStepPipeline:
    """A network of random weights on 8 x 8 tokens, two double and two single blocks."""
    torch.manual_seed(0)
    config = ModelConfig(
        denoiser=DenoiserConfig(
            width=width,
            num_heads=width // HEAD_SIZE,
            num_double=2,
            num_single=2,
            rope_dims=(4, 14, 14),
            text_width=width,
            grid=(8, 8),
        ),
        text=TextConfig(
            phrases=("dog", "red"), silent=("a", "photo", "of"), num_tokens=16, width=width, num_layers=2
        ),
    )
    checkpoint = Checkpoint(
        name="random",
        suite=None,
        model=ConditionalModel(config).to(device).eval(),
        autoencoder=Autoencoder(AutoencoderConfig()).to(device).eval(),
        sampler=SamplerOptions(),
        training={},
        sha256="",
    )
    return AnyStepPipeline(checkpoint, device=device)


def ours(pipeline: AnyStepPipeline, batch_size: int) -> Side:
    """The pipeline, without its decoder."""
    options = SamplerOptions(guidance=OMEGA)
    prompts, seeds = [PROMPT] * batch_size, list(range(batch_size))
    return lambda num_steps: pipeline.latents(prompts, seeds, num_steps, options)


def plain(pipeline: AnyStepPipeline, batch_size: int) -> Side:
    """The loop as it is usually written."""
    model, device = pipeline.checkpoint.model, pipeline.device
    config, read = model.config, prompt_reader(pipeline.checkpoint, device)
    length = config.denoiser.grid[0] * config.denoiser.grid[1]

    @torch.inference_mode()
    def loop(num_steps: int) -> Tensor:
        c, phi = (read([text] * batch_size).to(device) for text in (PROMPT, ""))
        x = torch.randn(batch_size, length, config.denoiser.token_dims, device=device)
        for t, u in pairwise(time_grid(num_steps, mu=config.mu()).tolist()):
            ts = torch.full((batch_size,), t, device=device)
            ss = torch.full((batch_size,), u, device=device)
            with torch.autocast(device.type, torch.bfloat16):
                y_c, y_u = (
                    predicted_clean(model(x, ts, ss, prompts), x, ts, config.parametrisation)
                    for prompts in (c, phi)
                )
            y = y_u + OMEGA * (y_c - y_u)
            y = y * y_c.norm(dim=(1, 2), keepdim=True) / y.norm(dim=(1, 2), keepdim=True)
            b, fresh = noise_split(t, u, 1.0, "ddpm") if u > 0 else (0.0, 0.0)
            x = (1 - u) * y + b * (x - (1 - t) * y) / t + fresh * torch.randn_like(x)
        return x

    return loop


def seconds_of(side: Side, num_steps: int, device: torch.device) -> float:
    """Of one batch, waiting for the GPU at both ends."""
    _wait(device)
    start = time.perf_counter()
    side(num_steps)
    _wait(device)
    return time.perf_counter() - start


def share_outside(pipeline: AnyStepPipeline, side: Side, num_steps: int) -> float:
    """Share of a batch's time outside denoiser and text encoder; a wait around each call forbids any overlap."""
    model, device = pipeline.checkpoint.model, pipeline.device
    clock = {"start": 0.0, "inside": 0.0}

    def before(*_: object) -> None:
        _wait(device)
        clock["start"] = time.perf_counter()

    def after(*_: object) -> None:
        _wait(device)
        clock["inside"] += time.perf_counter() - clock["start"]

    networks = [model.denoiser, *([] if model.text is None else [model.text])]
    hooks = [
        hook
        for each in networks
        for hook in (each.register_forward_pre_hook(before), each.register_forward_hook(after))
    ]
    seconds = seconds_of(side, num_steps, device)
    for hook in hooks:
        hook.remove()
    return 1.0 - clock["inside"] / seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure both sides in turns and print ratios."""
    parser = argparse.ArgumentParser(description="The sampler beside a plain loop over the same network.")
    parser.add_argument("--checkpoint", help="folder of a checkpoint; by default random weights")
    parser.add_argument("--width", type=int, default=128, help="of the random network, a multiple of 32")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", default="1,2,4,8,50", help="step counts, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    if arguments.checkpoint:
        pipeline = AnyStepPipeline.load(arguments.checkpoint, device=arguments.device)
    else:
        pipeline = random_pipeline(arguments.width, arguments.device)
    device, batch_size = pipeline.device, arguments.batch_size
    sides = plain(pipeline, batch_size), ours(pipeline, batch_size)
    for side in sides:  # warm up
        side(2)
    table = Table("steps", "plain images/s", "ours images/s", "ratio", "outside the network")
    for num_steps in map(int, arguments.steps.split(",")):
        rounds = [[seconds_of(side, num_steps, device) for side in sides] for _ in range(arguments.rounds)]
        slow, fast = (min(seconds) for seconds in zip(*rounds, strict=True))
        outside = share_outside(pipeline, sides[1], num_steps)
        table.add_row(
            str(num_steps),
            f"{batch_size / slow:.1f}",
            f"{batch_size / fast:.1f}",
            f"{slow / fast:.2f}",
            f"{100 * outside:.1f} %",
        )
    print_table(table, pipeline, batch_size)


def print_table(table: Table, pipeline: AnyStepPipeline, batch_size: int) -> None:
    """The table under a line that says what was measured where."""
    model, is_cuda = pipeline.checkpoint.model, pipeline.device.type == "cuda"
    console = Console()
    console.print(
        f"{pipeline.checkpoint.name}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters, "
        f"{pipeline.grid[0] * pipeline.grid[1]} tokens, batch {batch_size}; "
        f"{torch.cuda.get_device_name() if is_cuda else platform.processor() or platform.machine()}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    console.print(table)


if __name__ == "__main__":
    main()
