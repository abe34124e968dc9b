"""Strict reading of detections, and the verbs that use it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from selfe_eval.cli.score_detections import score_detections
from selfe_eval.cli.suites import suites
from selfe_eval.errors import UsageError
from selfe_eval.score.geneval.detection_lines import parse_line, score_lines
from selfe_eval.score.geneval.rules import GENEVAL_LIMITS
from selfe_eval.suites.registry import load_suite, metadata_lines

RUNNER = CliRunner()
APP = typer.Typer()
APP.command("score-detections")(score_detections)
APP.command("suites")(suites)

METADATA = {"tag": "colors", "include": [{"class": "dog", "count": 1, "color": "red"}], "prompt": "a red dog"}
BOX = [0, 0, 9, 9]
GOOD = {"metadata": METADATA, "detections": {"dog": [{"box": BOX, "score": 0.95, "color": "red"}]}}
GOOD_RESULT = {"correct": True, "reason": "", "details": {"dog": [[0.0, 0.0, 9.0, 9.0, 0.949999988079071]]}}


def line(document: Any) -> bytes:
    return json.dumps(document).encode() + b"\n"


def with_object(**changes: Any) -> dict[str, Any]:
    return {
        "metadata": METADATA,
        "detections": {"dog": [{"box": BOX, "score": 0.95, "color": "red", **changes}]},
    }


def with_requirement(**changes: Any) -> dict[str, Any]:
    return {"metadata": {**METADATA, "include": [{"class": "dog", "count": 1, **changes}]}, "detections": {}}


def test_a_good_line_gives_verdict_reason_and_details() -> None:
    """Scores are rounded to float32 first, and printed as that number."""
    assert [json.loads(text) for text in score_lines([line(GOOD)], "x", GENEVAL_LIMITS)] == [GOOD_RESULT]


def test_a_score_written_in_short_is_compared_in_single_precision() -> None:
    """0.3 in the file is float32(0.3), which is not more than the threshold."""
    document = with_object(score=0.3)

    (text,) = score_lines([line(document)], "x", GENEVAL_LIMITS)

    assert json.loads(text) == {"correct": False, "reason": "expected dog>=1, found 0", "details": {}}


def test_blank_lines_are_skipped_but_counted() -> None:
    """A blank line gives no result, and later lines keep their number."""
    lines = [b"\n", line(GOOD), b"  \n", b"oops\n"]
    results = score_lines(lines, "x.jsonl", GENEVAL_LIMITS)

    assert json.loads(next(results)) == GOOD_RESULT
    with pytest.raises(UsageError, match=r"x\.jsonl, line 4: Expected a JSON object, found 'oops"):
        next(results)


def test_the_text_and_undecided_colors_may_be_missing() -> None:
    """The rules use neither the sentence nor colours that nobody asked for."""
    metadata = {"tag": "single_object", "include": [{"class": "dog", "count": 1}]}
    document = {"metadata": metadata, "detections": {"dog": [{"box": BOX, "score": 0.5}], "cat": []}}

    prompt, raw = parse_line(line(document))

    assert prompt.text == ""
    assert raw["dog"][0].color is None


BROKEN: list[tuple[Any, str]] = [
    ([1], 'a JSON object with "metadata" and "detections"'),
    ({"metadata": METADATA}, 'a JSON object with "metadata" and "detections"'),
    ({"metadata": {"tag": "colors"}, "detections": {}}, '"metadata" as in GenEval'),
    (
        {"metadata": {**METADATA, "tag": "color"}, "detections": {}},
        "Unknown task 'color'. Did you mean 'colors'?",
    ),
    ({"metadata": {**METADATA, "tag": []}, "detections": {}}, "Unknown task '[]'"),
    ({"metadata": {**METADATA, "prompt": 3}, "detections": {}}, '"prompt" to be text'),
    ({"metadata": {**METADATA, "exclude": 3}, "detections": {}}, '"exclude" a list'),
    ({"metadata": {**METADATA, "exclude": [3]}, "detections": {}}, 'a requirement with a "class"'),
    ({"metadata": METADATA, "detections": []}, '"detections" to map a class name'),
    ({"metadata": METADATA, "detections": {"mouse": []}}, "Unknown class 'mouse'"),
    ({"metadata": METADATA, "detections": {"dog": {}}}, "a list of objects for 'dog'"),
    ({"metadata": METADATA, "detections": {"dog": [3]}}, "an object"),
    (with_requirement(count=0), '"count" of at least 1'),
    (with_requirement(count=True), '"count" of at least 1'),
    (with_requirement(color="gray"), "Unknown color 'gray'"),
    (with_requirement(**{"class": None}), "Unknown class 'None'"),
    (with_requirement(position=["left of", 0]), "index of an earlier requirement"),
    (with_requirement(position="left of"), "index of an earlier requirement"),
    (with_object(score=95), "\"score\" of a 'dog' to be a number from 0 to 1"),
    (with_object(score="0.9"), "\"score\" of a 'dog' to be a number from 0 to 1"),
    (with_object(score=True), "\"score\" of a 'dog' to be a number from 0 to 1"),
    (with_object(score=float("nan")), "\"score\" of a 'dog' to be a number from 0 to 1"),
    (with_object(box=[50, 50, 10, 10]), "x0 <= x1 and y0 <= y1"),
    (with_object(box=[0, 0, 9]), "x0 <= x1 and y0 <= y1"),
    (with_object(box=None), "x0 <= x1 and y0 <= y1"),
    (with_object(box=[0, 0, 9, "9"]), "x0 <= x1 and y0 <= y1"),
    (with_object(box=[0, 0, 9, 1e300]), "x0 <= x1 and y0 <= y1"),
    (with_object(box=[0, 0, 9, float("inf")]), "x0 <= x1 and y0 <= y1"),
    (with_object(color="gray"), "Unknown color 'gray'"),
    (with_object(color=3), "Unknown color '3'"),
    (with_object(color=None), 'a "color" wherever the verdict depends on it: every dog among the first 1'),
]


@pytest.mark.parametrize(("document", "expected"), BROKEN)
def test_every_mistake_is_an_error_that_says_what_was_expected(document: Any, expected: str) -> None:
    """Mistakes that would give a plausible wrong number end the reading with line and expectation."""
    with pytest.raises(UsageError, match=rf"^in\.jsonl, line 1: .*{re.escape(expected)}"):
        list(score_lines([line(document)], "in.jsonl", GENEVAL_LIMITS))


@pytest.mark.parametrize("text", [b"{\n", b"\xff\xfe\xff\n", b"[" * 100_000 + b"\n"])
def test_text_that_is_not_json_is_named(text: bytes) -> None:
    """Torn JSON, wrong encodings and absurd nesting are the same one-paragraph error."""
    with pytest.raises(UsageError, match="line 1: Expected a JSON object, found"):
        list(score_lines([text], "in.jsonl", GENEVAL_LIMITS))


def test_the_verb_reads_a_file_or_standard_input(tmp_path: Path) -> None:
    """FILE and - give the same lines on standard output."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(line(GOOD) * 2)

    from_file = RUNNER.invoke(APP, ["score-detections", str(path)])
    from_stdin = RUNNER.invoke(APP, ["score-detections", "-"], input=path.read_bytes())

    assert from_file.exit_code == from_stdin.exit_code == 0
    assert from_file.stdout == from_stdin.stdout == (json.dumps(GOOD_RESULT) + "\n") * 2


