"""How fast all metrics in one pass are beside the usual tools one after another, over the same images and networks.

    python benchmarks/speed/metrics.py
    python benchmarks/speed/metrics.py --extractor inception --num-prompts 12 --size 256
    python benchmarks/speed/metrics.py --device cuda --num-prompts 553

One after another are torch-fidelity (FID, KID, precision and recall in one call, CMMD's kernel in another, with our
extractor registered), a plain loop for CLIP-score (a batch of files is decoded, prepared and encoded with its prompts),
and GenEval. Ours is the pipeline of ``selfe-eval sweep --images``: the same numbers, density and coverage besides, and the
replicates that intervals are made of. GenEval on their side looks at one image after the other, as the reference does, with
the networks and rules that ours has; a second ratio puts our own stage there instead. It looks at images of the openmoji
world; images of another size are measured without it.

Everything runs in this process, in turns, from files to numbers; loading networks and starting Python are left out.
*First model*: the images of the reference are looked at as well. *Second model*: their features are kept, by us as always
and by torch-fidelity under ``input2_cache_name``, which is not its default and does not notice when images change.
The median over the rounds of (theirs / ours of the same round) is what to read.

Inception has random weights: good for times, useless for scores, and no score is printed. README.md holds what it
printed, and where.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch_fidelity
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from selfe_eval.openmoji.scenes import SCENE_PX, render
from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.openmoji.suite_scenes import scenes_for_prompts
from selfe_eval.pipeline.extract import features_at
from selfe_eval.pipeline.found_images import NO_STEPS, find_images
from selfe_eval.pipeline.geneval import load_scorer
from selfe_eval.pipeline.instruments import GENEVAL, Bench, Instruments, named_instruments
from selfe_eval.pipeline.jobs import FoundImagesJob
from selfe_eval.pipeline.measure import measure
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.plan import select_prompts
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.references import find_reference
from selfe_eval.pipeline.score import Scorer
from selfe_eval.records import Prompt, Suite
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.runs.run import open_run
from selfe_eval.score.clip_model import ClipModel, bundled_model
from selfe_eval.score.decode import decode_rgb
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.features.inception import inception_network
from selfe_eval.score.features.protocol import Extractor
from selfe_eval.score.features.registered import as_torch_fidelity
from selfe_eval.score.fidelity.frechet import frechet_distance, frechet_replicated, gaussian_of
from selfe_eval.score.fidelity.replicates import prompt_groups
from selfe_eval.suites.registry import load_suite

COMPARED = ("fid", "kid", "cmmd", "precision", "recall", "density", "coverage")
DRAWS = 4
"""Images of each prompt, and as many of it in the reference."""
CLIP_BATCH = 64
THEIR_OPTIONS: dict[str, dict[str, object]] = {
    "all": {"fid": True, "kid": True, "prc": True},
    "CMMD": {"kid": True, "kid_kernel": "rbf"},
    "FID": {"fid": True},
}
"""Calls of torch-fidelity: one has one kernel, so CMMD needs another."""
KID_SUBSET = 1000
"""As torch-fidelity's own, where there are so many images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What both sides look at, and with what."""

    suite: Suite
    """Holds the prompts."""
    prompts: tuple[Prompt, ...]
    """Those that have images."""
    images: Path
    """In the official layout."""
    reference: Path
    """A folder of images."""
    instruments: Instruments
    """Ours."""
    extractor: Extractor
    """What both compute distances with."""
    scorer: Scorer | None
    """GenEval's judge; None where it does not take such images."""
    clip: ClipModel
    """What the plain loop computes CLIP-score with."""
    device: str
    """Where both compute."""

    @property
    def num_images(self) -> int:
        """On each side."""
        return DRAWS * len(self.prompts)


# --- one after another -----------------------------------------------------------------------------------------


