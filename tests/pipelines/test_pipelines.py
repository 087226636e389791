"""Pipelines of every family: what Coterie draws and trains is what diffusers and PEFT draw with the same adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from peft import PeftModel
from safetensors.torch import save_file

from coterie.bank.bank import Bank
from coterie.bank.denoise import Request, sample
from coterie.bank.fit import FitJob, fit
from coterie.core.adapter import Adapter, Layout, LowRank
from coterie.core.errors import UserError
from coterie.core.work import Fit
from coterie.models import pipeline_files
from coterie.models.adapter_files import adaptable, by_component, read_file, written
from coterie.models.backbones.pipeline import Named, Pipeline, PipelineSettings
from coterie.models.peft_files import peft_files
from coterie.models.pipeline_files import is_adapter_file, quiet
from coterie.models.targets import layout_of

FAMILIES = ("stable_diffusion", "stable_diffusion_xl", "pixart", "stable_diffusion_3", "flux")
SIDES = {"flux": 32}  # its network does not say what it was made for
STEPS, GUIDANCE, PROMPT = 5, 20.0, "a red fox, sitting"


@pytest.fixture(params=FAMILIES)
def backbone(request: Any, saved: dict[str, Path]) -> Pipeline:
    return PipelineSettings(str(saved[request.param]), side=SIDES.get(request.param, 0)).load(torch.float32, 0)


def random_adapter(backbone: Pipeline, targets: str = "all", strength: float = 0.3, seed: int = 1) -> Adapter:
    layout = backbone.layout(3, 6.0, targets)
    return Adapter(layout, strength * torch.randn(layout.size, generator=torch.Generator().manual_seed(seed)))


def drawn(backbone: Pipeline, adapter: Adapter | None, seed: int = 3) -> np.ndarray:
    bank = Bank(backbone, (adapter or random_adapter(backbone)).layout, 1)
    try:
        mix = ((adapter, 1.0),) if adapter else ()
        return sample(bank, [Request(PROMPT, mix, seed, STEPS, GUIDANCE)], width=2)[0]
    finally:
        bank.close()


def by_diffusers(folder: str, backbone: Pipeline, load: Any = lambda pipe: None, seed: int = 3) -> np.ndarray:
    """The same picture by the pipeline itself, from the same noise."""
    with quiet():
        pipe = DiffusionPipeline.from_pretrained(folder)
        if not type(pipe.scheduler).__name__.startswith("FlowMatch"):
            clip = pipe.scheduler.config.get("clip_sample", False)
            pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=clip)
        load(pipe)
        pipe.set_progress_bar_config(disable=True)
        latents = backbone.noise([seed])
        if "Flux" in type(pipe).__name__:
            latents = pipe._pack_latents(latents, *latents.shape)
        more = {"use_resolution_binning": False} if "PixArt" in type(pipe).__name__ else {}
        return pipe(
            PROMPT, latents=latents, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
            height=backbone.side, width=backbone.side, output_type="np", **more,
        ).images[0]  # fmt: skip


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert np.abs(ours / 255 - theirs).max() < 1.5 / 255


def test_bare_pictures_are_the_pipelines_own(backbone: Pipeline) -> None:
    ours = drawn(backbone, None)
    assert ours.std() > 5
    assert_same(ours, by_diffusers(backbone.settings.path, backbone))


# diffusers' PixArt pipelines load no adapters (the test through PEFT covers them), and kohya's layout only for U-Nets
LOADED = [(family, "diffusers") for family in FAMILIES if family != "pixart"]
LOADED += [(family, "kohya") for family in ("stable_diffusion", "stable_diffusion_xl")]


@pytest.mark.parametrize(("backbone", "layout"), LOADED, indirect=["backbone"])
def test_an_exported_adapter_draws_the_same_in_diffusers(backbone: Pipeline, layout: str, tmp_path: Path) -> None:
    # diffusers reads kohya's names of attention; those of time embeddings and convolutions it does not know
    adapter = random_adapter(backbone) if layout == "diffusers" else random_adapter(backbone, "attention", 2.0)
    (tmp_path / "a.safetensors").write_bytes(written(adapter, layout, backbone.component))
    ours = drawn(backbone, adapter)
    assert np.abs(ours.astype(int) - drawn(backbone, None)).max() > 3
    assert_same(ours, by_diffusers(
        backbone.settings.path, backbone, lambda pipe: pipe.load_lora_weights(str(tmp_path / "a.safetensors"))
    ))  # fmt: skip


def test_an_exported_adapter_draws_the_same_through_peft(backbone: Pipeline, tmp_path: Path) -> None:
    adapter = random_adapter(backbone)
    for name, data in peft_files(adapter).items():
        (tmp_path / name).write_bytes(data)

    def load(pipe: Any) -> None:
        network = getattr(pipe, backbone.component)
        PeftModel.from_pretrained(network, tmp_path)  # puts its layers into the network itself

    assert_same(drawn(backbone, adapter), by_diffusers(backbone.settings.path, backbone, load))


@pytest.mark.parametrize("layout", ["diffusers", "kohya", "comfy"])
def test_files_are_read_again_to_the_same_numbers(backbone: Pipeline, layout: str, tmp_path: Path) -> None:
    adapter = random_adapter(backbone)
    (tmp_path / "a.safetensors").write_bytes(written(adapter, layout, backbone.component))
    got = read_file(
        tmp_path / "a.safetensors", adaptable(backbone.network), backbone.digest, backbone.component
    ).adapter
    assert torch.equal(got.row, adapter.row)
    assert got.layout == adapter.layout


def test_clients_in_one_pass_train_as_alone(backbone: Pipeline) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 3, backbone.side, backbone.side, 3), dtype=np.uint8)
    rows = [backbone.prepare(some, ["a cat", "a dog", "a hen"]) for some in pixels]
    layout = backbone.layout(2, 2.0, "all")
    jobs = [FitJob(f"c{i}", layout.start(0), Fit(steps=4, batch=2), rows[i], 7 + i) for i in range(2)]
    results = {}
    for width in (1, 2):
        bank = Bank(backbone, layout, width)
        results[width] = fit(bank, jobs)
        bank.close()
    for alone, together in zip(results[1], results[2], strict=True):
        assert alone.numbers["loss/last"] != alone.numbers["loss/first"]
        moved = (alone.adapter.row - layout.start(0).row).abs()
        assert moved.max() > 1e-4
        assert torch.quantile((alone.adapter.row - together.adapter.row).abs(), 0.9) < 1e-3 * moved.max()


def test_block_checkpointing_changes_no_gradient(saved: dict[str, Path]) -> None:
    for family in FAMILIES:
        results = []
        for checkpointing in (False, True):
            how = "on" if checkpointing else "off"
            model = PipelineSettings(str(saved[family]), side=SIDES.get(family, 0), checkpointing=how).load(
                torch.float32, 0
            )
            pixels = np.random.default_rng(0).integers(0, 256, (2, model.side, model.side, 3), dtype=np.uint8)
            layout = model.layout(2, 2.0, "attention")
            bank = Bank(model, layout, 1)
            job = FitJob("c", layout.start(0), Fit(steps=2, batch=2), model.prepare(pixels, ["a", "b"]), 7)
            results.append(fit(bank, [job])[0].adapter.row)
            bank.close()
        assert torch.allclose(results[0], results[1], atol=1e-6), family


def test_encodings_outlive_the_encoders(backbone: Pipeline) -> None:
    before = backbone.encode([PROMPT])
    backbone.free()
    assert backbone._pipe is None
    assert all(torch.equal(value, backbone.encode([PROMPT])[name]) for name, value in before.items())
    assert backbone._pipe is None
    assert backbone.finish(backbone.noise([0])).shape == (1, backbone.side, backbone.side, 3)


def test_the_type_of_loading_does_not_change_the_digest(saved: dict[str, Path]) -> None:
    settings = PipelineSettings(str(saved["stable_diffusion"]))
    assert settings.load(torch.float32, 0).digest == settings.load(torch.bfloat16, 0).digest


def test_targets_by_pattern(backbone: Pipeline) -> None:
    keys = backbone.layout(2, 2.0, r"to_[kv]$").parts
    assert {part.name[-4:] for part in keys} == {"to_k", "to_v"}
    with pytest.raises(UserError, match=r"did you mean 'attention'.*layers are: "):
        backbone.layout(2, 2.0, "atention")
    with pytest.raises(UserError, match="no regular expression"):
        backbone.layout(2, 2.0, "to_(k")


class TestTextEncoders:
    @pytest.fixture(params=["stable_diffusion", "stable_diffusion_xl"])
    def told(self, request: Any, saved: dict[str, Path]) -> Pipeline:
        return PipelineSettings(str(saved[request.param]), text_encoders=True).load(torch.float32, 0)

    def test_bare_pictures_are_the_pipelines_own(self, told: Pipeline) -> None:
        assert_same(drawn(told, None), by_diffusers(told.settings.path, told))

    @pytest.mark.parametrize("layout", ["diffusers", "kohya"])
    def test_an_exported_adapter_draws_the_same_in_diffusers(self, told: Pipeline, layout: str, tmp_path: Path) -> None:
        adapter = random_adapter(told, "attention", 2.0)
        assert any(part.name.startswith("text_encoder.text_model.encoder") for part in adapter.layout.parts)
        (tmp_path / "a.safetensors").write_bytes(written(adapter, layout, told.component))
        ours = drawn(told, adapter)
        without = by_component(adapter, told.component)[told.component]
        assert np.abs(ours.astype(int) - drawn(told, without)).max() > 2
        assert_same(ours, by_diffusers(
            told.settings.path, told, lambda pipe: pipe.load_lora_weights(str(tmp_path / "a.safetensors"))
        ))  # fmt: skip
        again = read_file(tmp_path / "a.safetensors", adaptable(told.network), told.digest, told.component).adapter
        assert torch.equal(again.row, adapter.row)

    def test_training_moves_them(self, told: Pipeline) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (2, told.side, told.side, 3), dtype=np.uint8)
        layout = told.layout(2, 2.0, r"text_encoder.*q_proj$")
        bank = Bank(told, layout, 1)
        result = fit(
            bank, [FitJob("c", layout.start(0), Fit(steps=3, batch=2), told.prepare(pixels, ["a cat", "b"]), 7)]
        )[0]
        bank.close()
        assert (result.adapter.row - layout.start(0).row).abs().max() > 1e-4

    def test_other_families_say_so(self, saved: dict[str, Path]) -> None:
        with pytest.raises(UserError, match="text encoders of this family cannot be adapted"):
            PipelineSettings(str(saved["pixart"]), text_encoders=True).load(torch.float32, 0)


def test_the_real_shapes_have_the_published_sizes() -> None:
    """Stable Diffusion 1.5 at rank 8: attention alone, and what kohya's trainer adapts, with the text encoder."""
    import transformers
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        network = UNet2DConditionModel(
            sample_size=64, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768, attention_head_dim=8
        )
        encoder = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
            )
        )
    assert layout_of(network, "x", 8, 8.0, "attention").size == 1_594_368
    network.add_module("text_encoder", Named(encoder))
    layout = layout_of(network, "x", 8, 8.0, "transformer")
    assert (len(layout.parts), layout.size) == (264, 4_718_592)


