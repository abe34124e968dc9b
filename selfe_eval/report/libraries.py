"""The libraries that every measurement goes through: which releases had a hand in a run, and where runs differ.

No release is part of what identifies a bundled judge, so runs that differ here are compared; whoever shows them says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LIBRARIES = ("numpy", "open_clip_torch", "pillow", "resvg-py", "torch", "torchvision")
"""Distributions between the bytes of an image, or of the openmoji world's pictures, and a number of the bundled judges."""

Libraries = Mapping[str, tuple[str, ...]]
"""Distribution -> the releases that had a hand in a run, in order of first use."""


def libraries_of(attempts: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The releases that the attempts at a run name; more than one where it was gone on with after an update.

    >>> libraries_of([{"versions": {"torch": "2.14.0"}}, {"versions": {"torch": "2.15.0", "mmdet": "3.3.0"}}])
    {'torch': ('2.14.0', '2.15.0')}
    """
    found: dict[str, dict[str, None]] = {}
    for attempt in attempts:
        releases = attempt.get("versions", {})
        for name in LIBRARIES:
            if name in releases:
                found.setdefault(name, {})[str(releases[name])] = None
    return {name: tuple(releases) for name, releases in found.items()}


def library_note(named: Sequence[tuple[str, Libraries]]) -> str:
    """A sentence where not everything was measured with the same releases; else empty.

    Args:
        named: What each run is called, and its libraries.

    >>> library_note([("A", {"torch": ("2.14.0",)}), ("B", {"torch": ("2.15.0",)})])
    'Releases of libraries differ: torch 2.14.0 (A), 2.15.0 (B). Judges and settings are the same; numbers may still move.'
    """
    differing = [text for name in LIBRARIES if (text := _releases(name, named))]
    if not differing:
        return ""
    listed = "; ".join(differing)
    return (
        f"Releases of libraries differ: {listed}. Judges and settings are the same; numbers may still move."
    )


def _releases(library: str, named: Sequence[tuple[str, Libraries]]) -> str:
    """Who was measured with which; empty where all were with one."""
    users: dict[tuple[str, ...], list[str]] = {}
    for who, libraries in named:
        users.setdefault(libraries.get(library, ()), []).append(who)
    if len(users) == 1 and len(next(iter(users))) <= 1:
        return ""
    parts = [
        f"{' and '.join(releases) or 'not known'} ({', '.join(dict.fromkeys(names))})"
        for releases, names in users.items()
    ]
    return f"{library} {', '.join(parts)}"
