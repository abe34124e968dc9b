"""Is a run whole and unchanged? Reads everything, writes nothing, lists every problem."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from selfe_eval.errors import SelfeEvalError
from selfe_eval.pipeline.generate import file_hash, metadata_line
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.pipeline.summarise import derived_file_names, summary_files
from selfe_eval.pipeline.validate_measures import measure_problems
from selfe_eval.records import ImageKey, Suite
from selfe_eval.report.summary import METRIC
from selfe_eval.runs import layout
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.run import Run
from selfe_eval.runs.scores import read_scores
from selfe_eval.runs.shards import read_with_shards
from selfe_eval.seeds import image_seed


def problems(run: Run, suite: Suite) -> list[str]:
    """Everything that keeps a run from being whole and unchanged, one line each; empty if it is.

    Compares the records with the plan, every image file with its hash, every score with its image and its
    objects, the summary and the reference's own files with those that the scores give, and the files of every other
    metric with the images and with each other.
    """
    try:
        return [*_unfinished(run), *_all_problems(run, suite)]
    except SelfeEvalError as error:
        return [str(error)]


def _all_problems(run: Run, suite: Suite) -> Iterator[str]:
    planned = planned_keys(run.record)
    images = read_with_shards(run.images_file, read_images)
    if run.record.status != "complete":
        yield f"{layout.RUN_FILE}: the status is {run.record.status}, not complete"
    yield from (f"{_name(key)}: planned, but has no record" for key in planned if key not in images)
    yield from (
        f"{_name(key)}: has a record, but was not planned" for key in sorted(set(images) - set(planned))
    )
    for image in images.values():
        yield from _image_problems(run, image)
    if run.spec.is_drawn:
        yield from _folder_problems(run, suite, images)
    if METRIC in run.record.measures.metrics:
        yield from _score_problems(run, planned, images)
        yield from _summary_problems(run, suite)
    yield from measure_problems(run, suite, images)


def _image_problems(run: Run, image: ImageRecord) -> Iterator[str]:
    found = file_hash(run.folder / image.path)
    if found is None:
        yield f"{image.path}: the file is missing or cannot be read"
    elif found != image.sha256:
        yield f"{image.path}: changed; expected SHA-256 {image.sha256}, found {found}"
    if run.spec.is_drawn:
        seed = image_seed(run.spec.seed, image.key.prompt_id, image.key.image_index)
        if image.seed != seed:
            yield f"{image.path}: recorded with seed {image.seed}, but the rule gives {seed}"
        if image.path != str(layout.image_path(image.key)):
            yield f"{image.path}: expected at {layout.image_path(image.key)}"


def _folder_problems(run: Run, suite: Suite, images: dict[ImageKey, ImageRecord]) -> Iterator[str]:
    """Files below ``images`` that no record speaks of, and metadata that is not the suite's."""
    prompts = {prompt.prompt_id: prompt for prompt in suite.prompts}
    expected = {image.path for image in images.values()}
    for steps in run.spec.steps:
        for prompt_id in run.record.prompt_ids:
            path = layout.prompt_folder(steps, prompt_id) / layout.METADATA_FILE
            expected.add(str(path))
            if _content(run.folder / path) != metadata_line(prompts[prompt_id]):
                yield f"{path}: is not the suite's line for this prompt"
    for file in sorted((run.folder / layout.IMAGES_FOLDER).rglob("*")):
        name = file.relative_to(run.folder).as_posix()
        if file.is_file() and name not in expected:
            yield f"{name}: no record speaks of this file"


def _score_problems(run: Run, planned: list[ImageKey], images: dict[ImageKey, ImageRecord]) -> Iterator[str]:
    scores = read_with_shards(layout.scores_path(run.folder, METRIC), read_scores)
    for key in planned:
        if key not in scores:
            yield f"{_name(key)}: has no score"
    for key, record in scores.items():
        if record.correct is None:
            yield f"{_name(key)}: {record.reason}"
        elif key not in images or record.image_sha256 != images[key].sha256:
            yield f"{_name(key)}: its score was given for another image"
    if len({record.scorer for record in scores.values()}) > 1:
        yield f"scores/{METRIC}.jsonl: different scorers gave these scores"


def _summary_problems(run: Run, suite: Suite) -> Iterator[str]:
    try:
        _, files = summary_files(run, suite)
    except SelfeEvalError as error:
        yield str(error)
        return
    for name in derived_file_names(run):
        content = _content(run.folder / name)
        if content is None and name in files:
            yield f"{name}: is missing"
        elif content != files.get(name):
            yield f"{name}: is not what the scores give"


def _unfinished(run: Run) -> Iterator[str]:
    """Journals as a crash leaves them."""
    for journal in (run.images_file, layout.scores_path(run.folder, METRIC)):
        shards = layout.shard_paths(journal)
        for shard in shards:
            yield (
                f"{shard.relative_to(run.folder)}: belongs into {journal.name} (another process is at work, or was "
                "killed; resuming puts them together)"
            )
        for path in (journal, *shards):
            content = _content(path)
            if content and not content.endswith(b"\n"):
                yield f"{path.relative_to(run.folder)}: the last line is torn (a crash; resuming repairs it)"


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _name(key: ImageKey) -> str:
    return f"image {key.image_index} of prompt {key.prompt_id} at {key.steps} steps"
