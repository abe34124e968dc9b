"""Where things lie in a run folder. The only place that spells these names.

run.json                                  what was asked, by whom, with what; written first
prompts.jsonl                             the metadata lines, where the prompts are rewritten ones
images.jsonl                              one record an image
images.rank-001.jsonl                     what another process of the job has added to it; absorbed at the end
images/steps-004/00017/metadata.jsonl     the official GenEval layout, once per step count
images/steps-004/00017/samples/0002.png
scores/geneval.jsonl                      one record a scored image; with shards as above
scores/geneval.scorer.json                the scorer that gave them
scores/clip-score.jsonl                   one number an image, with the .scorer.json of its protocol
scores/fid.json                           one number a step count, with its replicates
features/inception-0a1b2c3d/extractor.json               what made the features
features/inception-0a1b2c3d/steps-004-00012.safetensors  those of one batch
summary.json                              every number of GenEval with its interval
metrics.json                              the same for the other metrics
reference/steps-004/results.jsonl         the files that GenEval's own scripts write, for tools made for them
reference/steps-004/summary.txt
failures-steps-004.png                    a contact sheet of failed images, where one was asked for
.lock                                     held while a process works on the run
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from selfe_eval.records import ImageKey

RUN_FILE = "run.json"
PROMPTS_FILE = "prompts.jsonl"
IMAGES_FILE = "images.jsonl"
IMAGES_FOLDER = "images"
SCORES_FOLDER = "scores"
SAMPLES_FOLDER = "samples"
METADATA_FILE = "metadata.jsonl"
SUMMARY_FILE = "summary.json"
METRICS_FILE = "metrics.json"
FEATURES_FOLDER = "features"
EXTRACTOR_FILE = "extractor.json"
REFERENCE_FOLDER = "reference"
RESULTS_FILE = "results.jsonl"
SUMMARY_TEXT_FILE = "summary.txt"
PARTIAL_SUMMARY_TEXT_FILE = "summary.partial.txt"
LOCK_FILE = ".lock"
PROBE_FILE = ".probe"


def steps_folder(steps: int) -> str:
    """Folder name of one step count below ``images``.

    >>> steps_folder(4)
    'steps-004'
    """
    return f"steps-{steps:03d}"


def prompt_folder(steps: int, prompt_id: int) -> PurePosixPath:
    """Folder of one prompt, relative to the run folder.

    >>> str(prompt_folder(4, 17))
    'images/steps-004/00017'
    """
    return PurePosixPath(IMAGES_FOLDER, steps_folder(steps), f"{prompt_id:05d}")


def image_path(key: ImageKey) -> PurePosixPath:
    """Path of one image, relative to the run folder.

    >>> str(image_path(ImageKey(steps=4, prompt_id=17, image_index=2)))
    'images/steps-004/00017/samples/0002.png'
    """
    return prompt_folder(key.steps, key.prompt_id) / SAMPLES_FOLDER / f"{key.image_index:04d}.png"


def reference_folder(steps: int) -> PurePosixPath:
    """Folder of the reference's own files for one step count, relative to the run folder.

    >>> str(reference_folder(4))
    'reference/steps-004'
    """
    return PurePosixPath(REFERENCE_FOLDER, steps_folder(steps))


def failures_file(steps: int, task: str | None = None) -> str:
    """Name of the contact sheet of one step count, or of one task of it.

    >>> failures_file(4), failures_file(4, "counting")
    ('failures-steps-004.png', 'failures-steps-004-counting.png')
    """
    return f"failures-{steps_folder(steps)}{f'-{task}' if task else ''}.png"


def shard_path(journal: Path, rank: int) -> Path:
    """What one process of a job adds to a journal; the first one writes into the journal itself.

    >>> shard_path(Path("images.jsonl"), 1).name
    'images.rank-001.jsonl'
    """
    return journal if rank == 0 else journal.with_suffix(f".rank-{rank:03d}{journal.suffix}")


def shard_paths(journal: Path) -> list[Path]:
    """The shards that lie beside a journal, by rank."""
    return sorted(journal.parent.glob(f"{journal.stem}.rank-*{journal.suffix}"))


def scores_path(folder: Path, metric: str) -> Path:
    """The journal of one metric's scores."""
    return folder / SCORES_FOLDER / f"{metric}.jsonl"


def former_scores_path(journal: Path, scorer: str) -> Path:
    """Where the scores of another scorer are kept when a run is judged anew.

    >>> former_scores_path(Path("scores/geneval.jsonl"), "0123456789abcdef").name
    'geneval.former-0123456789abcdef.jsonl'
    """
    letters = "".join(filter(str.isalnum, scorer))
    return journal.with_name(f"{journal.stem}.former-{letters}{journal.suffix}")


def scorer_path(folder: Path, metric: str) -> Path:
    """The description of the scorer that gave them."""
    return folder / SCORES_FOLDER / f"{metric}.scorer.json"


def distances_path(folder: Path, metric: str) -> Path:
    """The document of one metric that gives a set of images one number."""
    return folder / SCORES_FOLDER / f"{metric}.json"


def features_folder(folder: Path, extractor: str, identity: str) -> Path:
    """Where the features of one extractor lie; another one's, or the same one's of other weights, lie elsewhere.

    >>> features_folder(Path("run"), "inception", "0123456789abcdef").as_posix()
    'run/features/inception-01234567'
    """
    return folder / FEATURES_FOLDER / f"{extractor}-{identity[:8]}"


def features_path(folder: Path, steps: int, number: int) -> Path:
    """The features of one planned batch, below the folder of their extractor.

    >>> features_path(Path("f"), 4, 12).as_posix()
    'f/steps-004-00012.safetensors'
    """
    return folder / f"{steps_folder(steps)}-{number:05d}.safetensors"
