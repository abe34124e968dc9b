"""What a diffusers pipeline does with a guidance scale and a negative prompt: three conventions, and errors beyond them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from selfe_eval.errors import UsageError

Convention = Literal["classifier-free", "embedded", "none"]
"""Two passes a step and their difference; the scale is an input of the network; no guidance at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """How a pipeline is guided in a run."""

    convention: Convention
    """What the pipeline does at this scale."""
    scale: float | None
    """In the pipeline's own convention; None: it reads none."""
    negative_prompt: str | None
    """What the unconditional branch reads; None: the pipeline's own."""

    def arguments(self, num_images: int) -> dict[str, Any]:
        """For the pipeline's call."""
        return {
            **({} if self.scale is None else {"guidance_scale": self.scale}),
            **(
                {}
                if self.negative_prompt is None
                else {"negative_prompt": [self.negative_prompt] * num_images}
            ),
        }


def convention_of(defaults: Mapping[str, Any], configs: Sequence[Mapping[str, Any]]) -> Convention:
    """What a pipeline does with a guidance scale above 1.

    Args:
        defaults: Arguments of the pipeline's call with their defaults.
        configs: Configurations of the pipeline and of its denoisers.

    A network distilled with guidance says so: ``guidance_embeds`` (FLUX.1, SANA-Sprint) or ``time_cond_proj_dim`` (LCM). One
    that could take an embedded scale and does not (FLUX.1-schnell) reads none, nor does a pipeline that calls itself
    ``is_distilled`` (FLUX.2-klein). Others that take something negative, be it its embeddings alone (GLM-Image), compare.
    """
    if "guidance_scale" not in defaults:
        return "none"
    if any(config.get("guidance_embeds") or config.get("time_cond_proj_dim") for config in configs):
        return "embedded"
    if "true_cfg_scale" in defaults or any(config.get("is_distilled") for config in configs):
        return "none"
    takes_negative = "negative_prompt" in defaults or "negative_prompt_embeds" in defaults
    return "classifier-free" if takes_negative else "none"


def chosen_guidance(
    name: str,
    convention: Convention,
    defaults: Mapping[str, Any],
    *,
    scale: float | None,
    asked: float | None,
    negative_prompt: str | None,
) -> Guidance:
    """The guidance of a run: what the caller asks for, else the setting, else the pipeline's own default.

    Args:
        name: Of the model, for messages.
        convention: Of the pipeline.
        defaults: Arguments of the pipeline's call with their defaults.
        scale: Of the settings.
        asked: Of the caller.
        negative_prompt: Of the caller.

    Raises:
        UsageError: the pipeline would not read what the caller asks for.
    """
    if convention == "none":
        if asked is not None and asked != 1:
            raise UsageError(
                f"--guidance {asked}: {name} reads no such scale; it was distilled without guidance, or has a convention of its "
                "own. Leave the option out."
            )
        used = None
    else:
        used = next(
            (value for value in (asked, scale, defaults["guidance_scale"]) if value is not None), None
        )
    if convention == "classifier-free" and used is not None and used <= 1:
        convention = "none"
    if negative_prompt is not None and convention != "classifier-free":
        raise UsageError(
            f"--negative-prompt {negative_prompt!r}: {name} has no unconditional branch "
            + (f"at guidance {used:g} " if used is not None else "")
            + "that would read it. Leave it out, or give a --guidance above 1 where the model uses classifier-free guidance."
        )
    if negative_prompt is not None and "negative_prompt" not in defaults:
        raise UsageError(
            f"--negative-prompt {negative_prompt!r}: the pipeline of {name} takes no negative prompt as text. Leave it out."
        )
    return Guidance(convention=convention, scale=used, negative_prompt=negative_prompt)
