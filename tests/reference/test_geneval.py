"""The reference's own answers (see README.md beside this file for their origin)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfe_eval.records import Prompt, ScoredObject
from selfe_eval.score.geneval.crops import masked_crop
from selfe_eval.score.geneval.detection_lines import score_lines
from selfe_eval.score.geneval.files import ResultRow, read_results, result_line, summary_text
from selfe_eval.score.geneval.relation import relations
from selfe_eval.score.geneval.rules import GENEVAL_LIMITS, details, evaluate, keep_objects
from selfe_eval.suites.registry import load_suite, metadata_lines
from selfe_eval.suites.vocabulary import CLASSES

COMMITTED = Path(__file__).parent / "geneval"
COMPLETE = Path(__file__).parents[3] / "shared" / "geneval"

SUMMARY_INPUT_SHA256 = "7f1f818878d548307e7865a37db28936b6912a57a4a7b2a03601376d6aa6057e"
"""Of the reference's results file, from which summary_outcomes.txt was read off."""


complete_only = pytest.mark.skipif(
    not COMPLETE.is_dir(), reason="the complete golden files are not beside the repository"
)


def files(committed: str, complete: str) -> list[Path]:
    return [path for path in (COMMITTED / committed, COMPLETE / complete) if path.is_file()]


EVALUATE_IMAGE = files("evaluate_image.jsonl", "golden_evaluate_image.jsonl")
RELATIVE_POSITION = files("relative_position.json", "golden_relative_position.json")
CROPS = files("crops.json", "golden_crops.json")
PUBLISHED = {
    "evaluation_metadata.jsonl": metadata_lines(load_suite("geneval")),
    "object_names.txt": "".join(f"{name}\n" for name in CLASSES).encode(),
}
"""Files of the official prompt set, as our own code writes them."""

USED = {
    *(path.name for paths in (EVALUATE_IMAGE, RELATIVE_POSITION, CROPS) for path in paths),
    *PUBLISHED,
    "golden_summary_input.jsonl",
    "golden_summary.txt",
}


def raw_objects(case: dict[str, Any]) -> dict[str, list[ScoredObject]]:
    return {
        name: [ScoredObject(box=tuple(o["box"]), score=o["score"], color=o["color"]) for o in objects]
        for name, objects in case["detections"].items()
    }


@pytest.mark.parametrize("path", EVALUATE_IMAGE, ids=lambda path: path.name)
def test_every_verdict_reason_and_detail_is_the_references(path: Path) -> None:
    """Given the reference's detections, the rules give its verdict, reason and details, in its order."""
    cases = [json.loads(line) for line in path.read_text().splitlines()]

    for number, case in enumerate(cases, 1):
        prompt = Prompt.from_metadata(0, case["metadata"])
        kept = keep_objects(raw_objects(case), prompt.task)
        verdict = evaluate(prompt, kept)
        found = (verdict.correct, verdict.reason, json.dumps(details(kept)))
        assert found == (case["correct"], case["reason_canonical"], json.dumps(case["details"])), (
            f"line {number}"
        )
    assert len(cases) >= 300


@pytest.mark.parametrize("path", EVALUATE_IMAGE, ids=lambda path: path.name)
def test_the_verb_gives_the_same_answers_as_text(path: Path) -> None:
    """Reading the golden lines as a file of detections gives the golden verdicts as lines of JSON."""
    text = path.read_bytes()
    expected = [json.loads(line) for line in text.splitlines()]

    found = [
        json.loads(line) for line in score_lines(text.splitlines(keepends=True), path.name, GENEVAL_LIMITS)
    ]

    assert found == [
        {"correct": case["correct"], "reason": case["reason_canonical"], "details": case["details"]}
        for case in expected
    ]


@pytest.mark.parametrize("path", RELATIVE_POSITION, ids=lambda path: path.name)
def test_every_pair_of_boxes_has_the_references_relations(path: Path) -> None:
    """The relation rule agrees with the reference on every pair, edges included."""
    pairs = json.loads(path.read_text())

    wrong = [p for p in pairs if list(relations(tuple(p["a"]), tuple(p["b"]))) != p["relations"]]

    assert wrong == []
    assert len(pairs) >= 400