def test_lines_before_a_bad_one_are_printed_and_none_after_it(tmp_path: Path) -> None:
    """A bad second line leaves one result, and the error names file and line."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(line(GOOD) + b"{}\n" + line(GOOD))

    result = RUNNER.invoke(APP, ["score-detections", str(path)])

    assert result.stdout == json.dumps(GOOD_RESULT) + "\n"
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith(f"{path}, line 2: Expected a JSON object with")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file or a folder is an error with its path and the remedy."""
    for path in (tmp_path / "nowhere.jsonl", tmp_path):
        result = RUNNER.invoke(APP, ["score-detections", str(path)])

        assert isinstance(result.exception, UsageError)
        assert re.search("cannot be read: .* or - for standard input", str(result.exception))


TWO_ASKED = {**METADATA, "include": [{"class": "dog", "count": 2}]}
TWINS = {"metadata": TWO_ASKED, "detections": {"dog": [{"box": BOX, "score": 0.95}] * 2}}
BESIDE = {
    "metadata": {
        "tag": "position",
        "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1, "position": ["right of", 0]}],
    },
    "detections": {
        "cat": [{"box": BOX, "score": 0.95}],
        "dog": [{"box": [9, 0, 18, 9], "score": 0.95}],
    },
}


@pytest.mark.parametrize(
    ("options", "document"),
    [
        (["--threshold", "0.96"], GOOD),
        (["--counting-threshold", "0.96"], {**GOOD, "metadata": {**METADATA, "tag": "counting"}}),
        (["--max-objects", "1"], TWINS),
        (["--max-overlap", "0.5"], TWINS),
        (["--position-threshold", "0.5"], BESIDE),
    ],
)
def test_every_limit_is_an_option(options: list[str], document: dict[str, Any]) -> None:
    """What passes at the default fails at the stricter limit."""
    default = RUNNER.invoke(APP, ["score-detections", "-"], input=line(document))
    stricter = RUNNER.invoke(APP, ["score-detections", "-", *options], input=line(document))

    assert json.loads(default.stdout)["correct"]
    assert not json.loads(stricter.stdout)["correct"]


def test_limits_outside_their_range_are_refused() -> None:
    """A threshold in percent is a usage error before anything is read."""
    assert RUNNER.invoke(APP, ["score-detections", "-", "--threshold", "30"], input=b"").exit_code == 2


def test_export_writes_the_metadata_lines() -> None:
    """The exported bytes are the suite's metadata lines and nothing else."""
    result = RUNNER.invoke(APP, ["suites", "--export", "geneval"])

    assert result.exit_code == 0
    assert result.stdout_bytes == metadata_lines(load_suite("geneval"))


def test_suites_are_listed_as_a_table_or_as_json() -> None:
    """Both show each suite with its numbers; the JSON has the whole hash."""
    table = RUNNER.invoke(APP, ["suites"]).stdout
    document = json.loads(RUNNER.invoke(APP, ["suites", "--json"]).stdout)

    assert "geneval" in table
    assert "553" in table
    assert [suite["name"] for suite in document["suites"]] == ["geneval", "openmoji"]
    assert document["suites"][0]["sha256"] == load_suite("geneval").sha256
    assert document["suites"][0]["tasks"]["position"] == 100


def test_neither_verb_imports_torch() -> None:
    """Both verbs run in a process that never loads torch."""
    code = (
        "import sys; from selfe_eval.cli.score_detections import score_detections; "
        "from selfe_eval.cli.suites import suites; suites(as_json=True); "
        "score_detections('-', 0.3, 0.9, 16, 1.0, 0.1); assert 'torch' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], input=line(GOOD), check=True, capture_output=True)
