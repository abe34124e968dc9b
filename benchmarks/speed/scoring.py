"""How fast GenEval's scoring is beside a plain loop in the reference's manner, over the same images and weights.

    python benchmarks/speed/scoring.py
    python benchmarks/speed/scoring.py --device cuda --num-images 64 --size 1024

The plain loop does what djghosh13/geneval at af4902f does, one image after the other: mmdet's network as it comes, at
batch 1, every one of the 100 masks brought to full resolution and moved to the host, and for each class whose colour
is asked a new data loader with four worker processes. Ours is the stage of ``selfe-eval score --detector mmdet``. Both
run in this process over the same files; ratios are what to read.

Without --detector-weights and --color-weights both networks have random weights of the official shapes, made to find
about as many objects as the real ones do: good for times, useless for scores, and none is printed. One image in
three asks for colours, as in GenEval's 553 prompts. README.md holds what it printed, and where.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from selfe_eval.pipeline.found_images import find_images, record_images
from selfe_eval.pipeline.jobs import FoundImagesJob
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.score import score
from selfe_eval.records import COLORS, Prompt, Requirement, ScoredObject, Suite
from selfe_eval.runs.run import create_or_open
from selfe_eval.score.color_model import ColorModel, model_from_file
from selfe_eval.score.colors import TEMPLATES, ColorClassifier
from selfe_eval.score.decode import decode_rgb
from selfe_eval.score.detectors.mask2former import CPU_BATCH, GPU_BATCH, Mask2FormerDetector
from selfe_eval.score.detectors.mask2former_decode import decode
from selfe_eval.score.detectors.mask2former_input import prepare
from selfe_eval.score.detectors.mask2former_weights import read_mask2former_weights
from selfe_eval.score.detectors.mmdet_mask2former import mmdet_network, packaged_config
from selfe_eval.score.detectors.mmdet_stub import build_model
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.geneval.crops import masked_crop
from selfe_eval.score.geneval.rules import evaluate, keep_objects, objects_needing_color
from selfe_eval.score.geneval_scorer import GenEvalScorer, objects_by_class
from selfe_eval.score.published_clip import VIT_L_14
from selfe_eval.suites.registry import load_suite
from selfe_eval.suites.vocabulary import CLASSES

Network = Callable[[Tensor], tuple[Tensor, Tensor]]

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
NUM_OBJECTS = 8
"""About so many objects of an image a trained detector is sure of."""
FLOOR = 0.2
"""Our scorer looks at objects down to this score."""
NUM_RULES = 2212
"""Images of a full GenEval run: 553 prompts with four images each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The networks that both sides share."""

    plain_network: Network
    network: Network
    colors: ColorModel
    device: str


@dataclass(kw_only=True)
class Stopwatch:
    """Seconds by part, waiting for the GPU at both ends."""

    device: str
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, part: str) -> Iterator[None]:
        """Add what happens inside to a part."""
        self._wait()
        start = time.perf_counter()
        yield
        self._wait()
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


# --- the plain loop, in the reference's manner -----------------------------------------------------------------


class PlainLoop:
    """One image after the other, as the reference does it."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._classifiers: dict[str, Tensor] = {}

    @torch.inference_mode()
    def score(self, path: Path, prompt: Prompt, watch: Stopwatch) -> bool:
        """Judge one image file."""
        with watch.time("detection"):
            image = cv2.imread(str(path))
            padded, resized = _plain_input(image)
            class_logits, mask_logits = self._judge.plain_network(padded.to(self._judge.device))
        with watch.time("post-processing"):
            raw, masks = _plain_objects(class_logits[0], mask_logits[0], padded, resized, image.shape[:2])
            kept = keep_objects(raw, prompt.task)
        with watch.time("colour"):
            pixels = np.asarray(Image.open(path).convert("RGB"))
            needed: dict[str, list[int]] = {}
            for name, index in objects_needing_color(prompt, kept):
                needed.setdefault(name, []).append(index)
            for name, indices in needed.items():
                chosen = [kept[name][index] for index in indices]
                crops = [masked_crop(pixels, masks[name][raw[name].index(o)], o.box) for o in chosen]
                for index, label in zip(indices, self._colors(crops, name), strict=True):
                    found = kept[name][index]
                    kept[name][index] = ScoredObject(box=found.box, score=found.score, color=label)
        return evaluate(prompt, kept).correct

    def _colors(self, crops: list[NDArray[np.uint8]], name: str) -> list[str]:
        classifier = self._classifier(name)
        inputs = [(Image.fromarray(crop), 0) for crop in crops]
        labels: list[str] = []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores
            loader = DataLoader(_Crops(inputs, self._judge.colors.preprocess), batch_size=16, num_workers=4)
            batches = list(loader)
        for batch, _ in batches:
            features = functional.normalize(
                self._judge.colors.network.encode_image(batch.to(self._judge.device)), dim=-1
            )
            labels += [COLORS[index] for index in (100 * features @ classifier).argmax(dim=1).tolist()]
        return labels

    def _classifier(self, name: str) -> Tensor:
        if name not in self._classifiers:
            columns = []
            for color in COLORS:
                texts = self._judge.colors.tokenizer([t.format(color=color, name=name) for t in TEMPLATES])
                features = functional.normalize(
                    self._judge.colors.network.encode_text(texts.to(self._judge.device)), dim=-1
                )
                mean = features.mean(dim=0)
                columns.append(mean / mean.norm())
            self._classifiers[name] = torch.stack(columns, dim=1)
        return self._classifiers[name]