def run_torch_fidelity(subject: Subject, what: str, kept: Path | None) -> None:
    """Its metrics over two folders, as its documentation calls it; with a folder, the reference's features are kept there."""
    cache = (
        {"cache": True, "cache_root": str(kept), "input2_cache_name": "reference"}
        if kept
        else {"cache": False}
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than cores
        torch_fidelity.calculate_metrics(
            input1=str(subject.images),
            input2=str(subject.reference),
            feature_extractor=as_torch_fidelity(subject.extractor),
            **THEIR_OPTIONS[what],
            kid_subset_size=min(KID_SUBSET, subject.num_images),
            samples_find_deep=True,
            cuda=subject.device.startswith("cuda"),
            verbose=False,
            **cache,
        )


@torch.inference_mode()
def run_clip_loop(subject: Subject) -> float:
    """CLIP-score by a plain loop."""
    total = 0.0
    files = [
        (path, prompt.text)
        for prompt in subject.prompts
        for path in sorted((subject.images / f"{prompt.prompt_id:05d}" / "samples").glob("*.png"))
    ]
    for start in range(0, len(files), CLIP_BATCH):
        paths, texts = zip(*files[start : start + CLIP_BATCH], strict=True)
        pictures = [subject.clip.preprocess(Image.open(path).convert("RGB")) for path in paths]
        seen = subject.clip.network.encode_image(torch.stack(pictures).to(subject.device))
        read = subject.clip.network.encode_text(subject.clip.tokenizer(list(texts)).to(subject.device))
        total += float(torch.cosine_similarity(seen, read).clamp_min(0).sum())
    return 100 * total / len(files)


def run_geneval(subject: Subject, folder: Path) -> None:
    """Our stage alone, from files to the summary."""
    assert subject.scorer is not None
    with planned_run(folder, job_of(subject, MeasureOptions()).record()) as run:
        measure(run, Instruments(metrics=(GENEVAL,), measured=(), scorer=subject.scorer), Silence())


def run_geneval_loop(subject: Subject) -> float:
    """The same networks and rules in the reference's manner: one image after the other."""
    assert subject.scorer is not None
    correct = 0
    for prompt in subject.prompts:
        for path in sorted((subject.images / f"{prompt.prompt_id:05d}" / "samples").glob("*.png")):
            pixels = RgbImages(pixels=decode_rgb(path.read_bytes())[None].copy())
            correct += subject.scorer.score(pixels, [prompt])[0].correct is True
    return correct / subject.num_images


# --- in one pass -----------------------------------------------------------------------------------------------


def run_ours(subject: Subject, folder: Path, cache: Path, *, fid_alone: bool) -> None:
    """Every stage of ``selfe-eval sweep --images``, or ``fid --images``, from files to ``metrics.json``."""
    os.environ["SELFE_EVAL_CACHE"] = str(cache)
    instruments = replace(
        subject.instruments, reference=find_reference(str(subject.reference), subject.suite)
    )
    if fid_alone:
        measured = tuple(one for one in instruments.measured if one.metric.name == "fid")
        name, extractor = f"fid[{subject.extractor.name}]", {subject.extractor.name: subject.extractor}
        instruments = replace(
            instruments, metrics=(name,), measured=measured, extractors=extractor, scorer=None
        )
    job = job_of(subject, MeasureOptions(metrics=instruments.metrics))
    with planned_run(folder, job.record()) as run:
        measure(run, instruments, Silence(), found=job.found)


def job_of(subject: Subject, options: MeasureOptions) -> FoundImagesJob:
    """The images as found."""
    found = find_images(subject.images, subject.suite)
    return FoundImagesJob(
        found=found, suite=subject.suite, model="benchmark", measures=options, device=subject.device
    )


# --- images and networks ---------------------------------------------------------------------------------------


def subject_of(folder: Path, arguments: argparse.Namespace) -> Subject:
    """Write images of both sides and load every network once."""
    suite, device = load_suite("openmoji"), arguments.device
    by_id = {prompt.prompt_id: prompt for prompt in suite.prompts}
    prompts = tuple(by_id[prompt_id] for prompt_id in select_prompts(suite, arguments.num_prompts))
    images, reference = folder / "images", folder / "reference"
    reference.mkdir()
    for draw in range(2 * DRAWS):
        for prompt, pixels in zip(prompts, drawn(prompts, draw, arguments.size), strict=True):
            samples = images / f"{prompt.prompt_id:05d}" / "samples"
            samples.mkdir(parents=True, exist_ok=True)
            ours, theirs = samples / f"{draw:04d}.png", reference / f"{prompt.prompt_id:05d}-{draw}.png"
            Image.fromarray(pixels).save(ours if draw < DRAWS else theirs)
    scorer = load_scorer("openmoji", JudgeOptions(), device) if arguments.size == SCENE_PX else None
    instruments = load_instruments(suite, reference, scorer, folder, arguments)
    clip = bundled_model()
    clip.network.to(device).eval()
    return Subject(
        suite=suite,
        prompts=prompts,
        images=images,
        reference=reference,
        instruments=instruments,
        extractor=instruments.extractors[arguments.extractor],
        scorer=scorer,
        clip=clip,
        device=device,
    )


def drawn(prompts: Sequence[Prompt], draw: int, size: int) -> NDArray[np.uint8]:
    """(P, size, size, 3) a scene for each prompt, enlarged where it is to be larger than the world's."""
    pixels = render(load_sprite_bank(), scenes_for_prompts(prompts, draw)).permute(0, 2, 3, 1).numpy()
    if size == SCENE_PX:
        return pixels
    larger = [Image.fromarray(one).resize((size, size), Image.Resampling.BICUBIC) for one in pixels]
    return np.stack([np.asarray(one) for one in larger])


def load_instruments(
    suite: Suite, reference: Path, scorer: Scorer | None, folder: Path, arguments: argparse.Namespace
) -> Instruments:
    """Ours, with random weights for Inception."""
    weights: dict[str, str] = {}
    if arguments.extractor == "inception":
        torch.manual_seed(0)
        path = folder / "random.pth"
        torch.save(inception_network().state_dict(), path)
        weights["inception"] = str(path)
    names = [f"{metric}[{arguments.extractor}]" for metric in COMPARED]
    metrics = ("clip-score", *names, *(["geneval"] if scorer else []))
    bench = Bench(
        suite=suite,
        options=MeasureOptions(metrics=metrics, reference=str(reference), weights=weights),
        images_per_prompt=DRAWS,
        num_prompts=arguments.num_prompts,
        device=arguments.device,
        load_scorer=lambda: scorer,  # type: ignore[arg-type,return-value]  # asked for only where there is one
    )
    return named_instruments(bench, Silence())


# --- measuring -------------------------------------------------------------------------------------------------


def round_of(subject: Subject, folder: Path, kept: Path) -> dict[str, float]:
    """Seconds of everything, in turns.

    Args:
        subject: What is looked at.
        folder: For this round alone.
        kept: Where the features of the reference are, for second models.
    """
    runs = (folder / f"run-{number}" for number in count())
    seconds: dict[str, float] = {}
    for model in ("first", "second"):
        for what in THEIR_OPTIONS:
            known = kept if model == "second" else None
            seconds[f"torch-fidelity, {what}, {model} model"] = seconds_of(
                subject, partial(run_torch_fidelity, subject, what, known)
            )
            if what == "CMMD":
                continue  # among all of ours
            cache = known or folder / what
            seconds[f"ours, {what}, {model} model"] = seconds_of(
                subject, partial(run_ours, subject, next(runs), cache, fid_alone=what == "FID")
            )
    seconds["CLIP-score loop"] = seconds_of(subject, partial(run_clip_loop, subject))
    if subject.scorer is not None:
        seconds["GenEval, our stage"] = seconds_of(subject, partial(run_geneval, subject, next(runs)))
        seconds["GenEval, one image after the other"] = seconds_of(
            subject, partial(run_geneval_loop, subject)
        )
    seconds["of ours, FID: its replicates"] = replicates_seconds(subject, folder / "run-0")
    return seconds


def seconds_of(subject: Subject, work: Callable[[], object]) -> float:
    """By the clock, since torch-fidelity reads files in other processes; waits for a GPU at both ends."""
    is_gpu = subject.device.startswith("cuda")
    if is_gpu:
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if is_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def replicates_seconds(subject: Subject, folder: Path) -> float:
    """What FID's interval costs beyond FID."""
    run = open_run(folder)
    images, rows = features_at(run, subject.extractor, NO_STEPS)
    asked = subject.suite.prompts
    group_of = prompt_groups([prompt.prompt_id for prompt in asked], [prompt.task for prompt in asked])
    groups = np.array([group_of[image.key.prompt_id] for image in images])
    other = gaussian_of(rows)
    with_them = seconds_of(subject, lambda: frechet_replicated(rows, groups, other))
    return with_them - seconds_of(subject, lambda: frechet_distance(gaussian_of(rows), other))


def ratios_of(seconds: dict[str, float]) -> dict[str, float]:
    """Theirs over ours."""
    loop = seconds["CLIP-score loop"]
    found = {}
    for model in ("first", "second"):
        theirs = {what: seconds[f"torch-fidelity, {what}, {model} model"] for what in THEIR_OPTIONS}
        ours = seconds[f"ours, all, {model} model"]
        distances = theirs["all"] + theirs["CMMD"]
        geneval = seconds.get("GenEval, one image after the other", 0.0)
        found[f"all metrics, {model} model"] = (distances + loop + geneval) / ours
        our_stage = seconds.get("GenEval, our stage", 0.0)
        found[f"the same, GenEval by our stage, {model} model"] = (distances + loop + our_stage) / ours
        found[f"FID alone, {model} model"] = theirs["FID"] / seconds[f"ours, FID, {model} model"]
    return found


def main() -> None:
    """Measure in rounds and print seconds and ratios."""
    parser = argparse.ArgumentParser(description="All metrics in one pass beside one tool after another.")
    parser.add_argument("--num-prompts", type=int, default=138, help=f"with {DRAWS} images each")
    parser.add_argument("--size", type=int, default=SCENE_PX, help="side of the images in pixels")
    parser.add_argument("--extractor", choices=("openmoji-clip", "inception"), default="openmoji-clip")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        subject = subject_of(Path(scratch), arguments)
        kept = Path(scratch, "kept")
        rounds = [
            round_of(subject, Path(scratch, f"round-{number}"), kept)
            for number in range(arguments.rounds + 1)
        ][1:]  # the first one warms up, and fills what is kept
    console = Console()
    where = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else platform.machine()
    console.print(
        f"{subject.num_images} images of {arguments.size} px and as many in the reference, {subject.extractor.name} of width "
        f"{subject.extractor.width}, median of {len(rounds)} rounds; {where}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}"
    )
    parts = Table("part", "seconds")
    for part in rounds[0]:
        parts.add_row(part, f"{median(seconds[part] for seconds in rounds):.2f}")
    console.print(parts)
    ratios = Table("theirs / ours", "median", "lowest", "highest")
    found = [ratios_of(seconds) for seconds in rounds]
    for name in found[0]:
        values = sorted(one[name] for one in found)
        ratios.add_row(name, f"{median(values):.2f}", f"{values[0]:.2f}", f"{values[-1]:.2f}")
    console.print(ratios)


if __name__ == "__main__":
    main()
