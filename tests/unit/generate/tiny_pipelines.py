"""Diffusers pipelines of random weights, one of each family, saved the way the real ones are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("a", "photo", "of", "red", "blue", "dog", "cat")
LIBRARY: Any = diffusers
TEXT: Any = transformers


def save_word_tokenizer(folder: Path) -> int:
    """A T5 or Gemma tokenizer that knows some words; the size of its vocabulary."""
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>"}
    numbers = {word: number for number, word in enumerate((*special.values(), *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(numbers, special["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    TEXT.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return len(numbers)


def save_clip_tokenizer(folder: Path) -> int:
    """A CLIP tokenizer that knows letters; the size of its vocabulary."""
    spellings = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(spellings)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    end, start = "<|endoftext|>", "<|startoftext|>"
    tokens = {"unk_token": end, "pad_token": end, "bos_token": start, "eos_token": end}
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **tokens}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return len(spellings)


def clip_text(vocabulary: int, *, width: int = 8, projects: bool = False) -> Any:
    config = TEXT.CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        projection_dim=width,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )
    return (TEXT.CLIPTextModelWithProjection if projects else TEXT.CLIPTextModel)(config)


def t5_text(vocabulary: int, *, width: int) -> Any:
    return TEXT.T5EncoderModel(
        TEXT.T5Config(
            vocab_size=vocabulary, d_model=width, d_kv=4, d_ff=8, num_layers=1, num_heads=2, pad_token_id=0
        )
    )


def gemma_text(vocabulary: int) -> Any:
    return TEXT.Gemma2Model(
        TEXT.Gemma2Config(
            vocab_size=vocabulary,
            hidden_size=8,
            head_dim=4,
            intermediate_size=8,
            num_attention_heads=2,
            num_key_value_heads=2,
            num_hidden_layers=1,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=3,
            attn_implementation="eager",
        )
    )


def autoencoder(**options: Any) -> Any:
    """Two blocks: a latent for each square of 2 by 2 pixels."""
    return LIBRARY.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 4),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=16,
        **options,
    )


def deep_autoencoder() -> Any:
    return LIBRARY.AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "ResBlock"),
        decoder_block_types=("ResBlock", "ResBlock"),
        encoder_block_out_channels=(4, 4),
        decoder_block_out_channels=(4, 4),
        encoder_qkv_multiscales=((), ()),
        decoder_qkv_multiscales=((), ()),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )


def unet(**options: Any) -> Any:
    return LIBRARY.UNet2DConditionModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        block_out_channels=(4, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=2,
        **{"attention_head_dim": 2, "cross_attention_dim": 8, **options},
    )


def save(folder: Path, pipeline: Any) -> None:
    """Write a pipeline's parts; its tokenizers are in place."""
    pipeline.save_pretrained(folder)


def save_stable_diffusion(
    folder: Path, scheduler: Any = None, *, pipeline: str = "StableDiffusionPipeline", **unet_options: Any
) -> None:
    torch.manual_seed(0)
    vocabulary = save_clip_tokenizer(folder / "tokenizer")
    save(
        folder,
        getattr(LIBRARY, pipeline)(
            vae=autoencoder(),
            text_encoder=clip_text(vocabulary),
            tokenizer=TEXT.CLIPTokenizer.from_pretrained(folder / "tokenizer"),
            unet=unet(**unet_options),
            scheduler=scheduler or LIBRARY.PNDMScheduler(skip_prk_steps=True, steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ),
    )


def save_sdxl(folder: Path, scheduler: Any = None, **unet_options: Any) -> None:
    torch.manual_seed(0)
    for name in ("tokenizer", "tokenizer_2"):
        vocabulary = save_clip_tokenizer(folder / name)
    tokenizers = [TEXT.CLIPTokenizer.from_pretrained(folder / name) for name in ("tokenizer", "tokenizer_2")]
    save(
        folder,
        LIBRARY.StableDiffusionXLPipeline(
            vae=autoencoder(),
            text_encoder=clip_text(vocabulary, width=4),
            text_encoder_2=clip_text(vocabulary, width=4, projects=True),
            tokenizer=tokenizers[0],
            tokenizer_2=tokenizers[1],
            unet=sdxl_unet(**unet_options),
            scheduler=scheduler or LIBRARY.EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1),
            add_watermarker=False,
        ),
    )


def sdxl_unet(**options: Any) -> Any:
    return unet(
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=4 + 6 * 4,
        transformer_layers_per_block=1,
        use_linear_projection=True,
        **options,
    )


def save_sdxl_turbo(folder: Path) -> None:
    save_sdxl(folder, LIBRARY.EulerAncestralDiscreteScheduler(timestep_spacing="trailing"))