@pytest.mark.parametrize("path", CROPS, ids=lambda path: path.name)
def test_every_crop_is_the_references(path: Path) -> None:
    """The masked crop is the reference's, pixel for pixel."""
    for case in json.loads(path.read_text()):
        pixels = np.array(case["image"], dtype=np.uint8)
        crop = masked_crop(pixels, np.array(case["mask"], dtype=bool), tuple(case["box"]))
        np.testing.assert_array_equal(crop, np.array(case["crop"], dtype=np.uint8))


def rebuilt_rows() -> list[ResultRow]:
    """The rows of the reference's summary input: no detections, reasons that name the first requirement."""
    rows = []
    outcomes = (COMMITTED / "summary_outcomes.txt").read_text().splitlines()
    for prompt, outcome in zip(load_suite("geneval").prompts, outcomes, strict=True):
        first = prompt.include[0]
        for image_index, correct in enumerate(outcome):
            rows.append(
                ResultRow(
                    filename=f"/x/{prompt.prompt_id:05d}/samples/{image_index:04d}.png",
                    tag=prompt.task,
                    prompt=prompt.text,
                    correct=correct == "1",
                    reason="" if correct == "1" else f"expected {first.class_name}>={first.count}, found 0",
                    metadata=json.dumps(prompt.metadata()),
                    details="{}",
                )
            )
    return rows


def test_a_results_file_is_the_references_byte_for_byte() -> None:
    """2,212 rows written by us hash to the file that the reference's own writer made."""
    text = "".join(map(result_line, rebuilt_rows()))

    assert hashlib.sha256(text.encode()).hexdigest() == SUMMARY_INPUT_SHA256


def test_the_summary_is_the_references_character_for_character(tmp_path: Path) -> None:
    """Written, read back and summarised, the rows give the text that the reference prints, newline included."""
    path = tmp_path / "results.jsonl"
    path.write_text("".join(map(result_line, rebuilt_rows())))

    assert summary_text(read_results(path)).encode() == (COMMITTED / "summary.txt").read_bytes()


@complete_only
def test_every_file_is_used() -> None:
    """Golden files and published prompt files that no test here reads would prove nothing."""
    found = {path.name for path in COMPLETE.iterdir() if path.suffix != ".md"}

    assert found - USED == set()


@complete_only
def test_the_reference_s_results_are_read_written_and_summarised() -> None:
    """Its own results file comes back byte for byte, and gives its own summary."""
    path = COMPLETE / "golden_summary_input.jsonl"
    rows = read_results(path)

    assert "".join(map(result_line, rows)).encode() == path.read_bytes()
    assert summary_text(rows).encode() == (COMPLETE / "golden_summary.txt").read_bytes()


@complete_only
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_prompt_set_is_the_published_one(name: str) -> None:
    """What our code writes is the published file, byte for byte."""
    assert (COMPLETE / name).read_bytes() == PUBLISHED[name]


@complete_only
def test_what_is_committed_is_a_part_of_the_complete_files() -> None:
    """Nobody has touched the committed selection: each of its cases is one of the reference's."""
    for paths in (RELATIVE_POSITION, CROPS):
        committed, complete = (json.loads(path.read_text()) for path in paths)
        assert all(case in complete for case in committed)
    committed, complete = (path.read_text().splitlines() for path in EVALUATE_IMAGE)
    complete_cases = [json.loads(line) for line in complete]
    assert all(json.loads(line) in complete_cases for line in committed)


@pytest.mark.parametrize("name", ["geneval", "openmoji"])
def test_the_metadata_lines_are_the_official_file(name: str) -> None:
    """The prompts drawn here are the official evaluation_metadata.jsonl, by the SHA-256 of that file."""
    official = "5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13"

    assert hashlib.sha256(metadata_lines(load_suite(name))).hexdigest() == official


