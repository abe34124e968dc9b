"""Frozen T5 and CLIP text encoders: token embeddings from the one, a pooled vector from the other, as in FLUX.1.

T5 reads T = ``num_tokens`` tokens with their mask, so that padding changes nothing; embeddings of padding are zero. (FLUX.1
lets T5 attend to its padding; the paper says nothing.) Longer prompts are cut, and counted. CLIP reads its own 77 tokens,
beyond which every prompt is cut, as in FLUX.1: it only says what a prompt is about, so this is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from selfe.condition import Condition
from selfe.denoiser import DenoiserConfig
from selfe.encoders.loading import load_frozen
from selfe.encoders.places import CLIP, T5, EncoderError, FrozenPart, find_part, weight_hashes
from selfe.model import FrozenTextConfig

TEXT_TOWER = "text_config"
"""Where the configuration of the whole of CLIP keeps the sizes of its text tower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundText:
    """Two text encoders that have been found; their weights have not been read."""

    t5: FrozenPart
    """Gives the token embeddings."""
    clip: FrozenPart
    """Gives the pooled vector."""
    num_tokens: int
    """T of T5."""

    @property
    def widths(self) -> tuple[int, int]:
        """(X, Y): of a token embedding, and of the pooled vector."""
        return _t5_width(self.t5), _clip_width(self.clip)


def find_text(config: FrozenTextConfig, denoiser: DenoiserConfig | None = None) -> FoundText:
    """Locate both encoders, and compare their widths with those that a denoiser reads, if one is given.

    Raises:
        EncoderError: one is missing, out of reach, of another kind or of another width.
    """
    t5, clip = find_part(T5, config.t5), find_part(CLIP, config.clip)
    found = FoundText(t5=t5, clip=clip, num_tokens=config.num_tokens)
    if denoiser is not None:
        expected_pooled = denoiser.pooled_width or denoiser.text_width
        t5.require(
            "d_model", found=_t5_width(t5), expected=denoiser.text_width, of="the denoiser's text_width"
        )
        clip.require(
            "hidden_size", found=_clip_width(clip), expected=expected_pooled, of="the denoiser's pooled_width"
        )
    return found


class FrozenText:
    """Prompts -> T5's token embeddings and CLIP's pooled vector; implements ``PromptReader``."""

    def __init__(
        self,
        found: FoundText,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        expected: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Load both encoders.

        Args:
            found: Where they are.
            device: Where to compute.
            dtype: Of weights and arithmetic; None: bfloat16 on a GPU, float32 elsewhere. In float16, transformers keeps
                T5's last projections in float32, which overflow otherwise.
            expected: Role -> file name -> SHA-256 that a checkpoint states.

        Raises:
            EncoderError: weights are missing, not whole, or not the expected ones.
        """
        from transformers import CLIPTextModel, T5EncoderModel

        expected = expected or {}
        self.files = {
            part.role.name: weight_hashes(part, expected.get(part.role.name))
            for part in (found.t5, found.clip)
        }
        self.device = torch.device(device)
        self.num_tokens = found.num_tokens
        self.num_truncated = 0
        self.dtype = dtype or (torch.bfloat16 if self.device.type == "cuda" else torch.float32)
        self._t5_tokens, self._clip_tokens = _tokenizer(found.t5), _tokenizer(found.clip)
        self._t5, self._clip = (
            load_frozen(kind, part, dtype=self.dtype, trust_remote_code=False).to(self.device)
            for kind, part in ((T5EncoderModel, found.t5), (CLIPTextModel, found.clip))
        )
        self._clip_length = found.clip.size("max_position_embeddings", below=TEXT_TOWER)
        self._null: Condition | None = None

    def __call__(self, prompts: list[str]) -> Condition:
        """Prompts -> tokens float32 (B, T, X), mask bool (B, T) and pooled float32 (B, Y), on the encoders' device.

        The empty prompt is the null prompt phi of guidance; it is kept. ``num_truncated`` counts the prompts that were cut.
        """
        if prompts != [""]:
            self.num_truncated += sum(self.truncated(prompts))
            return self._read(prompts)
        if self._null is None:
            self._null = self._read(prompts)
        return self._null

    def truncated(self, prompts: list[str]) -> list[bool]:
        """Which prompts have more than T tokens for T5 and are cut."""
        return [
            len(numbers) > self.num_tokens for numbers in self._t5_tokens(prompts, verbose=False)["input_ids"]
        ]

    def unknown_words(self, prompt: str) -> list[str]:  # noqa: ARG002 - the signature is the protocol's
        """None can be named: these encoders spell every word from pieces."""
        return []

    def _read(self, prompts: list[str]) -> Condition:
        # What is read while sampling must serve training too: tensors of inference mode could not.
        with torch.inference_mode(mode=False), torch.no_grad():
            t5 = self._padded(self._t5_tokens, prompts, self.num_tokens)
            clip = self._padded(self._clip_tokens, prompts, self._clip_length)
            mask: Tensor = t5["attention_mask"].bool()
            tokens = self._t5(**t5).last_hidden_state.float()
            pooled = self._clip(**clip).pooler_output.float()
            return Condition(tokens * mask[..., None], mask, pooled)

    def _padded(self, tokenizer: Any, prompts: list[str], length: int) -> dict[str, Tensor]:
        batch = tokenizer(
            prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        return {name: batch[name].to(self.device) for name in ("input_ids", "attention_mask")}


def _tokenizer(part: FrozenPart) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            part.tokenizer, local_files_only=True, trust_remote_code=False, use_fast=True
        )
    except (OSError, ValueError, ImportError) as error:
        raise EncoderError(
            f"The tokenizer of the {part.role.about} cannot be read from {part.tokenizer}: {str(error).splitlines()[0]} "
            "Expected tokenizer.json (or, of CLIP, vocab.json and merges.txt) as save_pretrained writes it; copy it there."
        ) from error


def _t5_width(part: FrozenPart) -> int:
    return part.size("d_model")


def _clip_width(part: FrozenPart) -> int:
    return part.size("hidden_size", below=TEXT_TOWER)
