"""Pipeline: a text-to-image pipeline of diffusers as a backbone, from a folder, a hub id or a single checkpoint file.

What is particular to a family of models is one file in ``coterie.models.families``. Noise, scale of the latents,
encoders and autoencoder are the pipeline's own. Only the denoiser stays in memory: pictures and captions are encoded
once, then encoders and autoencoder are let go of, and loaded again when something is to be drawn.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from numpy.typing import NDArray
from torch import Tensor, nn

from coterie.core.adapter import Layout
from coterie.core.allocator import give_back_freed_memory
from coterie.core.errors import UserError
from coterie.core.place import Place
from coterie.core.room import with_room
from coterie.core.size import Size
from coterie.core.work import EVERY_LEVEL, Levels
from coterie.models import flow
from coterie.models.backbone import Beside, Makes, Rows
from coterie.models.batches import drawn, fixed, made_up, paired
from coterie.models.buried import noised
from coterie.models.digest import digest_of
from coterie.models.encoders.minilm import minilm
from coterie.models.noise import noise_of
from coterie.models.packed import KINDS, pack, require_extra, weight_bytes
from coterie.models.pipeline_files import Source, quiet
from coterie.models.shelves import BACKBONES, Family
from coterie.models.targets import layout_of
from coterie.models.unet_parts import UNetParts

NO_ROOM = "the autoencoder does not fit into memory: {}; lower backbone.side"
AT_ONCE = 4  # captions encoded in one call
PICTURES_AT_ONCE = 2  # encoded in one call; a pass over two is large already, and its numbers are those over four
USUAL_SIZE = 128  # latents a side where a network does not say what it was made for
SAMPLED = 4096  # numbers of each tensor that go into a digest


@BACKBONES.register("pipeline")
@dataclass(frozen=True)
class PipelineSettings:
    """A model of diffusers.

    Attributes:
        path: folder in diffusers' layout, id on the Hugging Face hub, or a single ``.safetensors`` checkpoint.
        config: for a single checkpoint: folder with the settings and tokenizers of its kind, weights not needed.
        revision: of a hub id: branch, tag or commit.
        variant: of the weights' files, like ``fp16``.
        side: height and width of pictures in pixels; 0 is what the model was made for.
        text_encoders: whether the targets are looked for in the text encoders too, which then stay in memory.
        checkpointing: ``on`` keeps only what enters each block of the network for the backward pass and computes the
            rest again: less memory, about a third more time; ``auto`` does so where memory asks for it.
        quantise: frozen linear layers of the network in 8 bits (``int8``) or 4 (``nf4``), by bitsandbytes, an extra;
            ``auto`` does so where memory asks for it. Adapters stay in float32 and belong to the same backbone.
    """

    embedded: ClassVar = False

    path: Annotated[str, Place(or_id=True)]
    config: Annotated[str, Place(or_id=True)] = ""
    revision: str = ""
    variant: str = ""
    side: Annotated[int, Ge(0), Le(4096)] = 0
    text_encoders: bool = False
    checkpointing: Literal["auto", "on", "off"] = "auto"
    quantise: Literal["auto", "none", "int8", "nf4"] = "auto"

    def load(self, dtype: torch.dtype, tokens: int, device: str = "cpu") -> Pipeline:
        return Pipeline(self, dtype, device)


class Pipeline:
    """A diffusers pipeline, frozen.

    Args:
        settings: where it is.
        dtype: of weights and activations of denoiser and encoders; the autoencoder always computes in float32.
        device: torch's name of it; what goes in and comes out is on the CPU.

    Attributes:
        family: how its denoiser is asked.
        path: its noise.
    """

    makes: Makes = "pictures"

    def __init__(self, settings: PipelineSettings, dtype: torch.dtype = torch.float32, device: str = "cpu") -> None:
        self.settings, self.dtype, self.device = settings, dtype, device
        if settings.quantise in KINDS:
            require_extra(f"backbone.quantise: {settings.quantise}")
        self._source = Source(settings.path, settings.config, settings.revision, settings.variant)
        whole, self.family = self._source.open(dtype)
        self.component = self.family.component
        network: Any = getattr(whole, self.component)
        if refusal := self.family.refusal(network.config):
            raise UserError(f"backbone.path: {settings.path}: {refusal}; such a model is not supported")
        channels = int(whole.vae.config.latent_channels)
        if (taken := self.family.channels(network.config)) != channels:
            raise UserError(
                f"backbone.path: {settings.path}: its network takes {taken} channels, its "
                f"autoencoder makes {channels}; models for inpainting or editing are not supported"
            )
        factor = 2 ** (len(whole.vae.config.block_out_channels) - 1)
        self.side = settings.side or int(network.config.get("sample_size") or USUAL_SIZE) * factor
        if self.side % (factor * 2):
            raise UserError(f"backbone.side: {self.side} is no multiple of {factor * 2}, which this model needs")
        self.multiple = factor * self.family.multiple(network.config)
        self.path = noise_of(whole.scheduler)
        self._factor, self._channels = factor, channels
        # bfloat16 of a weight is the same whether it was loaded in that type or in float32
        self.digest = digest_of(network, torch.bfloat16, SAMPLED)
        if settings.text_encoders:
            attach_encoders(network, whole, self.family, settings.path)
        self.num_parameters = sum(p.numel() for p in network.parameters())
        if settings.quantise in KINDS:  # after the digest: it is the same backbone, only seen less sharply
            pack(network, settings.quantise)
            give_back_freed_memory()
        self.network = prepared_network(network, device, settings.checkpointing == "on")
        setattr(whole, self.component, None)
        self._pipe: Any = whole
        self._shift, self._scale = float(whole.vae.config.get("shift_factor") or 0), whole.vae.config.scaling_factor
        self._known: dict[str, Rows] = {}
        unconditional = functools.partial(self.family.unconditional, side=self.side)
        self._empty: Rows = self.encode([""]) if settings.text_encoders else self._encoded(unconditional)

    def layout(self, rank: int, alpha: float, targets: str) -> Layout:
        return layout_of(self.network, self.digest, rank, alpha, targets)

    @torch.no_grad()
    def prepare(self, pixels: NDArray[np.uint8], captions: Sequence[str]) -> Rows:
        """``x0``: the middle of the autoencoder's answer, scaled as the pipeline does; and the encoded captions."""
        vae, latents = self._vae(), []
        # one picture by itself is laid out in memory otherwise than several, and one such client in a pass would choose
        # other kernels for all: the last of an odd number is encoded twice
        given = np.concatenate([pixels, pixels[-1:]]) if len(pixels) % PICTURES_AT_ONCE else pixels
        for start in range(0, len(given), PICTURES_AT_ONCE):
            x = torch.from_numpy(np.array(given[start : start + PICTURES_AT_ONCE])).movedim(-1, 1).float() / 127.5 - 1
            encode = functools.partial(vae.encode, x.contiguous().to(self.device))
            latents.append(with_room(encode, lambda: roomier(vae), NO_ROOM).latent_dist.mode().cpu())
        height, width = pixels.shape[1:3]
        x0 = torch.cat(latents)[: len(pixels)] if latents else torch.zeros(0, *self._latent((height, width)))
        return {"x0": (x0 - self._shift) * self._scale, **self.family.shaped(self.encode(captions), height, width)}

    def examples(self, count: int) -> Rows:
        return self.prepare(*made_up(count, self.side))

    def draw(
        self, prepared: Rows, batch: int, drop: float, generator: torch.Generator, levels: Levels = EVERY_LEVEL
    ) -> Rows:
        empty = self._shaped(self._empty, prepared["x0"])
        return drawn(prepared, empty, self.path, batch, drop, generator, levels)

    def levels(self, wanted: int) -> int:
        return wanted

    def fixed(self, prepared: Rows, levels: int, seed: int) -> Rows:
        return fixed(prepared, self.path, levels, seed)

    def losses(self, rows: Rows) -> Tensor:
        rows = {name: value.to(self.device) for name, value in rows.items()}
        x, target, counts = noised(rows, self.path)
        loss = (self._predicted(x, rows["level"], rows).float() - target).square().flatten(1).mean(1)
        return loss if counts is None else counts * loss

    def encode(self, prompts: Sequence[str]) -> Rows:
        """The family's conditions, one row a prompt; remembered, because the encoders are not always there."""
        new = [text for text in dict.fromkeys(prompts) if text not in self._known]
        for start in range(0, len(new), AT_ONCE):
            some = new[start : start + AT_ONCE]
            # always a full call, so that a caption's numbers do not depend on how many came with it
            full = some + [""] * (AT_ONCE - len(some))
            how = self.family.tokens if self.settings.text_encoders else self.family.conditions
            rows = self._encoded(functools.partial(how, prompts=full, side=self.side))
            for i, text in enumerate(some):
                self._known[text] = {name: value[i : i + 1].clone() for name, value in rows.items()}
        return {
            name: torch.cat([self._known[text][name] for text in prompts]) if len(prompts) else value[:0]
            for name, value in (self._known[prompts[0]] if len(prompts) else self._empty).items()
        }

    def pooled(self, texts: Sequence[str]) -> Tensor:
        """By MiniLM, whatever the pipeline: wishes of people with different models can then be compared."""
        return torch.cat([row.pooled for row in minilm().alone(texts)])

    def noise(self, seeds: Sequence[int], size: Size | None = None) -> Tensor:
        shape = self._latent(size)
        return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])

    def grid(self, steps: int, size: Size | None = None) -> Tensor:
        _, height, width = self._latent(size)
        return self.path.grid(steps, (height // 2) * (width // 2))

    @torch.no_grad()
    def step(self, x: Tensor, prompts: Rows, sigma: Tensor, sigma_next: Tensor, guidance: Tensor) -> Tensor:
        prompts, empty = self._shaped(prompts, x), self._shaped(self._empty, x)
        if self.family.distilled:
            rows = {name: value.to(self.device) for name, value in {**prompts, "guidance": guidance}.items()}
            answer = self._predicted(x.to(self.device), sigma, rows).float().cpu()
            return self.path.step(x, answer, sigma, sigma_next)
        pairs = {name: value.to(self.device) for name, value in paired(prompts, empty).items()}
        out = self._predicted(x.repeat_interleave(2, 0).to(self.device), sigma.repeat_interleave(2), pairs)
        told, untold = out.float().cpu().view(-1, 2, *out.shape[1:]).unbind(1)
        return self.path.step(x, flow.guide(told, untold, guidance.view(-1, 1, 1, 1)), sigma, sigma_next)

    @torch.no_grad()
    def finish(self, x: Tensor) -> NDArray[np.uint8]:
        vae, pictures = self._vae(), []
        latents = x / self._scale + self._shift
        for one in latents.split(1):
            decode = functools.partial(vae.decode, one.to(self.device), return_dict=False)
            pictures.append(with_room(decode, lambda: roomier(vae), NO_ROOM)[0].float().cpu())
        pixels = (torch.cat(pictures) / 2 + 0.5).clamp(0, 1)
        return (pixels * 255).round().byte().movedim(1, -1).numpy()

    def sketch(self, checkpointing: bool, quantise: str = "none") -> Pipeline | None:
        bare: Any = self.network
        with torch.device("meta"), quiet():
            network = type(bare).from_config(bare.config)
            for name in self.family.encoders if self.settings.text_encoders else ():
                network.add_module(name, _like(getattr(bare, name)))
            network.to(self.dtype)
        if quantise in KINDS:
            pack(network, quantise)
        twin = copy.copy(self)
        twin.device, twin.network = "meta", prepared_network(network, self.device, checkpointing)
        return twin

    def parts(self, cut: int, shape: str) -> UNetParts:
        return UNetParts(self.network, self.losses, cut)

    def beside(self) -> Beside:
        pipe, side = self.pipe, self.side
        with torch.device("meta"), quiet():
            vae = type(pipe.vae).from_config(pipe.vae.config).eval()
        pictures = torch.empty(PICTURES_AT_ONCE, 3, side, side, device="meta")
        latents = torch.empty(1, *self._latent(), device="meta")
        parts = pipe.components.items()
        # adapted encoders are the network's already
        encoders = [] if self.settings.text_encoders else [part for name, part in parts if is_encoder(name, part)]
        return Beside(
            encoders=sum(map(weight_bytes, encoders)),
            autoencoder=weight_bytes(pipe.vae),
            encode=lambda: vae.encode(pictures).latent_dist.mode(),
            decode=lambda: vae.decode(latents, return_dict=False),
        )

    def free(self) -> None:
        self._pipe = None
        minilm().free()
        give_back_freed_memory()

    @property
    def pipe(self) -> Any:
        """The pipeline without its denoiser, loaded when it is needed."""
        if self._pipe is None:
            self._pipe, _ = self._source.open(self.dtype, without=self.component)
        return self._pipe

    def _latent(self, size: Size | None = None) -> tuple[int, int, int]:
        """Shape of a picture's latent, of the square one's without a size."""
        height, width = size or (self.side, self.side)
        return self._channels, height // self._factor, width // self._factor

    def _shaped(self, rows: Rows, latents: Tensor) -> Rows:
        """Conditions as they are for pictures of the shape that latents have."""
        height, width = (n * self._factor for n in latents.shape[2:])
        return self.family.shaped(rows, height, width)

    def _vae(self) -> Any:
        give_back_freed_memory()  # its passes are large, and want blocks of other sizes than the network's
        return self.pipe.vae.to(self.device)

    @torch.no_grad()
    def _encoded(self, ask: Callable[[Any], Rows]) -> Rows:
        pipe = self.pipe
        for name, part in pipe.components.items():
            if is_encoder(name, part):
                part.to(self.device)
        with quiet():
            return {name: value.cpu() for name, value in ask(pipe).items()}

    def _predicted(self, x: Tensor, level: Tensor, rows: Rows) -> Tensor:
        # only now: while pictures and captions were encoded, the encoders had the device to themselves
        self.network.to(self.device)
        timestep = self.path.timestep(level).to(self.device)
        rows = {name: value.to(self.dtype) if value.is_floating_point() else value for name, value in rows.items()}
        if self.settings.text_encoders:
            rows = self.family.told(self.network, rows)
        return self.family.predict(self.network, x.to(self.dtype), timestep, rows)


def is_encoder(name: str, part: Any) -> bool:
    """Whether a component of a pipeline is a text encoder that is there."""
    return name.startswith("text_encoder") and part is not None


def roomier(vae: Any) -> bool:
    """Lets an autoencoder take one picture at a time, then a piece of it; False when it does both already."""
    if not vae.use_slicing:
        vae.enable_slicing()
    elif not vae.use_tiling:
        vae.enable_tiling()  # seams between pieces are blended: pictures differ a little from whole ones
    else:
        return False
    return True


def prepared_network(network: Any, device: str, checkpointing: bool) -> nn.Module:
    """The denoiser, frozen, as it trains fastest on a kind of device."""
    network.eval().requires_grad_(False)
    if checkpointing:
        network.enable_gradient_checkpointing()
    if device == "cpu" and hasattr(network, "set_attn_processor") and type(network).__name__.startswith("UNet"):
        from diffusers.models.attention_processor import AttnProcessor

        # the fused kernel's backward pass is several times slower on a CPU in bfloat16
        network.set_attn_processor(AttnProcessor())
    module: nn.Module = network
    return module


class Named(nn.Module):
    """A text encoder below ``text_model``, where older versions of transformers and all adapter files have it."""

    def __init__(self, text_model: nn.Module) -> None:
        super().__init__()
        self.text_model = text_model


def attach_encoders(network: nn.Module, pipe: Any, family: Family, path: str) -> None:
    """Hangs the text encoders below the denoiser, by their names in the pipeline."""
    if not family.encoders:
        raise UserError(f"backbone.text_encoders: {path}: text encoders of this family cannot be adapted")
    for name in family.encoders:
        encoder: nn.Module = getattr(pipe, name).eval().requires_grad_(False)
        below = isinstance(getattr(encoder, "text_model", None), nn.Module) and not hasattr(encoder, "encoder")
        network.add_module(name, encoder if below else Named(encoder))


def _like(encoder: Any) -> nn.Module:
    """The same encoder, new, on whatever device is current."""
    if isinstance(encoder, Named):
        return Named(_like(encoder.text_model))
    made: nn.Module = type(encoder)(encoder.config).eval().requires_grad_(False)
    return made
