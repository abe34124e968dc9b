"""Numbers and files from scores, where the scores come from objects under the real rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.opening import existing_run, planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.summarise import summarise
from selfe_eval.pipeline.validate import problems
from selfe_eval.records import COLORS, TASKS, Prompt, ScoredObject
from selfe_eval.report.summary import Summary, summary_bytes
from selfe_eval.runs.journal import read_journal
from selfe_eval.runs.run import open_run
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.geneval.files import read_results
from selfe_eval.score.geneval.float32 import to_float32
from selfe_eval.score.geneval.rules import Limits, evaluate, keep_objects, objects_needing_color
from selfe_eval.suites.registry import load_suite
from tests.fakes import FakeGenerator, FakeJudgement, run_stages, small_record

SUITE = load_suite("geneval")
RECORD = small_record(SUITE, limit=60)
SCORES = "scores/geneval.jsonl"


@dataclass(kw_only=True)
class RuleScorer:
    """Reads objects off the pixels: of each class asked for one more than asked, red the score, green the colour."""

    confidence: float = 0.3
    counting: float = 0.6
    batch_size: int = 64

    def score(self, images: RgbImages, prompts: Sequence[Prompt]) -> list[FakeJudgement]:
        return [
            self._judge(pixels.reshape(-1, 3).tolist(), prompt)
            for pixels, prompt in zip(images.pixels, prompts, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        thresholds = {"confidence": self.confidence, "counting": self.counting, "max_objects": 16}
        return {"detector": "rules", "thresholds": thresholds}

    def _judge(self, pixels: list[list[int]], prompt: Prompt) -> FakeJudgement:
        values = iter(pixels)
        raw: dict[str, list[ScoredObject]] = {}
        for wanted in prompt.include:
            for _ in range(wanted.count + 1):
                red, green, blue = next(values)
                thing = ScoredObject(
                    box=(float(blue), 0.0, blue + 50.0, 50.0),
                    score=to_float32(0.1 + red / 300),
                    color=(wanted.color or COLORS[0]) if green % 2 else COLORS[green % len(COLORS)],
                )
                raw.setdefault(wanted.class_name, []).append(thing)
        limits = Limits(confidence=self.confidence, counting=self.counting)
        floor = Limits(confidence=self.confidence - 0.1, counting=self.counting - 0.1)
        objects, seen = keep_objects(raw, prompt.task, limits), keep_objects(raw, prompt.task, floor)
        verdict = evaluate(prompt, objects, limits)
        return FakeJudgement(
            correct=verdict.correct,
            reason=verdict.reason,
            objects=objects,
            weaker={name: found[len(objects.get(name, ())) :] for name, found in seen.items()},
            near_ties=len(objects_needing_color(prompt, objects)) if pixels[0][2] % 3 == 0 else 0,
        )


def run_all(folder: Path, scorer: RuleScorer | None = None) -> Summary:
    with planned_run(folder, RECORD) as run:
        return run_stages(run, SUITE, FakeGenerator, scorer or RuleScorer(), Silence())


def again(folder: Path) -> Summary:
    with existing_run(folder) as run:
        return summarise(run, SUITE)[1]


def edit_scores(folder: Path, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    lines = [{**line, **change(line)} for line in read_journal(folder / SCORES)]
    (folder / SCORES).write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_score_at_another_threshold_is_that_of_a_judge_who_has_it(tmp_path: Path) -> None:
    """Each point of both curves is the score that the same images get when they are judged at that threshold."""
    summary = run_all(tmp_path)
    for index, row in enumerate(summary.rows):
        assert row.sensitivity is not None
        assert [s.threshold for s in row.sensitivity.confidence] == [0.2, 0.25, 0.3, 0.35, 0.4]
        assert [s.threshold for s in row.sensitivity.counting] == [0.5, 0.55, 0.6, 0.65]
        judges = [(score, RuleScorer(confidence=score.threshold)) for score in row.sensitivity.confidence]
        judges += [(score, RuleScorer(counting=score.threshold)) for score in row.sensitivity.counting]
        for score, judge in judges:
            other = run_all(tmp_path, judge).rows[index]
            assert score.overall == pytest.approx(other.overall.value)
            assert score.tasks == pytest.approx({name: task.value for name, task in other.tasks.items()})
        assert len({score.overall for score, _ in judges}) > 2


def test_near_ties_are_those_of_images_with_colors(tmp_path: Path) -> None:
    """Images are counted, not colours, out of those whose verdict asked for a colour."""
    row = run_all(tmp_path).rows[0]
    lines = [line for line in read_journal(tmp_path / SCORES) if line["steps"] == row.steps]

    assert row.near_ties.images == sum(line["near_ties"] > 0 for line in lines)
    assert 0 < row.near_ties.images < row.near_ties.of < len(lines)


EDITS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "verdict": lambda line: {"correct": not line["correct"]},
    "reason": lambda line: {"reason": line["reason"] + "expected nothing"},
    "objects": lambda _: {"objects": {}, "correct": True, "reason": ""},
    "colors": lambda line: {
        kind: {name: [{**o, "color": None} for o in found] for name, found in line[kind].items()}
        for kind in ("objects", "weaker")
    },
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_record_that_contradicts_itself_is_refused(tmp_path: Path, edit: str) -> None:
    """A verdict, reason or colour that the recorded objects do not give is no score, and validate says so."""
    run_all(tmp_path)
    edit_scores(tmp_path, EDITS[edit])

    with pytest.raises(UntrustworthyError, match=r"contradicts itself.*selfe-eval resume"):
        again(tmp_path)
    assert any("contradicts itself" in problem for problem in problems(open_run(tmp_path), SUITE))


def test_other_thresholds_than_the_judges_are_refused(tmp_path: Path) -> None:
    """Thresholds edited into the scorer's description do not give the recorded verdicts."""
    run_all(tmp_path)
    path = tmp_path / "scores" / "geneval.scorer.json"
    path.write_text(path.read_text().replace("0.3", "0.5"))

    with pytest.raises(UntrustworthyError, match=r"contradicts itself.*at the threshold 0\.5"):
        again(tmp_path)


