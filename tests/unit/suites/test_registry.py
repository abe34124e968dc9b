"""The table of suites, and what benchmarks/geneval says about it."""

from __future__ import annotations

from collections import Counter

import pytest

from selfe_eval import resources
from selfe_eval.errors import UsageError
from selfe_eval.resources import benchmarks_dir, checkpoints_dir, published_dir
from selfe_eval.suites import geneval_prompts
from selfe_eval.suites.heldout import is_unseen
from selfe_eval.suites.registry import load_suite, metadata_lines, suite_names


def test_both_suites_ask_the_same_prompts_and_only_openmoji_has_unseen_ones() -> None:
    """The suites share prompts and hash; unseen prompts exist only where we know the training data."""
    geneval, openmoji = map(load_suite, suite_names())

    assert (geneval.name, openmoji.name) == ("geneval", "openmoji")
    assert geneval.prompts == openmoji.prompts
    assert geneval.sha256 == openmoji.sha256 == geneval_prompts.METADATA_SHA256
    assert geneval.unseen == frozenset()
    assert openmoji.unseen == {prompt.prompt_id for prompt in openmoji.prompts if is_unseen(prompt)}


def test_a_suite_is_drawn_once() -> None:
    """Asking again gives the same object."""
    assert load_suite("geneval") is load_suite("geneval")


def test_an_unknown_suite_is_named_with_what_was_probably_meant() -> None:
    """A slip in the name ends in the list of suites and a proposal."""
    with pytest.raises(UsageError, match=r"Unknown suite 'genevl'\. Did you mean 'geneval'"):
        load_suite("genevl")


def test_the_metadata_lines_are_one_line_a_prompt() -> None:
    """Every prompt has its line, and the last one ends in a newline."""
    lines = metadata_lines(load_suite("geneval"))

    assert lines.count(b"\n") == 553
    assert lines.endswith(b"}\n")


def test_the_benchmark_folder_says_what_the_generator_does() -> None:
    """Seed, hashes and counts in benchmarks/geneval/suite.toml are those of the code."""
    tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
    described = tomllib.loads((benchmarks_dir() / "geneval" / "suite.toml").read_text())

    assert described["generator"]["seed"] == geneval_prompts.SEED
    assert described["generator"]["samples_per_task"] == geneval_prompts.SAMPLES_PER_TASK
    assert described["sha256"] == {
        "evaluation_metadata.jsonl": geneval_prompts.METADATA_SHA256,
        "generation_prompts.txt": geneval_prompts.TEXT_SHA256,
    }
    assert described["prompts"] == Counter(prompt.task for prompt in load_suite("geneval").prompts)


def test_the_folders_that_travel_with_the_package_are_found() -> None:
    """Benchmarks, published rows and checkpoints are folders on this installation."""
    assert (benchmarks_dir() / "geneval" / "suite.toml").is_file()
    assert published_dir().is_dir()
    assert checkpoints_dir().is_dir()


def test_a_missing_folder_says_where_it_was_looked_for() -> None:
    """An incomplete installation is an error with both places and the remedy."""
    with pytest.raises(UsageError, match=r"benchmarks was expected at .*nowhere.* reinstall selfe-eval"):
        resources._first_folder("benchmarks", (benchmarks_dir() / "nowhere",))
