"""Buckets with pipelines of every family: shapes are told rightly, and a client's numbers are its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from PIL import Image

from coterie.bank.bank import Bank
from coterie.bank.denoise import Request, sample
from coterie.bank.evaluate import EvalJob, evaluate
from coterie.bank.fit import FitJob, fit
from coterie.bank.memory import Way, plan_for
from coterie.bank.peak import training_peak
from coterie.core.adapter import Adapter
from coterie.core.work import Fit
from coterie.data.buckets import Buckets
from coterie.data.table import Table
from coterie.models.backbones.pipeline import Pipeline, PipelineSettings
from coterie.models.pipeline_files import quiet
from coterie.report import make_report
from coterie.report.read import pictures_in
from coterie.runs.build import prepared
from coterie.runs.handle import Run
from coterie.runs.run import start
from coterie.runs.train import training_recipe

FAMILIES = ("stable_diffusion", "stable_diffusion_xl", "pixart", "stable_diffusion_3", "flux")
SIDES = {"flux": 32}
STEPS, GUIDANCE, PROMPT = 3, 20.0, "a red fox, sitting"


@pytest.fixture(params=FAMILIES)
def backbone(request: Any, saved: dict[str, Path]) -> Pipeline:
    return PipelineSettings(str(saved[request.param]), side=SIDES.get(request.param, 0)).load(torch.float32, 0)


def examples(backbone: Pipeline, wanted: list[int], seed: int = 0) -> Any:
    """Prepared pictures of noise: ``wanted`` are places in the order of the buckets."""
    buckets = Buckets(backbone.side, backbone.multiple)
    rng = np.random.default_rng(seed)
    pixels = np.empty(len(wanted), object)
    for i, place in enumerate(wanted):
        pixels[i] = rng.integers(0, 256, (*buckets.sizes[place], 3), dtype=np.uint8)
    return prepared(backbone, buckets, Table(pixels, tuple(f"thing {i}" for i in range(len(wanted)))))


def jobs_for(backbone: Pipeline, steps: int = 6) -> list[FitJob]:
    """Three clients: wide and square, tall only, and one of every shape."""
    layout = backbone.layout(2, 2.0, "attention")
    last = len(Buckets(backbone.side, backbone.multiple).sizes) - 1
    shapes = [[last, last, last // 2], [0, 0], [0, last // 2, last]]
    return [
        FitJob(f"c{k}", layout.start(0), Fit(steps=steps, batch=2, drop=0.3, warmup=2), examples(backbone, own, k), k)
        for k, own in enumerate(shapes)
    ]


def trained(backbone: Pipeline, jobs: list[FitJob], width: int) -> list[torch.Tensor]:
    bank = Bank(backbone, jobs[0].start.layout, width)
    try:
        return [done.adapter.row for done in fit(bank, jobs)]
    finally:
        bank.close()


def test_a_clients_result_depends_on_no_mate_whatever_their_shapes(backbone: Pipeline) -> None:
    jobs = jobs_for(backbone)
    together = trained(backbone, jobs, 3)
    for k, job in enumerate(jobs):
        assert torch.equal(together[k], trained(backbone, [job], 3)[0])
        assert not torch.equal(together[k], job.start.row)
    backwards = trained(backbone, jobs[::-1], 3)[::-1]
    assert all(map(torch.equal, together, backwards))


def test_a_client_with_one_picture_changes_no_mate(backbone: Pipeline) -> None:
    """Without buckets as well: one latent alone lies otherwise in memory, and may not choose kernels for all."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, backbone.side, backbone.side, 3), dtype=np.uint8)
    layout = backbone.layout(2, 2.0, "attention")
    few, many = backbone.prepare(pixels[:1], ["a"]), backbone.prepare(pixels, ["a", "b", "c"])
    jobs = [FitJob(f"c{k}", layout.start(0), Fit(steps=3, batch=2), rows, k) for k, rows in enumerate([few, many])]
    for order in (jobs, jobs[::-1]):
        alone = [trained(backbone, [job], 2)[0] for job in order]
        assert all(map(torch.equal, trained(backbone, order, 2), alone))
    tests = [backbone.fixed(rows, 4, 0) for rows in (few, many)]
    bank = Bank(backbone, layout, 1)
    apart = [evaluate(bank, [EvalJob("x", None, rows)])[0] for rows in tests]
    assert all(map(torch.equal, evaluate(bank, [EvalJob("x", None, rows) for rows in tests]), apart))
    bank.close()


def test_the_width_changes_roundings_only(backbone: Pipeline) -> None:
    jobs = jobs_for(backbone, 4)
    for job, wide, narrow in zip(jobs, trained(backbone, jobs, 3), trained(backbone, jobs, 1), strict=True):
        moved = (narrow - job.start.row).abs()
        assert moved.max() > 1e-4
        assert torch.quantile((wide - narrow).abs(), 0.9) < 1e-3 * moved.max()


def test_squares_alone_in_buckets_are_drawn_as_without(backbone: Pipeline) -> None:
    job = jobs_for(backbone)[0]
    middle = len(job.prepared) // 2
    inside = replace(job, prepared=examples(backbone, [middle] * 3))
    outside = replace(job, prepared=inside.prepared[middle])
    # alone in a bank of its own width, so that spare slots, which other shapes may ask for, play no part
    assert torch.equal(trained(backbone, [inside], 1)[0], trained(backbone, [outside], 1)[0])


