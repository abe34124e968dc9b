"""What a gate tolerates: a small TOML file, every key of it optional, none of it unknown.

    primary = "geneval"          # the metric that passes, fails or is inconclusive; the others can only fail
    steps = [2, 8]               # step counts that count; by default all of the baseline
    delta = 0.02                 # the loss in the primary metric that "pass" excludes
    tolerance = 0.0              # the loss in the primary metric beyond which it fails
    on_inconclusive = "warn"     # or "fail", "pass"
    ignore = ["kid"]             # metrics of the baseline that may be missing or worse
    pinned = "release.json"      # a second baseline, so that many small losses in a row are seen

    [secondaries.fid]            # another metric's own
    delta = 0.1
    tolerance = 0.02

Losses are in units of the metric (0.02 is two percentage points of GenEval), for distances a share of what the baseline
has. A metric is named in full, ``"fid[openmoji-clip]"``, or by its bare name, which stands for every variant.
Margins of a metric that the baseline lacks are an error, and so are those of the primary metric in a table of its own.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from selfe_eval.errors import UsageError, unknown_name
from selfe_eval.metrics import METRICS

OnInconclusive = Literal["fail", "warn", "pass"]
"""What an inconclusive primary metric does: exit code 11, a warning, nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """What one metric may lose."""

    delta: float | None = None
    """The loss that "pass" excludes, above 0; None for the metric's own."""
    tolerance: float = 0.0
    """The loss beyond which it fails, at least 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a gate tolerates."""

    primary: str | None = None
    """The metric that decides; None for GenEval, or the first one that the baseline has."""
    steps: tuple[int, ...] | None = None
    """Step counts that count, ascending; None for all of the baseline."""
    margins: Margins = field(default_factory=Margins)
    """Of the primary metric."""
    on_inconclusive: OnInconclusive = "warn"
    """What an inconclusive primary metric does."""
    secondaries: Mapping[str, Margins] = field(default_factory=dict)
    """Metric -> its own margins; metrics that are not named are gated with the default ones."""
    ignore: tuple[str, ...] = ()
    """Metrics that are not looked at."""
    pinned: Path | None = None
    """A second baseline."""

    def margins_of(self, metric: str, *, is_primary: bool) -> Margins:
        """The margins of a metric, by its full name or else by its bare one."""
        if is_primary:
            return self.margins
        return self.secondaries.get(metric) or self.secondaries.get(metric.partition("[")[0]) or Margins()

    def ignores(self, metric: str) -> bool:
        """Whether a metric is not looked at."""
        return is_named(metric, self.ignore)


def is_named(metric: str, names: Sequence[str]) -> bool:
    """Whether a metric is among names, full or bare.

    >>> is_named("fid[openmoji-clip]", ["fid"]), is_named("fid", ["fid[openmoji-clip]"])
    (True, False)
    """
    return metric in names or metric.partition("[")[0] in names


def read_policy(path: Path) -> Policy:
    """The policy in a TOML file; a relative path of a pinned baseline is relative to the file.

    Raises:
        UsageError: there is no file, it is no TOML, or a key or value in it makes no sense.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"--policy {path}: expected a TOML file, and it cannot be read ({error.strerror or error}). Leave the option "
            "out for the default policy."
        ) from error
    except ValueError as error:
        raise UsageError(f"--policy {path}: expected a TOML file, but {error}.") from error
    try:
        return policy_of(document, path.parent)
    except UsageError as error:
        raise UsageError(f"--policy {path}: {error}") from error


def policy_of(document: Mapping[str, Any], folder: Path) -> Policy:
    """The policy in a document.

    Args:
        document: As TOML gives it.
        folder: What a relative path of a pinned baseline is relative to.

    Raises:
        UsageError: a key is unknown, or a value makes no sense.

    >>> policy_of({"delta": 0.01}, Path()).margins
    Margins(delta=0.01, tolerance=0.0)
    """
    known = {field.name for field in fields(Policy)} - {"margins"} | {"delta", "tolerance"}
    _refuse_unknown("key", document, known)
    plain: dict[str, Any] = {}
    if "primary" in document:
        plain["primary"] = _metric("primary", document["primary"])
    if "steps" in document:
        plain["steps"] = _steps(document["steps"])
    if "on_inconclusive" in document:
        plain["on_inconclusive"] = _on_inconclusive(document["on_inconclusive"])
    if "ignore" in document:
        plain["ignore"] = tuple(_metric("ignore", name) for name in _list("ignore", document["ignore"]))
    if "pinned" in document:
        plain["pinned"] = folder / _text("pinned", document["pinned"])
    if "secondaries" in document:
        plain["secondaries"] = _secondaries(document["secondaries"])
    policy = Policy(**plain, margins=_margins("", document))
    if policy.primary is not None and policy.ignores(policy.primary):
        raise UsageError(f"{policy.primary} cannot be both the primary metric and ignored.")
    return policy


def checked_margins(where: str, delta: float | None, tolerance: float) -> Margins:
    """Margins that make sense.

    Args:
        where: What stands before the names of the two in an error.
        delta: As in `Margins`.
        tolerance: As in `Margins`.

    Raises:
        UsageError: one of them is out of range.
    """
    if delta is not None and not (math.isfinite(delta) and delta > 0):
        raise UsageError(f"{where}delta: expected a number above 0, found {delta!r}.")
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"{where}tolerance: expected a number of at least 0, found {tolerance!r}.")
    return Margins(delta=delta, tolerance=tolerance)


def _margins(where: str, document: Mapping[str, Any]) -> Margins:
    found = {
        name: _number(where + name, document[name]) for name in ("delta", "tolerance") if name in document
    }
    return checked_margins(where, found.get("delta"), found.get("tolerance", 0.0))


def _secondaries(document: Any) -> dict[str, Margins]:
    if not isinstance(document, dict):
        raise UsageError(f"secondaries: expected a table as in [secondaries.fid], found {document!r}.")
    made = {}
    for name, own in document.items():
        where = f"secondaries.{_metric('secondaries', name)}"
        if not isinstance(own, dict):
            raise UsageError(f"{where}: expected a table with delta and tolerance, found {own!r}.")
        _refuse_unknown(f"key in {where}", own, {"delta", "tolerance"})
        made[name] = _margins(f"{where}.", own)
    return made


def _refuse_unknown(kind: str, document: Mapping[str, Any], known: set[str]) -> None:
    for name in document:
        if name not in known:
            raise unknown_name(kind, name, known)


def _metric(key: str, value: Any) -> str:
    name = _text(key, value)
    if name.partition("[")[0] not in METRICS:
        raise unknown_name(f"metric in {key}", name, METRICS)
    return name


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"{key}: expected a text, found {value!r}.")
    return value


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{key}: expected a number, found {value!r}.")
    return float(value)


def _list(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UsageError(f"{key}: expected a list, found {value!r}.")
    return value


def _steps(value: Any) -> tuple[int, ...]:
    found = _list("steps", value)
    bad = [item for item in found if isinstance(item, bool) or not isinstance(item, int) or item < 1]
    if bad or not found or len(set(found)) < len(found):
        raise UsageError(f"steps: expected different whole numbers of at least 1, found {value!r}.")
    return tuple(sorted(found))


def _on_inconclusive(value: Any) -> OnInconclusive:
    for known in get_args(OnInconclusive):
        if value == known:
            made: OnInconclusive = known
            return made
    raise unknown_name("value of on_inconclusive", str(value), get_args(OnInconclusive))
