"""The reference's files: one line, the summary, and what happens to broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfe_eval.errors import UsageError
from selfe_eval.records import Prompt, Requirement, ScoredObject
from selfe_eval.score.geneval.files import read_results, result_line, result_row, summary_text
from selfe_eval.score.geneval.rules import Verdict

DOG = Prompt(
    prompt_id=0,
    task="single_object",
    text="a photo of a dog",
    include=(Requirement(class_name="dog", count=1),),
)
SEEN = {"dog": [ScoredObject(box=(1, 2, 3, 4), score=0.9231088161468506)]}
"""The score is a float32 in the digits that the reference prints."""


def test_a_line_is_pandas_json() -> None:
    r"""Keys in the reference's order, no spaces, "/" as "\/", non-ASCII escaped, inner JSON as text."""
    row = result_row("bilder/größe/0.png", DOG, Verdict(correct=True, reason=""), SEEN)

    metadata = r"{\"tag\": \"single_object\", \"include\": [{\"class\": \"dog\", \"count\": 1}], "
    metadata += r"\"prompt\": \"a photo of a dog\"}"
    assert result_line(row) == (
        r'{"filename":"bilder\/gr\u00f6\u00dfe\/0.png","tag":"single_object","prompt":"a photo of a dog",'
        r'"correct":true,"reason":"","metadata":"' + metadata + r'",'
        r'"details":"{\"dog\": [[1.0, 2.0, 3.0, 4.0, 0.9231088161468506]]}"}' + "\n"
    )


def test_rows_survive_writing_and_reading(tmp_path: Path) -> None:
    """What was written is read back equal, reasons of several lines included, blank lines skipped."""
    rows = [
        result_row("a/0.png", DOG, Verdict(correct=False, reason="expected dog>=1, found 0\nand more"), {}),
        result_row("a/1.png", DOG, Verdict(correct=True, reason=""), SEEN),
    ]
    path = tmp_path / "results.jsonl"
    path.write_text("\n".join(map(result_line, rows)))

    assert read_results(path) == rows


@pytest.mark.parametrize(
    "line",
    [
        '{"filename":"a","tag":"single_obj',
        "[1, 2]",
        '{"filename":"a","tag":"t"}',
        '{"filename":"a","tag":"t","prompt":"p","correct":1,"reason":"","metadata":"{}","details":"{}"}',
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    """Torn, foreign or incomplete lines and numbers for truth values are errors that name the line."""
    path = tmp_path / "results.jsonl"
    path.write_text(result_line(result_row("a", DOG, Verdict(correct=True, reason=""), {})) + line)

    with pytest.raises(
        UsageError, match=r"results\.jsonl, line 2: expected a JSON object with the texts filename"
    ):
        read_results(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The error names the path that cannot be read."""
    with pytest.raises(
        UsageError, match=r"results\.jsonl of GenEval at .*nowhere\.jsonl, which cannot be read"
    ):
        read_results(tmp_path / "nowhere.jsonl")


def test_the_summary_counts_a_prompt_as_correct_if_any_image_is() -> None:
    """The reference's definitions: images by mean, prompts by any, overall as the mean over tasks seen."""
    cat = Prompt(
        prompt_id=1,
        task="colors",
        text="a red cat",
        include=(Requirement(class_name="cat", count=1, color="red"),),
    )
    right, wrong = Verdict(correct=True, reason=""), Verdict(correct=False, reason="no")
    rows = [result_row("", cat, verdict, {}) for verdict in (wrong, right, wrong, wrong)]
    rows += [result_row("", DOG, verdict, {}) for verdict in (right, right)]

    assert summary_text(rows).splitlines() == [
        "Summary",
        "=======",
        "Total images: 6",
        "Total prompts: 2",
        "% correct images: 50.00%",
        "% correct prompts: 100.00%",
        "",
        "Task breakdown",
        "==============",
        "colors           = 25.00% (1 / 4)",
        "single_object    = 100.00% (2 / 2)",
        "",
        "Overall score (avg. over tasks): 0.62500",
    ]


def test_nothing_cannot_be_summarised() -> None:
    """No rows are an error and not a score of zero."""
    with pytest.raises(UsageError, match="at least one scored image"):
        summary_text([])
