"""What a caller may change of a checkpoint's sampler, checked before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selfe_eval.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerOverrides:
    """Options of the sampler; None keeps the checkpoint's own."""

    guidance: float | None = None
    """Guidance scale, at least 1; 1 switches guidance off."""
    eta: float | None = None
    """Share of fresh noise a step, in [0, 1]."""
    s_schedule: str | None = None
    """Second time of a step: ``next``, ``current``, or a number in [0, 1] between the two."""

    def __post_init__(self) -> None:
        if self.guidance is not None and not 1 <= self.guidance < float("inf"):
            raise UsageError(
                f"--guidance {self.guidance}: expected a number of at least 1 (1 switches guidance off)."
            )
        if self.eta is not None and not 0 <= self.eta <= 1:
            raise UsageError(f"--eta {self.eta}: expected a number from 0 (deterministic) to 1.")
        self.second_time()

    def second_time(self) -> str | float | None:
        """The s schedule as the sampler takes it.

        Raises:
            UsageError: it is neither a known word nor a number in [0, 1].
        """
        if self.s_schedule in {None, "next", "current"}:
            return self.s_schedule
        try:
            number = float(str(self.s_schedule))
        except ValueError:
            number = -1.0
        if not 0 <= number <= 1:
            raise UsageError(
                f"--s-schedule {self.s_schedule}: expected next, current, or a number from 0 (next) to 1 "
                "(current)."
            )
        return number

    def changes(self) -> dict[str, Any]:
        """The options to replace, by the sampler's field names."""
        options = {"guidance": self.guidance, "eta": self.eta, "s_schedule": self.second_time()}
        return {name: value for name, value in options.items() if value is not None}
