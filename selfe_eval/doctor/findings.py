"""What an examination finds, which detectors it touches, and what can therefore be trusted. Pure data, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from selfe_eval.errors import SelfeEvalError

Status = Literal["ok", "warn", "fail"]
"""``warn``: worth knowing, numbers stay true. ``fail``: numbers of the detectors it touches are not to be believed."""

EVERY_DETECTOR = ("openmoji", "mmdet", "transformers", "hf-weights")
OFFICIAL = ("mmdet", "transformers", "hf-weights")
"""Detectors that judge photographs, with the official colour model."""

INSTALLATION, DEVICE, MODELS, OFFICIAL_COLORS = "installation", "device", "bundled models", "official colors"

AREAS = {
    INSTALLATION: EVERY_DETECTOR,
    DEVICE: EVERY_DETECTOR,
    MODELS: (),
    OFFICIAL_COLORS: OFFICIAL,
    "openmoji": ("openmoji",),
    "transformers": ("transformers", "hf-weights"),
    "hf-weights": ("hf-weights",),
    "mmdet": ("mmdet",),
}
"""Area -> the detectors whose numbers a failure there spoils; in the order of the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    area: str
    """A key of AREAS."""
    name: str
    """What was looked at."""
    status: Status
    """How it is."""
    found: str
    """What was seen: versions, counts, or an error's own words."""
    advice: str = ""
    """What to do; empty if, and only if, the status is ``ok``."""

    def __post_init__(self) -> None:
        if (self.status == "ok") != (not self.advice):
            raise ValueError(f"A finding has advice unless it is ok; {self.name!r} is {self.status}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whether numbers of one detector can be believed here."""

    answer: Literal["yes", "no", "not set up"]
    """``not set up``: nothing is wrong, but it was not tested, because something is not installed."""
    because: str = ""
    """Names of the findings that say so; empty for ``yes``."""
    metric: str = ""
    """What numbers are reported as: ``geneval``, or ``geneval[<variant>]``; empty unless the answer is ``yes``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """All findings, and what follows."""

    findings: tuple[Finding, ...]
    """In the order of AREAS."""
    trusted: dict[str, Trust]
    """Detector -> answer, for each detector that was asked about."""

    @property
    def failed(self) -> bool:
        """True if anything is wrong."""
        return any(finding.status == "fail" for finding in self.findings)

    def document(self) -> dict[str, Any]:
        """The ``--json`` document."""
        return {
            "schema_version": 1,
            "findings": [asdict(finding) for finding in self.findings],
            "trusted": {name: asdict(trust) for name, trust in self.trusted.items()},
        }


def guarded(area: str, findings: Iterator[Finding], *, name: str = "self-test") -> Iterator[Finding]:
    """Findings of a test that may crash; what it raises is the last of them, and failed.

    Args:
        area: Where that one stands.
        findings: A generator that does the work.
        name: What that one is called.
    """
    try:
        yield from findings
    except SelfeEvalError as error:
        found, advice = "it refused to run", str(error)
    except Exception as error:  # noqa: BLE001 - any crash of a judge is a finding, and the others go on
        found = f"{type(error).__name__}: {error}"
        advice = "It cannot be used here. Reinstall what the error names, or try --device cpu."
    else:
        return
    yield Finding(area=area, name=name, status="fail", found=found, advice=advice)


def conclude(findings: Sequence[Finding], *, asked: Sequence[str], tested: Mapping[str, str]) -> Examination:
    """Order the findings and draw the conclusion for each detector.

    Args:
        findings: Everything found.
        asked: The detectors that the conclusion speaks of.
        tested: Those of them whose self-test was run -> what their numbers are reported as.
    """
    order = list(AREAS)
    ordered = tuple(sorted(findings, key=lambda finding: order.index(finding.area)))
    return Examination(
        findings=ordered, trusted={name: _trust(name, ordered, tested.get(name)) for name in asked}
    )


def _trust(detector: str, findings: Sequence[Finding], metric: str | None) -> Trust:
    touching = [finding for finding in findings if detector in AREAS[finding.area]]
    if failures := [finding.name for finding in touching if finding.status == "fail"]:
        return Trust(answer="no", because=", ".join(failures))
    if metric is not None:
        return Trust(answer="yes", metric=metric)
    missing = [finding.name for finding in touching if finding.found.startswith("not set up")]
    return Trust(answer="not set up", because=", ".join(missing))
