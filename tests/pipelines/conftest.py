"""Pipelines of every family with random weights, as small as their classes allow, saved as diffusers saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from coterie.models.pipeline_files import quiet

FAMILIES = ("stable_diffusion", "stable_diffusion_xl", "pixart", "stable_diffusion_3")
WIDTH = 16


def clip_tokenizer(folder: Path) -> Any:
    """Letters only: every word is cut into them."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789,.'"
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def clip(tokenizer: Any, projected: bool = False, width: int = WIDTH) -> Any:
    config = transformers.CLIPTextConfig(
        hidden_size=width, intermediate_size=32, projection_dim=width, num_attention_heads=2, num_hidden_layers=2,
        vocab_size=len(tokenizer), bos_token_id=len(tokenizer) - 2, eos_token_id=len(tokenizer) - 1, pad_token_id=1,
    )  # fmt: skip
    return (transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel)(config)


def t5(folder: Path) -> tuple[Any, Any]:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    letters = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -2.0)]
    letters += [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz0123456789,.'"]
    plain = Tokenizer(models.Unigram(letters, unk_id=2))
    plain.pre_tokenizer = pre_tokenizers.Metaspace()
    plain.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    folder.mkdir(parents=True)
    plain.save(str(folder / "tokenizer.json"))
    tokenizer = transformers.T5TokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), model_max_length=512, extra_ids=0
    )
    config = transformers.T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=32, num_layers=2, num_heads=2, is_encoder_decoder=False
    )
    return tokenizer, transformers.T5EncoderModel(config)


def vae(channels: int = 4, **more: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2, latent_channels=channels,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4, sample_size=32, **more,
    )  # fmt: skip


def unet(**more: Any) -> UNet2DConditionModel:
    settings = {
        "sample_size": 16, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "attention_head_dim": 2,
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "cross_attention_dim": WIDTH,
    }  # fmt: skip
    return UNet2DConditionModel(**{**settings, **more})


def stable_diffusion(folder: Path, scheduler: Any = None) -> Any:
    tokenizer = clip_tokenizer(folder / "made-tokenizer")
    table = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return StableDiffusionPipeline(
        vae=vae(), text_encoder=clip(tokenizer), tokenizer=tokenizer, unet=unet(),
        scheduler=scheduler or PNDMScheduler(skip_prk_steps=True, steps_offset=1, **table),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def stable_diffusion_xl(folder: Path) -> Any:
    one, two = clip_tokenizer(folder / "made-1"), clip_tokenizer(folder / "made-2")
    network = unet(
        cross_attention_dim=2 * WIDTH, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH, use_linear_projection=True,
    )  # fmt: skip
    table = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
    return StableDiffusionXLPipeline(
        vae=vae(scaling_factor=0.13025), text_encoder=clip(one), text_encoder_2=clip(two, True), tokenizer=one,
        tokenizer_2=two, unet=network,
        scheduler=DDIMScheduler(steps_offset=1, set_alpha_to_one=False, prediction_type="v_prediction", **table),
    )  # fmt: skip


def pixart(folder: Path) -> Any:
    tokenizer, encoder = t5(folder / "made")
    network = PixArtTransformer2DModel(
        num_attention_heads=3, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=2,
        cross_attention_dim=24, sample_size=128, patch_size=8, caption_channels=32, use_additional_conditions=True,
    )  # fmt: skip
    return PixArtAlphaPipeline(
        tokenizer=tokenizer, text_encoder=encoder, vae=vae(), transformer=network,
        scheduler=DPMSolverMultistepScheduler(timestep_spacing="leading"),
    )  # fmt: skip


def stable_diffusion_3(folder: Path) -> Any:
    one, two = clip_tokenizer(folder / "made-1"), clip_tokenizer(folder / "made-2")
    three, encoder = t5(folder / "made-3")
    network = SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=2 * WIDTH, out_channels=4,
        qk_norm="rms_norm", dual_attention_layers=(0,), pos_embed_max_size=16,
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=network, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(shift_factor=0.06, scaling_factor=1.5), text_encoder=clip(one, True), tokenizer=one,
        text_encoder_2=clip(two, True), tokenizer_2=two, text_encoder_3=encoder, tokenizer_3=three,
    )  # fmt: skip


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for every family."""
    root = tmp_path_factory.mktemp("pipelines")
    folders = {}
    for number, family in enumerate(FAMILIES):
        torch.manual_seed(number)
        with quiet():
            pipe = globals()[family](root / f"{family}-parts")
            for name, part in pipe.components.items():
                if isinstance(part, torch.nn.Module) and name in ("unet", "transformer"):
                    for parameter in part.parameters():  # the output layers are zero in a new model
                        torch.nn.init.normal_(parameter, std=0.08)
            folders[family] = root / family
            pipe.save_pretrained(folders[family])
    return folders
