"""How long a training step of each objective takes beside one of flow matching, and what its passes lead one to expect.

    python benchmarks/speed/training.py
    python benchmarks/speed/training.py --device cuda --width 384 --rounds 50

A step is ``ModelTraining.train_step``: noise and times, forward and backward passes, clipping, Adam, moving average. Every
objective trains a network of its own, of preset ``tiny``, on the same random latents and captions. In each round every
objective makes one step, so a machine that slows down slows all; the median over the rounds of (step / flow matching's step
of the same round) is what to read. On a CPU times are the process's own, summed over its threads: other processes hardly
touch them. Expected is the number of forward passes by theory, a backward pass counted as two, over
the 3 of flow matching. Rows whose caption was dropped (a tenth) are not evaluated by Self-E, which the theory leaves out.

README.md holds what it printed, and where.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import replace
from statistics import median, quantiles

import torch
from rich.console import Console
from rich.table import Table

from selfe.condition import Condition
from selfe.model import ModelConfig
from selfe.objectives.protocol import Objective
from selfe.objectives.registry import OBJECTIVES
from selfe.objectives.self_e import SelfE
from selfe.presets import tiny
from selfe.text import NULL, NUM_SPECIAL, PAD, TextConfig
from selfe.training.trainer import Captioned, ModelTraining, Recipe
from selfe_eval.train.vocabulary import text_config

BASE = "flow_matching"
HEAD_SIZE = 32
FORWARD_PASSES = {
    BASE: 3.0,
    "self_e": 4.0,
    "self_e with the auxiliary term": 6.0,
    "imm": 4.0,
    "meanflow": 3.5,
    "shortcut": 3.5,
}
"""A step's forward equivalents, as the objectives' own docstrings derive them."""


class RandomLatents:
    """One batch of noise for all steps; captions fill half of the tokens, as the openmoji world's do."""

    def __init__(self, config: ModelConfig, text: TextConfig, num_rows: int) -> None:
        generator = torch.Generator().manual_seed(0)
        grid = config.denoiser.grid
        shape = (num_rows, grid[0] * grid[1], config.denoiser.token_dims)
        tokens = torch.full((num_rows, text.num_tokens), PAD)
        last = NUM_SPECIAL + len(text.phrases)
        half = text.num_tokens // 2
        tokens[:, :half] = torch.randint(NUM_SPECIAL, last, (num_rows, half), generator=generator)
        c = Condition(tokens, tokens != PAD)
        self._data = Captioned(torch.randn(shape, generator=generator), c, grid, c)
        null = torch.full((1, text.num_tokens), PAD)
        null[0, 0] = NULL
        self.null = Condition(null, null != PAD)

    def batch(self, step: int, part: int) -> Captioned:
        """The same for all."""
        del step, part
        return self._data


def objectives() -> dict[str, Objective]:
    """Every objective without arguments, and Self-E with all it has."""
    made: dict[str, Objective] = {name: make() for name, make in OBJECTIVES.items()}
    return made | {"self_e with the auxiliary term": SelfE(aux_start=0)}


def network(width: int) -> ModelConfig:
    """Preset ``tiny`` at a width, a multiple of 32."""
    config = tiny(text_config())
    return replace(config, denoiser=replace(config.denoiser, width=width, num_heads=width // HEAD_SIZE))


def seconds_of(training: ModelTraining, step: int) -> float:
    """Of one step: of the process on a CPU; by the clock on a GPU, waiting for it at both ends."""
    if training.device.type == "cpu":
        start = time.process_time()
        training.train_step(step)
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    training.train_step(step)
    torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Measure all objectives in turns and print ratios."""
    parser = argparse.ArgumentParser(description="A training step of each objective beside flow matching's.")
    parser.add_argument("--width", type=int, default=224, help="of the network, a multiple of 32")
    parser.add_argument("--batch-size", type=int, default=64, help="a multiple of 4")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device, config = torch.device(arguments.device), network(arguments.width)
    source = RandomLatents(config, text_config(), arguments.batch_size)
    trainings = {
        name: ModelTraining(
            config, Recipe(objective=objective, num_steps=arguments.rounds + 2), source, device=device
        )
        for name, objective in objectives().items()
    }
    rounds = [
        {name: seconds_of(training, step) for name, training in trainings.items()}
        for step in range(arguments.rounds + 2)
    ][2:]  # the first two warm up
    parameters = sum(p.numel() for p in trainings[BASE].model.parameters())
    where = (
        torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    )
    console = Console()
    console.print(
        f"{parameters / 1e6:.1f} M parameters, {config.denoiser.grid[0] * config.denoiser.grid[1]} tokens, batch "
        f"{arguments.batch_size}, median of {len(rounds)} rounds; {where}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )
    console.print(table_of(rounds))


def table_of(rounds: list[dict[str, float]]) -> Table:
    """Medians over the rounds; the middle half of the ratios shows how even they were."""
    table = Table("objective", "ms a step", "ratio", "middle half", "expected")
    for name in rounds[0]:
        ratios = [seconds[name] / seconds[BASE] for seconds in rounds]
        low, _, high = quantiles(ratios, n=4)
        table.add_row(
            name,
            f"{1000 * median(seconds[name] for seconds in rounds):.0f}",
            f"{median(ratios):.2f}",
            f"{low:.2f} - {high:.2f}",
            f"{FORWARD_PASSES[name] / FORWARD_PASSES[BASE]:.2f}",
        )
    return table


if __name__ == "__main__":
    main()