@pytest.mark.parametrize("stated", ['{"confidence": 0.3}', "[0.3, 0.9]", '"0.3"', "NaN"])
def test_garbled_thresholds_are_refused(tmp_path: Path, stated: str) -> None:
    """Thresholds that cannot be read are named with their file, never guessed."""
    run_all(tmp_path)
    path = tmp_path / "scores" / "geneval.scorer.json"
    path.write_text(f'{{"thresholds": {stated}}}')

    with pytest.raises(UntrustworthyError, match=r"geneval\.scorer\.json"):
        again(tmp_path)


@pytest.mark.parametrize(
    "garbage",
    [[], {"car": [{"box": [0, 0, 1, 1]}]}, {"car": [{"box": [0], "score": 1, "color": None}]}, {"car": 3}],
)
def test_garbled_objects_are_refused(tmp_path: Path, garbage: object) -> None:
    """Objects that cannot be read are named with their image and file."""
    run_all(tmp_path)
    edit_scores(tmp_path, lambda _: {"objects": garbage})

    with pytest.raises(UntrustworthyError, match=r"images/steps-001/00000/samples/0000\.png are garbled"):
        again(tmp_path)


def test_not_a_number_is_no_object(tmp_path: Path) -> None:
    """An infinite confidence is damage; it would otherwise get into the reference's files."""
    run_all(tmp_path)
    nowhere = {"car": [{"box": [0, 0, 1, 1], "score": 12345.5, "color": None}]}
    edit_scores(tmp_path, lambda _: {"weaker": nowhere})
    path = tmp_path / "scores" / "geneval.jsonl"
    path.write_text(path.read_text().replace("12345.5", "1e999"))  # which JSON reads as infinity

    with pytest.raises(UntrustworthyError, match="has a number that is none"):
        again(tmp_path)


def test_the_references_files_are_written(tmp_path: Path) -> None:
    """One row an image in the order of the plan, with what the record says; tasks in official order."""
    summary = run_all(tmp_path)
    for measured in summary.rows:
        folder = tmp_path / "reference" / f"steps-{measured.steps:03d}"
        rows = read_results(folder / "results.jsonl")
        records = {
            (line["prompt_id"], line["image_index"]): line
            for line in read_journal(tmp_path / SCORES)
            if line["steps"] == measured.steps
        }
        for row, (prompt_id, index) in zip(rows, sorted(records), strict=True):
            prompt, record = SUITE.prompts[prompt_id], records[prompt_id, index]
            assert (tmp_path / row.filename).is_file()
            assert row.filename.endswith(f"/{prompt_id:05d}/samples/{index:04d}.png")
            assert (row.tag, row.prompt, json.loads(row.metadata)) == (
                prompt.task,
                prompt.text,
                prompt.metadata(),
            )
            assert (row.correct, row.reason) == (record["correct"], record["reason"])
            assert json.loads(row.details) == {
                name: [[*thing["box"], thing["score"]] for thing in found]
                for name, found in record["objects"].items()
            }
        text = (folder / "summary.partial.txt").read_text()  # 60 of 553 prompts
        assert [line.split(" ")[0] for line in text.splitlines() if " = " in line] == list(TASKS)
        assert text.endswith(f"Overall score (avg. over tasks): {measured.overall.value:.5f}\n")
        shares = {name: f"{share.value:.2%}" for name, share in measured.per_prompt.items()}
        assert f"% correct images: {shares['mean']}\n% correct prompts: {shares['any']}\n" in text


def test_an_unscored_image_is_left_out_of_the_references_files(tmp_path: Path) -> None:
    """The reference knows no unscored images: its file has one row fewer, our summary counts the one missing."""
    run_all(tmp_path)
    edit_scores(
        tmp_path,
        lambda line: {"correct": None} if (line["steps"], line["prompt_id"]) == (4, 0) else {},
    )
    summary = again(tmp_path)
    rows = read_results(tmp_path / "reference" / "steps-004" / "results.jsonl")

    assert len(rows) == 60 * 2 - 2
    assert [row.overall.n_unscored for row in summary.rows] == [0, 2]
    folder = tmp_path / "reference" / "steps-004"
    assert "Total images: 118\nTotal prompts: 59\n" in (folder / "summary.partial.txt").read_text()
    assert not (folder / "summary.txt").exists()


def test_where_nothing_is_scored_there_is_no_reference_file(tmp_path: Path) -> None:
    """A step count without scores has no files, and older ones go; nothing becomes a zero or not a number."""
    run_all(tmp_path)
    edit_scores(tmp_path, lambda line: {"correct": None} if line["steps"] == 1 else {})
    summary = again(tmp_path)
    first = summary.rows[0]

    assert [path.name for path in (tmp_path / "reference" / "steps-001").iterdir()] == []
    assert sorted(path.name for path in (tmp_path / "reference" / "steps-004").iterdir()) == [
        "results.jsonl",
        "summary.partial.txt",
    ]
    assert (first.overall.value, first.sensitivity, first.near_ties.of) == (None, None, 0)
    assert {share.value for share in first.per_prompt.values()} == {None}
    assert b"NaN" not in summary_bytes(summary)
