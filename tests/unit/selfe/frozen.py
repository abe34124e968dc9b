"""Frozen encoders of random weights, small, saved to disk the way the real ones are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from selfe.denoiser import DenoiserConfig
from selfe.encoders.flux_autoencoder import FrozenAutoencoderConfig
from selfe.model import FrozenTextConfig, ModelConfig

T5_WIDTH, CLIP_WIDTH, NUM_TOKENS = 32, 24, 8
WORDS = ("a", "photo", "of", "red", "blue", "dog", "cat", "fake", "image")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SCALE, SHIFT = 0.3611, 0.1159
"""FLUX.1's own."""


def save_t5(model_folder: Path, tokenizer_folder: Path | None = None) -> None:
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import T5Config, T5EncoderModel

    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    numbers = {word: number for number, word in enumerate((*special.values(), *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(numbers, special["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    kind: Any = transformers.PreTrainedTokenizerFast
    fast = kind(tokenizer_object=tokenizer, **special)
    fast.save_pretrained(tokenizer_folder or model_folder)
    torch.manual_seed(1)
    sizes = T5Config(
        vocab_size=len(numbers),
        d_model=T5_WIDTH,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    T5EncoderModel(sizes).save_pretrained(model_folder)


def save_clip(model_folder: Path, tokenizer_folder: Path | None = None) -> None:
    """The tokenizer is written as FLUX.1 has it: vocab.json and merges.txt."""
    from transformers import CLIPTextConfig, CLIPTextModel

    spellings = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    numbers = {spelling: number for number, spelling in enumerate(spellings)}
    first, last = numbers["<|startoftext|>"], numbers["<|endoftext|>"]
    folder = tokenizer_folder or model_folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(numbers))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    names = {"unk": "<|endoftext|>", "pad": "<|endoftext|>", "bos": "<|startoftext|>", "eos": "<|endoftext|>"}
    tokens = {f"{kind}_token": token for kind, token in names.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", **tokens}))
    torch.manual_seed(2)
    sizes = CLIPTextConfig(
        vocab_size=len(numbers),
        hidden_size=CLIP_WIDTH,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=first,
        eos_token_id=last,
        pad_token_id=last,
    )
    CLIPTextModel(sizes).save_pretrained(model_folder)


def save_autoencoder(folder: Path) -> None:
    import diffusers

    torch.manual_seed(3)
    kind: Any = diffusers.AutoencoderKL
    network = kind(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=16,
        norm_num_groups=4,
        scaling_factor=SCALE,
        shift_factor=SHIFT,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    network.save_pretrained(folder)


def save_pipeline(folder: Path) -> None:
    """All three in the layout of FLUX.1."""
    save_clip(folder / "text_encoder", folder / "tokenizer")
    save_t5(folder / "text_encoder_2", folder / "tokenizer_2")
    save_autoencoder(folder / "vae")
    parts = {
        "_class_name": "FluxPipeline",
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "T5TokenizerFast"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(parts))


def model_config(place: Path, *, text_width: int = T5_WIDTH, pooled_width: int = CLIP_WIDTH) -> ModelConfig:
    """A tiny denoiser that reads the encoders of a pipeline."""
    return ModelConfig(
        denoiser=DenoiserConfig(
            width=32,
            num_heads=2,
            num_double=1,
            num_single=1,
            rope_dims=(4, 6, 6),
            text_width=text_width,
            pooled_width=pooled_width,
            grid=(2, 2),
            modulation="shared",
        ),
        text=text_config(place),
        parametrisation="x0",
    )


def text_config(place: Path) -> FrozenTextConfig:
    return FrozenTextConfig(t5=str(place), clip=str(place), num_tokens=NUM_TOKENS)


def autoencoder_config(place: Path) -> FrozenAutoencoderConfig:
    return FrozenAutoencoderConfig(frozen=str(place))