class _Crops(torch.utils.data.Dataset[tuple[Tensor, int]]):
    def __init__(
        self, items: list[tuple[Image.Image, int]], preprocess: Callable[[Image.Image], Tensor]
    ) -> None:
        self._items, self._preprocess = items, preprocess

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, target = self._items[index]
        return self._preprocess(image), target


def _plain_input(image: NDArray[np.uint8]) -> tuple[Tensor, tuple[int, int]]:
    height, width = image.shape[:2]
    scale = min(1333 / max(height, width), 800 / min(height, width))
    size = int(width * scale + 0.5), int(height * scale + 0.5)
    resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    padding = (-size[1] % 32, -size[0] % 32)
    padded = np.pad(resized, ((0, padding[0]), (0, padding[1]), (0, 0)), constant_values=128)[..., ::-1]
    pixels = (padded.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None], (size[1], size[0])


def _plain_objects(
    class_logits: Tensor, mask_logits: Tensor, padded: Tensor, resized: tuple[int, int], size: tuple[int, int]
) -> tuple[dict[str, list[ScoredObject]], dict[str, list[NDArray[np.bool_]]]]:
    """All 100 pairs with a box and a mask at full resolution, moved to the host one by one."""
    maps = functional.interpolate(mask_logits[None], padded.shape[-2:], mode="bilinear", align_corners=False)
    maps = maps[..., : resized[0], : resized[1]]
    maps = functional.interpolate(maps, size, mode="bilinear", align_corners=False)[0]
    scores, places = torch.softmax(class_logits, -1)[:, :-1].flatten().topk(100)
    maps = maps[places // 80]
    masks = maps > 0
    inside = (maps.sigmoid() * masks).flatten(1).sum(1) / (masks.flatten(1).sum(1) + 1e-6)
    scores = scores * inside
    objects: dict[str, list[ScoredObject]] = {}
    found: dict[str, list[NDArray[np.bool_]]] = {}
    for confidence, place, mask in zip(scores.cpu(), places.cpu(), masks, strict=True):
        ys, xs = torch.where(mask)
        box = (
            (float(xs.min()), float(ys.min()), float(xs.max()) + 1, float(ys.max()) + 1)
            if len(xs)
            else (0.0,) * 4
        )
        name = CLASSES[int(place) % 80]
        objects.setdefault(name, []).append(ScoredObject(box=box, score=float(confidence)))
        found.setdefault(name, []).append(mask.cpu().numpy())
    return objects, found


# --- ours, by parts and as a whole -----------------------------------------------------------------------------


def time_parts(judge: Judge, paths: Sequence[Path], prompts: Sequence[Prompt], watch: Stopwatch) -> None:
    """Run the three parts of our scorer one after the other, each over all images."""
    device, batch = judge.device, CPU_BATCH if judge.device == "cpu" else GPU_BATCH
    colors = ColorClassifier(judge.colors, device=device)
    crops: list[NDArray[np.uint8]] = []
    names: list[str] = []
    for start in range(0, len(paths), batch):
        with watch.time("detection"), torch.inference_mode():
            pixels = np.stack([decode_rgb(path.read_bytes()) for path in paths[start : start + batch]])
            prepared = prepare(RgbImages(pixels=pixels), device)
            class_logits, mask_logits = judge.network(prepared.pixels)
        with watch.time("post-processing"), torch.inference_mode():
            found = decode(class_logits, mask_logits, prepared, floor=FLOOR)
            for image, prompt, detections in zip(pixels, prompts[start : start + batch], found, strict=True):
                raw, rows = objects_by_class(detections)
                kept = keep_objects(raw, prompt.task)
                for name, index in objects_needing_color(prompt, kept):
                    row = rows[name][raw[name].index(kept[name][index])]
                    crops.append(masked_crop(image, detections.masks[row], kept[name][index].box))
                    names.append(name)
    with watch.time("colour"):
        colors.classify(crops, names)


def time_stage(judge: Judge, folder: Path, suite: Suite, watch: Stopwatch) -> None:
    """The stage of ``selfe-eval score --images``, from files to journal."""
    scorer = GenEvalScorer(
        Mask2FormerDetector("mmdet", judge.network, device=judge.device, record={}),
        ColorClassifier(judge.colors, device=judge.device),
    )
    found = find_images(folder, suite)
    record = FoundImagesJob(found=found, suite=suite, model="benchmark", detector="mmdet").record()
    with tempfile.TemporaryDirectory() as scratch:
        run = create_or_open(Path(scratch), record)
        record_images(run, found)
        with watch.time("whole"):
            score(run, suite, scorer, Silence())


def time_rules(prompts: Sequence[Prompt], found: Sequence[dict[str, list[ScoredObject]]]) -> float:
    """Seconds for GenEval's rules over as many images as a full run has."""
    colored = [
        {name: [replace(o, color="red") for o in objects] for name, objects in raw.items()} for raw in found
    ]
    start = time.perf_counter()
    for index in range(NUM_RULES):
        prompt = prompts[index % len(prompts)]
        evaluate(prompt, keep_objects(colored[index % len(colored)], prompt.task))
    return time.perf_counter() - start


# --- images, weights, prompts ----------------------------------------------------------------------------------


def random_images(folder: Path, num_images: int, size: int) -> list[Path]:
    """Smooth coloured noise, as PNG files in the official layout."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(num_images):
        coarse = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        path = folder / f"{number:05d}" / "samples" / "0000.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths


def detector_networks(weights: Path | None, device: str) -> tuple[Network, Network]:
    """Mmdet's network as it comes, and ours around it; random weights are made as sure of themselves as trained ones."""
    torch.manual_seed(0)
    model: Any = build_model(packaged_config())
    if weights is not None:
        model.load_state_dict(read_mask2former_weights(weights).tensors)
    model.to(device).eval()

    def plain(pixels: Tensor) -> tuple[Tensor, Tensor]:
        class_logits, mask_logits = model.panoptic_head(model.extract_feat(pixels), [])
        return class_logits[-1], mask_logits[-1]

    ours = mmdet_network(model.state_dict(), device)
    return (plain, ours) if weights is not None else (_sure(plain), _sure(ours))


def _sure(network: Network) -> Network:
    def sure(pixels: Tensor) -> tuple[Tensor, Tensor]:
        class_logits, mask_logits = network(pixels)
        spread = (class_logits - class_logits.mean(dim=1, keepdim=True)) / class_logits.std(
            dim=1, keepdim=True
        )
        logits = 12 * spread
        best = logits[..., :-1].amax(dim=-1)
        logits[..., -1] = best.quantile(1 - NUM_OBJECTS / best.shape[1], dim=1, keepdim=True)
        centred = mask_logits - mask_logits.mean(dim=(-2, -1), keepdim=True)
        return logits, 8 * centred / centred.std(dim=(-2, -1), keepdim=True) - 4

    return sure


def color_model(weights: Path | None, device: str) -> ColorModel:
    """ViT-L-14 with QuickGELU, from a weight file or random."""
    if weights is not None:
        return model_from_file(weights)
    torch.manual_seed(0)
    network = open_clip.CLIP(**open_clip.get_model_config(VIT_L_14.architecture)).eval().to(device)
    return ColorModel(
        network=network,
        preprocess=image_transform_v2(PreprocessCfg(size=network.visual.image_size), is_train=False),
        tokenizer=open_clip.get_tokenizer(VIT_L_14.architecture),
        record={},
    )


def prompts_for(found: Sequence[dict[str, list[ScoredObject]]]) -> list[Prompt]:
    """Prompts that ask for what was found, with GenEval's share of colour tasks: one in six of each kind."""
    tasks = [prompt.task for prompt in load_suite("geneval").prompts]
    chosen = [tasks[index * len(tasks) // len(found)] for index in range(len(found))]
    prompts = []
    for number, (task, objects) in enumerate(zip(chosen, found, strict=True)):
        names = sorted(objects, key=lambda name: -max(o.score for o in objects[name]))[:2] or ["dog"]
        wanted = names if task in {"two_object", "color_attr"} else names[:1]
        color = "red" if task in {"colors", "color_attr"} else None
        include = tuple(Requirement(class_name=name, count=1, color=color) for name in wanted)
        prompts.append(Prompt(prompt_id=number, task=task, text=f"prompt {number}", include=include))
    return prompts


def main() -> None:
    """Measure both sides in turns and print ratios."""
    parser = argparse.ArgumentParser(description="Our scorer beside a plain loop in the reference's manner.")
    parser.add_argument("--num-images", type=int, default=12)
    parser.add_argument("--size", type=int, default=512, help="side of the images in pixels")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--detector-weights", type=Path)
    parser.add_argument("--color-weights", type=Path, help="weights of ViT-L-14")
    arguments = parser.parse_args()
    device = arguments.device
    plain_network, network = detector_networks(arguments.detector_weights, device)
    judge = Judge(
        plain_network=plain_network,
        network=network,
        colors=color_model(arguments.color_weights, device),
        device=device,
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        paths = random_images(folder, arguments.num_images, arguments.size)
        detector = Mask2FormerDetector("mmdet", network, device=device, record={})
        found = []
        for path in paths:
            (detections,) = detector.detect(RgbImages(pixels=decode_rgb(path.read_bytes())[None]), floor=0.3)
            found.append(objects_by_class(detections)[0])
        prompts = prompts_for(found)
        suite = Suite(name="benchmark", prompts=prompts, sha256="0" * 64)
        plain, ours = Stopwatch(device=device), Stopwatch(device=device)
        loop = PlainLoop(judge)
        for path, prompt in zip(paths[:1], prompts[:1], strict=True):  # warm up
            loop.score(path, prompt, Stopwatch(device=device))
        for path, prompt in zip(paths, prompts, strict=True):
            loop.score(path, prompt, plain)
        time_parts(judge, paths, prompts, ours)
        time_stage(judge, folder, suite, ours)
        print_table(arguments, plain, ours, found, time_rules(prompts, found))


def print_table(
    arguments: argparse.Namespace,
    plain: Stopwatch,
    ours: Stopwatch,
    found: Sequence[dict[str, list[ScoredObject]]],
    rules_seconds: float,
) -> None:
    """Milliseconds an image on both sides, and their ratio."""
    plain.seconds["whole"] = sum(plain.seconds.values())
    machine = (
        torch.cuda.get_device_name() if plain.device != "cpu" else platform.processor() or platform.machine()
    )
    num_objects = sum(len(objects) for raw in found for objects in raw.values()) / len(found)
    console = Console()
    console.print(
        f"{arguments.num_images} images of {arguments.size} px, {num_objects:.1f} objects each; {machine}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    table = Table("part", "plain ms/image", "ours ms/image", "ratio")
    for part in ("detection", "post-processing", "colour", "whole"):
        before, after = (1000 * watch.seconds[part] / arguments.num_images for watch in (plain, ours))
        table.add_row(part, f"{before:.1f}", f"{after:.1f}", f"{before / after:.2f}")
    console.print(table)
    console.print(f"GenEval's rules over {NUM_RULES} images: {rules_seconds:.3f} s")


if __name__ == "__main__":
    main()