def save_sdxl_consistency(folder: Path) -> None:
    save_sdxl(folder, LIBRARY.LCMScheduler(), time_cond_proj_dim=8)


def save_latent_consistency(folder: Path) -> None:
    save_stable_diffusion(
        folder, LIBRARY.LCMScheduler(), pipeline="LatentConsistencyModelPipeline", time_cond_proj_dim=8
    )


def save_flux(folder: Path, *, guidance_embeds: bool) -> None:
    torch.manual_seed(0)
    letters = save_clip_tokenizer(folder / "tokenizer")
    words = save_word_tokenizer(folder / "tokenizer_2")
    save(
        folder,
        LIBRARY.FluxPipeline(
            scheduler=LIBRARY.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=guidance_embeds),
            vae=autoencoder(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
            text_encoder=clip_text(letters),
            tokenizer=TEXT.CLIPTokenizer.from_pretrained(folder / "tokenizer"),
            text_encoder_2=t5_text(words, width=8),
            tokenizer_2=TEXT.AutoTokenizer.from_pretrained(folder / "tokenizer_2"),
            transformer=LIBRARY.FluxTransformer2DModel(
                patch_size=1,
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=8,
                num_attention_heads=2,
                joint_attention_dim=8,
                pooled_projection_dim=8,
                axes_dims_rope=(2, 2, 4),
                guidance_embeds=guidance_embeds,
            ),
        ),
    )


def save_flux_dev(folder: Path) -> None:
    save_flux(folder, guidance_embeds=True)


def save_flux_schnell(folder: Path) -> None:
    save_flux(folder, guidance_embeds=False)


def save_sd3(folder: Path) -> None:
    torch.manual_seed(0)
    for name in ("tokenizer", "tokenizer_2"):
        letters = save_clip_tokenizer(folder / name)
    words = save_word_tokenizer(folder / "tokenizer_3")
    tokenizers = [TEXT.CLIPTokenizer.from_pretrained(folder / name) for name in ("tokenizer", "tokenizer_2")]
    save(
        folder,
        LIBRARY.StableDiffusion3Pipeline(
            scheduler=LIBRARY.FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=autoencoder(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1),
            text_encoder=clip_text(letters, projects=True),
            tokenizer=tokenizers[0],
            text_encoder_2=clip_text(letters, projects=True),
            tokenizer_2=tokenizers[1],
            text_encoder_3=t5_text(words, width=16),
            tokenizer_3=TEXT.AutoTokenizer.from_pretrained(folder / "tokenizer_3"),
            transformer=LIBRARY.SD3Transformer2DModel(
                sample_size=32,
                patch_size=1,
                in_channels=4,
                out_channels=4,
                num_layers=1,
                attention_head_dim=4,
                num_attention_heads=2,
                caption_projection_dim=8,
                joint_attention_dim=16,
                pooled_projection_dim=16,
            ),
        ),
    )


def save_sana(folder: Path, pipeline: str = "SanaPipeline", scheduler: Any = None, **options: Any) -> None:
    torch.manual_seed(0)
    words = save_word_tokenizer(folder / "tokenizer")
    save(
        folder,
        getattr(LIBRARY, pipeline)(
            tokenizer=TEXT.AutoTokenizer.from_pretrained(folder / "tokenizer"),
            text_encoder=gemma_text(words),
            vae=deep_autoencoder(),
            transformer=LIBRARY.SanaTransformer2DModel(
                patch_size=1,
                in_channels=4,
                out_channels=4,
                num_layers=1,
                num_attention_heads=2,
                attention_head_dim=4,
                num_cross_attention_heads=2,
                cross_attention_head_dim=4,
                cross_attention_dim=8,
                caption_channels=8,
                sample_size=32,
                **options,
            ),
            scheduler=scheduler or LIBRARY.FlowMatchEulerDiscreteScheduler(shift=3.0),
        ),
    )


def save_sana_sprint(folder: Path) -> None:
    save_sana(
        folder,
        "SanaSprintPipeline",
        LIBRARY.SCMScheduler(),
        guidance_embeds=True,
        qk_norm="rms_norm_across_heads",
    )


SAVERS: dict[str, Callable[[Path], None]] = {
    "flux-dev": save_flux_dev,
    "flux-schnell": save_flux_schnell,
    "latent-consistency": save_latent_consistency,
    "sana": save_sana,
    "sana-sprint": save_sana_sprint,
    "sd3": save_sd3,
    "sdxl": save_sdxl,
    "sdxl-consistency": save_sdxl_consistency,
    "sdxl-turbo": save_sdxl_turbo,
    "stable-diffusion": save_stable_diffusion,
}
"""One tiny pipeline of each family, by name."""
