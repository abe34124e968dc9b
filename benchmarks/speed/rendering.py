"""How fast the openmoji world makes training data: layouts, captions, pictures, truth, corruptions.

    python benchmarks/speed/rendering.py

One thread on the CPU, and a GPU if there is one; the best of three rounds after a warm-up. Layouts are always
drawn on the CPU, so that a seed means the same scenes everywhere; "total" is layout and rendering.
The documented figures are in benchmarks/openmoji/README.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from selfe_eval.openmoji.corrupt import corrupt
from selfe_eval.openmoji.scenes import render, truth
from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.openmoji.training_scenes import sample_training_scenes

NUM_SCENES = 1024
NUM_ROUNDS = 3


def _scenes_per_second(device: str, run: Callable[[], object]) -> float:
    return NUM_SCENES / min(_seconds(device, run) for _ in range(NUM_ROUNDS + 1))


def _seconds(device: str, run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def measure(device: str) -> dict[str, float]:
    """Scenes per second of each stage on one device."""
    bank = load_sprite_bank().to(device)
    scenes = sample_training_scenes(NUM_SCENES, 0, include_held_out=False, device=device).scenes
    images = render(bank, scenes).float() / 255
    generator = torch.Generator(device).manual_seed(0)

    def layout() -> object:
        return sample_training_scenes(NUM_SCENES, 0, include_held_out=False, device=device).scenes

    def both() -> object:
        drawn = sample_training_scenes(NUM_SCENES, 0, include_held_out=False, device=device)
        return render(bank, drawn.scenes)

    stages: dict[str, Callable[[], object]] = {
        "layout": layout,
        "render": lambda: render(bank, scenes),
        "total": both,
        "truth": lambda: truth(bank, scenes),
        "corrupt": lambda: corrupt(images, generator),
    }
    return {name: _scenes_per_second(device, run) for name, run in stages.items()}


def main() -> None:
    """Print one line for each stage and device."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    load_sprite_bank()
    print(f"sprite bank: {time.perf_counter() - started:.1f} s")
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        for stage, rate in measure(device).items():
            print(f"{device:5} {stage:8} {rate:12,.0f} scenes/s")


if __name__ == "__main__":
    main()
