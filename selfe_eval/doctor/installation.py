"""Reads what is installed here: package metadata only, nothing is imported."""

from __future__ import annotations

import importlib.metadata
import platform

from packaging.requirements import Requirement

from selfe_eval.doctor.version_rules import COMBINATIONS, NEEDED, Installation


def read_installation() -> Installation:
    """Versions of every distribution that a rule speaks of."""
    requirements = [needed.requirement for needed in NEEDED]
    for bad in COMBINATIONS:
        requirements += [*bad.present, *bad.absent]
    names = {Requirement(requirement).name for requirement in requirements} - {"python"}
    found = {name: version for name in sorted(names) if (version := _version(name)) is not None}
    return Installation(
        versions={"python": platform.python_version(), **found}, torchvision_needs=_torchvision_needs()
    )


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torchvision_needs() -> str | None:
    try:
        requirements = importlib.metadata.requires("torchvision") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    needs = (Requirement(requirement) for requirement in requirements)
    return next((f"torch{need.specifier}" for need in needs if need.name == "torch"), None)