class TestRefusals:
    def test_an_unknown_pipeline_is_named_with_what_there_is(self, tmp_path: Path) -> None:
        (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "KandinskyPipeline"}))
        with pytest.raises(UserError, match=r"KandinskyPipeline, which no family here knows; there are: .*XLPipeline"):
            PipelineSettings(str(tmp_path)).load(torch.float32, 0)

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"no model_index.json"):
            PipelineSettings(str(tmp_path)).load(torch.float32, 0)

    def test_files_that_can_run_code(self) -> None:
        with pytest.raises(UserError, match="can run code"):
            PipelineSettings("model.ckpt").load(torch.float32, 0)

    def test_a_side_that_does_not_divide(self, saved: dict[str, Path]) -> None:
        with pytest.raises(UserError, match=r"backbone\.side: 30 is no multiple of 4"):
            PipelineSettings(str(saved["pixart"]), side=30).load(torch.float32, 0)

    @pytest.mark.parametrize("layout", ["kohya", "comfy", "diffusers", "peft"])
    def test_a_lora_is_named_as_one_and_as_what_to_do_with_it(self, tmp_path: Path, layout: str) -> None:
        part = LowRank("down_blocks.0.attentions.0.proj_in", 4, 4, 2, 1.0)
        adapter = Layout("c0ffee", (part,)).start(0)
        path = tmp_path / "her lora"
        if layout == "peft":
            path.mkdir()
            for name, data in peft_files(adapter).items():
                (path / name).write_bytes(data)
        else:
            path = path.with_suffix(".safetensors")
            path.write_bytes(written(adapter, layout))
        with pytest.raises(UserError) as told:
            PipelineSettings(str(path)).load(torch.float32, 0)
        assert str(told.value).startswith(f"backbone.path: {path}: is a LoRA f")
        assert f"coterie import '{path}' --backbone MODEL --out FOLDER" in str(told.value)
        assert "\n" not in str(told.value)

    def test_a_checkpoint_is_not_taken_for_a_lora(self, checkpoint: Path, tmp_path: Path) -> None:
        assert not is_adapter_file(str(checkpoint))
        save_file({"x.alpha": torch.ones(1)}, tmp_path / "x.safetensors")
        assert not is_adapter_file(str(tmp_path / "x.safetensors"))

    def test_a_path_that_leads_nowhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for path in (str(tmp_path / "none"), "models/my/sdxl"):
            with pytest.raises(UserError, match=r"no such folder; wanted a folder, a \.safetensors file or an id"):
                PipelineSettings(path).load(torch.float32, 0)
        with pytest.raises(UserError, match="not in this machine's cache, and the hub cannot be reached"):
            PipelineSettings("owner/name").load(torch.float32, 0)
        monkeypatch.setattr(pipeline_files, "is_kept", lambda *words: True)
        asked: dict[str, Any] = {}

        def load_config(path: str, **more: Any) -> dict[str, Any]:
            asked.update(more)
            return {"_class_name": "KandinskyPipeline"}

        monkeypatch.setattr("diffusers.DiffusionPipeline.load_config", load_config)
        with pytest.raises(UserError, match="KandinskyPipeline"):
            PipelineSettings("owner/name").load(torch.float32, 0)
        assert asked == {"local_files_only": True}

    def test_missing_weights(self, saved: dict[str, Path], tmp_path: Path) -> None:
        import shutil

        shutil.copytree(saved["pixart"], tmp_path / "p")
        (tmp_path / "p" / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
        with pytest.raises(UserError, match="cannot be opened"):
            PipelineSettings(str(tmp_path / "p")).load(torch.float32, 0)


class TestOneFile:
    def test_a_checkpoint_of_one_file_is_the_same_model(self, saved: dict[str, Path], checkpoint: Path) -> None:
        folder = PipelineSettings(str(saved["stable_diffusion"])).load(torch.float32, 0)
        single = PipelineSettings(str(checkpoint)).load(torch.float32, 0)
        assert single.digest == folder.digest
        assert np.array_equal(drawn(single, None), drawn(folder, None))
        rows = [model.encode([PROMPT])["states"] for model in (folder, single)]
        assert torch.equal(*rows)

    def test_settings_from_a_named_folder(self, saved: dict[str, Path], checkpoint: Path, tmp_path: Path) -> None:
        import shutil

        shutil.copy(checkpoint, tmp_path / "alone.safetensors")
        model = PipelineSettings(str(tmp_path / "alone.safetensors"), str(checkpoint.with_suffix("")))
        assert model.load(torch.float32, 0).side == 32

    def test_without_settings_it_says_where_they_would_go(self, checkpoint: Path, tmp_path: Path) -> None:
        import shutil

        shutil.copy(checkpoint, tmp_path / "alone.safetensors")
        with pytest.raises(UserError, match=r"name a folder with them in backbone\.config"):
            PipelineSettings(str(tmp_path / "alone.safetensors")).load(torch.float32, 0)


def test_an_autoencoder_that_runs_out_of_memory_goes_on_in_pieces(saved: dict[str, Path]) -> None:
    model = PipelineSettings(str(saved["stable_diffusion"])).load(torch.float32, 0)
    pixels = np.random.default_rng(0).integers(0, 256, (3, model.side, model.side, 3), dtype=np.uint8)
    wanted, vae = model.prepare(pixels, ["a"] * 3)["x0"], model.pipe.vae
    encode, decode, seen = vae._encode, vae.decode, []

    def cramped(x: torch.Tensor, *rest: Any) -> Any:
        seen.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError("no room left on the device")
        return encode(x, *rest)

    vae._encode = cramped
    got = model.prepare(pixels, ["a"] * 3)["x0"]
    assert vae.use_slicing
    assert seen == [2, 1, 1, 1, 1]  # two in a call, and the last of an odd number twice
    assert torch.allclose(got, wanted, atol=1e-4)
    picture = model.finish(wanted[:1])

    def never(*_: Any, **__: Any) -> Any:
        if not vae.use_tiling:
            raise torch.OutOfMemoryError("no room left on the device")
        return decode(*_, **__)

    vae.decode = never
    assert (model.finish(wanted[:1]) == picture).all()  # so small a picture is one piece
    vae.decode = lambda *_, **__: (_ for _ in ()).throw(torch.OutOfMemoryError("no room left on the device"))
    with pytest.raises(UserError, match="the autoencoder does not fit into memory: no room"):
        model.finish(wanted[:1])
