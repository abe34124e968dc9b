"""Rewritten prompts: what a generator is told may be longer, what must be seen stays GenEval's.

Many published scores come from prompts that a language model has rewritten, and are higher for it. Such a set
is a suite of its own here: its name ends in ``[rewritten]``, its hash is of its own lines, and it shares no
table with the official wording. The requirements are not rewritten: every line must ask for what the line of
the suite at its place asks for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfe_eval.errors import UsageError
from selfe_eval.records import Prompt, Suite
from selfe_eval.suites.geneval_prompts import metadata_bytes
from selfe_eval.suites.registry import load_suite

_MARK = "[rewritten]"
_REQUIREMENTS = ("tag", "include", "exclude")
_NUM_SHOWN = 120


def is_rewritten(name: str) -> bool:
    """Whether a suite of this name has rewritten prompts.

    >>> is_rewritten("geneval[rewritten]")
    True
    """
    return name.endswith(_MARK)


def base_name(name: str) -> str:
    """The registry name of the suite whose requirements these are.

    >>> base_name("geneval[rewritten]"), base_name("geneval")
    ('geneval', 'geneval')
    """
    return name.removesuffix(_MARK)


def rewritten_suite(base: Suite, path: Path) -> Suite:
    """A suite with the prompts of a file and the requirements of another suite.

    Args:
        base: The suite with the official wording.
        path: UTF-8. A ``.txt`` file has one prompt a line; any other has metadata lines in the official form, of
            which only ``prompt`` may differ. One line for each prompt of the suite, in its order.

    Returns:
        The suite ``<base>[rewritten]``, hashed over its own metadata lines.

    Raises:
        UsageError: The file cannot be read, a line does not fit its place, or nothing is rewritten.
    """
    lines = _lines(path)
    if len(lines) != len(base.prompts):
        raise UsageError(
            f"{path} should hold one rewritten prompt a line for each of the {len(base.prompts)} prompts of the "
            f"suite {base.name}, in its order, and holds {len(lines)} lines. `selfe-eval suites --export "
            f"{base.name}` writes the lines to start from."
        )
    text_of = _plain_text if path.suffix == ".txt" else _text_of_metadata
    prompts = tuple(
        replace(prompt, text=text_of(line, prompt, f"Line {number} of {path}"))
        for number, (line, prompt) in enumerate(zip(lines, base.prompts, strict=True), 1)
    )
    if prompts == tuple(base.prompts):
        raise UsageError(
            f"{path} holds the prompts of the suite {base.name} as they are; expected rewritten ones. "
            "Leave out --prompts to measure with the official wording."
        )
    return Suite(
        name=base.name + _MARK,
        prompts=prompts,
        sha256=hashlib.sha256(metadata_bytes(prompts)).hexdigest(),
        unseen=base.unseen,
    )


def wordings(suite: Suite) -> list[Sequence[Prompt]]:
    """The prompts of a suite, and where they are rewritten also the official ones: both may label an image.

    Args:
        suite: Any suite.

    Returns:
        One or two sequences of prompts with the same ids and requirements.
    """
    if not is_rewritten(suite.name):
        return [suite.prompts]
    return [suite.prompts, load_suite(base_name(suite.name)).prompts]


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Expected rewritten prompts at {path}, as UTF-8 text: {error}.") from None
    return text.removesuffix("\n").split("\n") if text else []


def _plain_text(line: str, prompt: Prompt, place: str) -> str:
    if not line.strip():
        raise UsageError(f"{place} is empty: expected a rewriting of {prompt.text!r}.")
    return line.strip()


def _text_of_metadata(line: str, prompt: Prompt, place: str) -> str:
    try:
        document: Any = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UsageError(
            f"{place}: expected the metadata of {prompt.text!r} as a JSON object with another prompt, found "
            f"{_cut(line)}. A file of plain prompts, one a line, must be named .txt."
        )
    expected, found = _requirements(prompt.metadata()), _requirements(document)
    if found != expected:
        raise UsageError(
            f"{place} does not ask for what the suite asks there: expected {json.dumps(expected)}, found "
            f"{_cut(json.dumps(found))}. Only the prompt may be rewritten, and the order stays."
        )
    text = document.get("prompt")
    if not isinstance(text, str) or not text.strip() or not _is_unicode(text):
        raise UsageError(
            f"{place}: expected a rewriting of {prompt.text!r} under the key prompt, found {text!r}."
        )
    return text


def _requirements(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: metadata[key] for key in _REQUIREMENTS if key in metadata}


def _is_unicode(text: str) -> bool:
    """JSON can spell half of a surrogate pair, which no encoder takes."""
    return text.encode(errors="ignore").decode() == text


def _cut(text: str) -> str:
    return text if len(text) <= _NUM_SHOWN else text[:_NUM_SHOWN] + "..."
