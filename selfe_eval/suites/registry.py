"""The table of suites: a name gives its prompts, its hash, and which prompts are unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

from selfe_eval.errors import unknown_name
from selfe_eval.records import Prompt, Suite
from selfe_eval.suites.geneval_prompts import generate, metadata_bytes
from selfe_eval.suites.heldout import is_unseen


def _none_unseen(prompts: tuple[Prompt, ...]) -> frozenset[int]:  # noqa: ARG001  one signature for the table
    return frozenset()


def _held_out(prompts: tuple[Prompt, ...]) -> frozenset[int]:
    return frozenset(prompt.prompt_id for prompt in prompts if is_unseen(prompt))


_SUITES: dict[str, Callable[[tuple[Prompt, ...]], frozenset[int]]] = {
    "geneval": _none_unseen,
    "openmoji": _held_out,
}
"""Suite name -> which of its prompts the bundled models have never seen. All ask GenEval's 553 prompts."""


def suite_names() -> tuple[str, ...]:
    """The names `load_suite` knows, sorted.

    >>> suite_names()
    ('geneval', 'openmoji')
    """
    return tuple(sorted(_SUITES))


@cache
def load_suite(name: str) -> Suite:
    """The suite of this name; the first call draws its prompts, later calls return the same object.

    Args:
        name: One of `suite_names`.

    Returns:
        The prompts in the order of their ``prompt_id``, with the SHA-256 of their metadata lines.

    Raises:
        UsageError: No suite has this name.
        UntrustworthyError: The drawn prompts are not the official ones.
    """
    if name not in _SUITES:
        raise unknown_name("suite", name, _SUITES)
    prompts = tuple(generate())
    return Suite(
        name=name,
        prompts=prompts,
        sha256=hashlib.sha256(metadata_bytes(prompts)).hexdigest(),
        unseen=_SUITES[name](prompts),
    )


def metadata_lines(suite: Suite) -> bytes:
    """The suite as the official metadata file; for ``geneval`` byte for byte that file.

    Args:
        suite: A loaded suite.

    Returns:
        One JSON object a line, each ended by a newline.
    """
    return metadata_bytes(suite.prompts)