@dataclass(frozen=True, kw_only=True)
class Posted:
    """What somebody's run of the reference printed."""

    counts: tuple[tuple[int, int], ...]
    """(correct, images) of each task, in the order printed."""
    images_per_prompt: int
    overall: str
    images: str = ""
    """% correct images, where it was posted."""
    prompts: tuple[int, str] | None = None
    """Prompts with any correct image, and what that is in % correct prompts, where it was posted."""

    def rows(self) -> list[ResultRow]:
        """Rows with these counts, and with so many prompts that have a correct image."""
        return [
            self._row(task, index, num_any)
            for task, num_any in enumerate(self._prompts_with_any())
            for index in range(self.counts[task][1])
        ]

    def _prompts_with_any(self) -> list[int]:
        """As few as the counts allow, and then more from the first task on until they are as many as posted."""
        found = [-(-correct // self.images_per_prompt) for correct, _ in self.counts]
        missing = self.prompts[0] - sum(found) if self.prompts else 0
        for task, (correct, total) in enumerate(self.counts):
            more = min(missing, min(correct, -(-total // self.images_per_prompt)) - found[task])
            found[task], missing = found[task] + more, missing - more
        assert missing == 0
        return found

    def _row(self, task: int, index: int, num_any: int) -> ResultRow:
        """Of a task: one image of each prompt, then the others of the first prompt, of the second, and so on."""
        correct, total = self.counts[task]
        other = index - -(-total // self.images_per_prompt)
        is_first = other < 0
        return ResultRow(
            filename="",
            tag=f"task{task}",
            prompt="",
            correct=index < num_any if is_first else other < correct - num_any,
            reason="",
            metadata=f"{task} {index if is_first else other // (self.images_per_prompt - 1)}",
            details="{}",
        )


POSTED = {
    "FoundationVision/Infinity issue 16": Posted(
        counts=((199, 320), (305, 396), (318, 376), (239, 400), (107, 400), (318, 320)),
        images_per_prompt=4,
        overall="0.68276",
        images="67.18%",
        prompts=(445, "80.47%"),
    ),
    "Tongyi-MAI/Z-Image issue 142": Posted(
        counts=((314, 320), (349, 396), (245, 320), (328, 376), (158, 400), (226, 400)),
        images_per_prompt=4,
        overall="0.74342",
        images="73.24%",
        prompts=(500, "90.42%"),
    ),
    "djghosh13/geneval issue 18": Posted(
        counts=((66, 80), (38, 99), (36, 80), (57, 94), (22, 100), (13, 100)),
        images_per_prompt=1,
        overall="0.43587",
    ),
    "djghosh13/geneval issue 21": Posted(
        counts=((4, 94), (10, 80), (0, 100), (1, 99), (1, 80), (0, 100)),
        images_per_prompt=1,
        overall="0.03169",
        images="2.89%",
        prompts=(16, "2.89%"),
    ),
    # gen_evaluation/full_evaluation_report.md, which prints the overall score with four digits; 552 prompts
    "FlyMyAI/bench_M1 at 6b9ab74": Posted(
        counts=((202, 400), (231, 400), (225, 320), (320, 372), (384, 394), (318, 320)),
        images_per_prompt=4,
        overall="0.7690",
        images="76.16%",
    ),
}


@pytest.mark.parametrize("source", POSTED)
def test_aggregates_that_people_posted_come_out(source: str) -> None:
    """The summary arithmetic reproduces totals that users of the reference have posted with their counts."""
    posted = POSTED[source]
    text = summary_text(posted.rows())

    assert f"Overall score (avg. over tasks): {posted.overall}" in text
    assert f"% correct images: {posted.images}" in text
    if posted.prompts:
        assert f"% correct prompts: {posted.prompts[1]}\n" in text
    for task, (correct, total) in enumerate(posted.counts):
        assert f"task{task}            = {correct / total:.2%} ({correct} / {total})\n" in text
