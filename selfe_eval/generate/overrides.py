"""What a caller may change of a checkpoint's sampler, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from selfe_eval.errors import UsageError

GuidanceNorm = Literal["sample", "robust", "none"]
"""The sampler's, named here because nothing of torch is imported."""
NoiseRule = Literal["ddpm", "heuristic"]
"""The sampler's, for the same reason."""
GREATEST_WARP = 20
"""Of either sign: beyond it all times but the last, or all but the first, are equal within rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerOverrides:
    """Options of the sampler, by its own field names; None keeps the checkpoint's own."""

    guidance: float | None = None
    """Guidance scale, at least 1; 1 switches guidance off."""
    guidance_norm: GuidanceNorm | None = None
    """What guidance keeps of the conditional prediction."""
    negative_prompt: str | None = None
    """What the unconditional branch reads; empty: the null prompt."""
    eta: float | None = None
    """Share of fresh noise a step, in [0, 1]."""
    noise_rule: NoiseRule | None = None
    """How much fresh noise eta = 1 is."""
    s_schedule: str | None = None
    """Second time of a step, as typed: ``next``, ``current``, a number in [0, 1] between the two, or a comma-separated
    list of one second time for each step."""
    warp: float | None = None
    """Mean shift of the times; 0: a linear grid."""

    def __post_init__(self) -> None:
        if self.guidance is not None and not 1 <= self.guidance < float("inf"):
            raise UsageError(
                f"--guidance {self.guidance}: expected a number of at least 1 (1 switches guidance off)."
            )
        if self.negative_prompt and self.guidance == 1:
            raise UsageError(
                f"--negative-prompt {self.negative_prompt!r}: nothing reads it at --guidance 1, which has no unconditional "
                "branch. Leave one of the two out."
            )
        if self.eta is not None and not 0 <= self.eta <= 1:
            raise UsageError(f"--eta {self.eta}: expected a number from 0 (deterministic) to 1.")
        if self.warp is not None and not abs(self.warp) <= GREATEST_WARP:
            raise UsageError(
                f"--warp {self.warp}: expected a number from -{GREATEST_WARP} to {GREATEST_WARP}; 0 is a linear grid of times."
            )
        self.second_time()

    def second_time(self) -> str | float | tuple[float, ...] | None:
        """The s schedule as the sampler takes it.

        Raises:
            UsageError: it is neither a known word nor made of numbers in [0, 1].
        """
        if self.s_schedule is None or self.s_schedule in {"next", "current"}:
            return self.s_schedule
        try:
            numbers = tuple(float(item) for item in self.s_schedule.split(","))
        except ValueError:
            numbers = (-1.0,)
        if not all(0 <= number <= 1 for number in numbers):
            raise UsageError(
                f"--s-schedule {self.s_schedule}: expected next, current, a number from 0 (next) to 1 (current), or the "
                "second time of each step, as in 0.8,0.5,0 for three steps."
            )
        return numbers if len(numbers) > 1 else numbers[0]

    def refuse_other_step_counts(self, steps: Sequence[int]) -> None:
        """A list of second times is for one step count.

        Raises:
            UsageError: another one is asked for.
        """
        listed = self.second_time()
        if isinstance(listed, tuple) and any(count != len(listed) for count in steps):
            raise UsageError(
                f"--s-schedule {self.s_schedule} lists {len(listed)} second times, one for each of {len(listed)} steps, but "
                f"--steps asks for {', '.join(map(str, steps))}. Say --steps {len(listed)}, or give next, current or a "
                "number, which fit any step count."
            )

    def changes(self) -> dict[str, Any]:
        """The options to replace, by the sampler's field names."""
        options = {field.name: getattr(self, field.name) for field in fields(self)}
        options["s_schedule"] = self.second_time()
        return {name: value for name, value in options.items() if value is not None}