def test_what_is_held_out_is_scored_by_shape_and_depends_on_no_mate(backbone: Pipeline) -> None:
    layout = backbone.layout(2, 2.0, "attention")
    adapter = Adapter(layout, 0.3 * torch.randn(layout.size, generator=torch.Generator().manual_seed(1)))
    tests = [tuple(backbone.fixed(some, 4, 0) for some in job.prepared) for job in jobs_for(backbone)]
    bank = Bank(backbone, layout, 1)
    together = evaluate(bank, [EvalJob(f"c{k}", adapter, rows) for k, rows in enumerate(tests)])
    for k, rows in enumerate(tests):
        assert together[k].shape == (4 * (3, 2, 3)[k],)
        assert torch.equal(together[k], evaluate(bank, [EvalJob("x", adapter, rows)])[0])
        apart = [evaluate(bank, [EvalJob("x", adapter, some)])[0] for some in rows]
        assert torch.equal(together[k], torch.cat(apart))
    bank.close()


def test_other_shapes_are_drawn_as_the_pipeline_draws_them(backbone: Pipeline) -> None:
    """Sizes, places of tokens, aspect ratios and levels are what diffusers has for a picture of twice the area."""
    size = height, width = backbone.side, backbone.side * 2
    latents = backbone.noise([4], size)
    bank = Bank(backbone, backbone.layout(2, 2.0, "attention"), 1)
    ours = sample(bank, [Request(PROMPT, (), 4, STEPS, GUIDANCE)], width=1, size=size)[0]
    bank.close()
    with quiet():
        pipe = DiffusionPipeline.from_pretrained(backbone.settings.path)
        if not type(pipe.scheduler).__name__.startswith("FlowMatch"):
            clip = pipe.scheduler.config.get("clip_sample", False)
            pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=clip)
        pipe.set_progress_bar_config(disable=True)
        given = pipe._pack_latents(latents, *latents.shape) if "Flux" in type(pipe).__name__ else latents
        more = {"use_resolution_binning": False} if "PixArt" in type(pipe).__name__ else {}
        theirs = pipe(
            PROMPT, latents=given, num_inference_steps=STEPS, guidance_scale=GUIDANCE, height=height, width=width,
            output_type="np", **more,
        ).images[0]  # fmt: skip
    assert ours.shape == (height, width, 3)
    assert ours.std() > 5
    assert np.abs(ours / 255 - theirs).max() < 1.5 / 255


def test_a_dropped_caption_keeps_the_shape(saved: dict[str, Path]) -> None:
    """No prompt is no prompt for a picture of that size; told sizes are height, width, corner, height, width."""
    backbone = PipelineSettings(str(saved["stable_diffusion_xl"])).load(torch.float32, 0)
    sets = examples(backbone, [0, 0])
    height, width = Buckets(backbone.side, backbone.multiple).sizes[0]
    rows = backbone.draw(sets[0], 4, 1.0, torch.Generator().manual_seed(0))
    assert rows["sizes"].tolist() == [[height, width, 0, 0, height, width]] * 4
    assert not rows["states"].any()


def test_the_square_needs_the_most_memory(backbone: Pipeline) -> None:
    """So that what is planned for it is enough for every pass."""
    layout = backbone.layout(2, 2.0, "attention")
    places = range(len(Buckets(backbone.side, backbone.multiple).sizes))
    sets, sketch = examples(backbone, list(places)), backbone.sketch(False)
    assert sketch is not None
    peaks = [
        training_peak(sketch, layout, sketch.draw(some, 4, 0.0, torch.Generator().manual_seed(0)), 2).total()
        for some in sets
    ]
    assert max(peaks) == peaks[len(peaks) // 2]
    assert plan_for(10**9, backbone, layout, 2, 2, [Way()]).peak > max(peaks)


def test_a_run_from_folders_to_the_report(saved: dict[str, Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = {"ann": [(30, 60), (32, 62), (33, 64), (40, 41), (40, 42)], "bo": [(70, 30), (50, 50), (48, 50), (90, 40)]}
    for name, own in sizes.items():
        (tmp_path / name).mkdir()
        for i, size in enumerate(own):
            Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(tmp_path / name / f"{i}.png")
            (tmp_path / name / f"{i}.txt").write_text(f"thing {i}")
    sets = [
        "engine.dtype=fp32", "evaluation.levels=4", "evaluation.copies=2", "pictures.steps=1", "engine.width=2",
        'pictures.prompts=["a cat"]', "backbone.checkpointing=off", "data.flip=true",
    ]  # fmt: skip
    results = []
    for number in range(2):
        recipe = training_recipe(
            [tmp_path / "ann", tmp_path / "bo"], str(saved["stable_diffusion"]), 4, 2, 2, (), 0.3, sets, True
        )
        results.append(start(recipe, tmp_path / f"run-{number}"))
    digests = [[score["loss"] for score in one["final"]] for one in results]
    assert digests[0] == digests[1]
    own = pictures_in(tmp_path / "run-0" / "sites" / "ann" / "pictures" / "own")
    assert len({picture.shape for picture in own}) > 1
    (drawn,) = Run.open(tmp_path / "run-0").generate("a cat", client="ann", steps=1, size=(32, 64))
    assert drawn.size == (32, 64)
    assert all(len(picture) * picture.shape[1] <= 32 * 32 for picture in own)
    page = Path(make_report(tmp_path / "run-0")).read_text()
    assert ";--w:1.0;--h:0." in page
    (journal,) = (tmp_path / "run-0" / "server").glob("journal.jsonl")
    assert not [e for e in map(json.loads, journal.read_text().splitlines()) if e["event"] == "failed"]
