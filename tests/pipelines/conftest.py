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
    FluxPipeline,
    FluxTransformer2DModel,
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

FAMILIES = ("stable_diffusion", "stable_diffusion_xl", "pixart", "stable_diffusion_3", "flux")
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


def flux(folder: Path) -> Any:
    tokenizer = clip_tokenizer(folder / "made-1")
    second, encoder = t5(folder / "made-2")
    network = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=WIDTH, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    )  # fmt: skip
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0), vae=vae(shift_factor=0.1),
        text_encoder=clip(tokenizer), tokenizer=tokenizer, text_encoder_2=encoder, tokenizer_2=second,
        transformer=network,
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


def as_one_file(folder: Path, path: Path) -> Path:
    """The tiny Stable Diffusion as one checkpoint, with the names that such files have had since 2022."""
    from safetensors.torch import load_file, save_file

    out = {}
    for name, value in load_file(folder / "unet" / "diffusion_pytorch_model.safetensors").items():
        out[f"model.diffusion_model.{_renamed(name, UNET_PLACES, UNET_LAYERS)}"] = value
    for name, value in load_file(folder / "vae" / "diffusion_pytorch_model.safetensors").items():
        new = _renamed(name, VAE_PLACES, VAE_LAYERS)
        attention = ".attn_1." in new and new.endswith("weight") and ".norm." not in new
        out[f"first_stage_model.{new}"] = value[:, :, None, None] if attention else value
    for name, value in load_file(folder / "text_encoder" / "model.safetensors").items():
        kept = name if name.startswith("text_model.") else f"text_model.{name}"
        out[f"cond_stage_model.transformer.{kept}"] = value
    save_file({name: value.contiguous() for name, value in out.items()}, path)
    return path


UNET_PLACES = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    "down_blocks.0.resnets.0": "input_blocks.1.0", "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    "down_blocks.1.resnets.0": "input_blocks.3.0", "down_blocks.1.attentions.0": "input_blocks.3.1",
    "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "up_blocks.0.resnets.0": "output_blocks.0.0", "up_blocks.0.attentions.0": "output_blocks.0.1",
    "up_blocks.0.resnets.1": "output_blocks.1.0", "up_blocks.0.attentions.1": "output_blocks.1.1",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv",
    "up_blocks.1.resnets.0": "output_blocks.2.0", "up_blocks.1.resnets.1": "output_blocks.3.0",
}  # fmt: skip
UNET_LAYERS = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
VAE_PLACES = {
    **{f"{half}.conv_norm_out": f"{half}.norm_out" for half in ("encoder", "decoder")},
    **{
        f"{half}.mid_block.{diffusers}": f"{half}.mid.{old}"
        for half in ("encoder", "decoder")
        for diffusers, old in (("resnets.0", "block_1"), ("resnets.1", "block_2"), ("attentions.0", "attn_1"))
    },
    **{f"encoder.down_blocks.{i}.resnets.{j}": f"encoder.down.{i}.block.{j}" for i in (0, 1) for j in (0,)},
    **{f"decoder.up_blocks.{i}.resnets.{j}": f"decoder.up.{1 - i}.block.{j}" for i in (0, 1) for j in (0, 1)},
    "encoder.down_blocks.0.downsamplers.0": "encoder.down.0.downsample",
    "decoder.up_blocks.0.upsamplers.0": "decoder.up.1.upsample",
}
VAE_LAYERS = {
    "conv_shortcut": "nin_shortcut", "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v",
    "to_out.0": "proj_out",
}  # fmt: skip


def _renamed(name: str, places: dict[str, str], layers: dict[str, str]) -> str:
    for place in sorted(places, key=len, reverse=True):
        if name.startswith(f"{place}."):
            rest = name[len(place) :]
            if ".resnets." in name or ".attentions." in name:
                for new, old in layers.items():
                    if rest.startswith(f".{new}."):
                        rest = f".{old}{rest[len(new) + 1 :]}"
                        break
            return places[place] + rest
    return name


@pytest.fixture(scope="session")
def checkpoint(saved: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file; its settings lie beside it in a folder of its name, without weights."""
    import shutil

    place = tmp_path_factory.mktemp("one-file")
    shutil.copytree(saved["stable_diffusion"], place / "tiny", ignore=shutil.ignore_patterns("*.safetensors"))
    return as_one_file(saved["stable_diffusion"], place / "tiny.safetensors")
