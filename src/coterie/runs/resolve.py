"""What a recipe leaves to the machine, as numbers: workers, types, and how clients fit into memory."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from coterie.bank.bank import MOST_ROWS
from coterie.bank.memory import Plan, Way, plan_for, ways
from coterie.core.allocator import give_back_freed_memory, most_used_bytes
from coterie.core.errors import UserError, said_of
from coterie.core.mixed import computes_in_bf16
from coterie.models.backbone import Backbone
from coterie.models.packed import EXTRA, KINDS, installed, require_extra
from coterie.models.parts import parts_of, portions_of
from coterie.runs.build import load_backbone
from coterie.runs.reading import control_of
from coterie.runs.recipe import Engine, Recipe
from coterie.runs.sizes import memory_bytes

PROCESS_BYTES = 720 * 10**6  # an interpreter with torch, diffusers, transformers, backbone and text encoder, measured
PIPELINE_BYTES = 550 * 10**6  # the same without backbone and text encoder, which a pipeline's prediction counts itself
SERVER_BYTES = 400 * 10**6  # the main process beside workers
ROOM = 400 * 10**6  # for training in a process, before there is one more


def resolve(
    recipe: Recipe, num_clients: int, choose: Callable[[Recipe, int], Plan] | None = None
) -> tuple[Recipe, Plan | None]:
    """The recipe with nothing left to chance or to the machine: width, type and workers as numbers.

    Args:
        recipe: as read.
        num_clients: in all.
        choose: ``plan_of``, wherever it is to run; it loads the backbone.

    Returns:
        The recipe, and how it fits into memory unless the recipe said all of that itself.
    """
    engine = recipe.engine
    device = engine.device
    if recipe.backbone.embedded:
        device = "cpu"
    elif device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = engine.dtype
    if dtype == "auto":
        dtype = "bf16" if computes_in_bf16(device) else "fp32"
    workers = _workers(engine, num_clients) if engine.workers < 0 else engine.workers
    alone = device != "cpu" or not recipe.backbone.embedded  # a large model is in memory once
    if workers == 1 or (alone and engine.workers < 0):
        workers = 0
    moments = "fp32" if engine.moments == "auto" and recipe.backbone.embedded else engine.moments
    if moments == "8bit":
        require_extra("engine.moments: 8bit")
    changes = {"dtype": dtype, "workers": workers, "tokens": recipe.tokens, "device": device, "moments": moments}
    recipe = recipe.model_copy(update={"engine": Engine(**{**engine.model_dump(), **changes})})
    backbone: Any = recipe.backbone
    undecided = [key for key in ("checkpointing", "quantise") if getattr(backbone, key, None) == "auto"]
    if engine.width and not undecided and moments != "auto":
        whole = recipe.engine.model_copy(update={"rows": engine.rows or MOST_ROWS})
        return recipe.model_copy(update={"engine": whole}), None
    plan = (choose or plan_of)(recipe, num_clients)
    give_back_freed_memory()  # the model that was planned with, before it is loaded again
    chosen = {"checkpointing": "on" if plan.checkpointing else "off", "quantise": plan.quantise}
    if undecided:
        backbone = replace(backbone, **{key: chosen[key] for key in undecided})
    decided = {"width": plan.width, "moments": plan.moments, "rows": engine.rows or plan.rows}
    engine = recipe.engine.model_copy(update=decided)
    return recipe.model_copy(update={"engine": engine, "backbone": backbone}), plan


def _workers(engine: Engine, num_clients: int) -> int:
    """One for each core, but no more than there are clients, nor than the memory has room for."""
    roomy = (memory_bytes(engine.memory) - SERVER_BYTES) // (PROCESS_BYTES + ROOM)
    return max(1, min(os.cpu_count() or 1, num_clients, roomy))


def plan_of(recipe: Recipe, num_clients: int) -> Plan:
    """How each process fits its clients into the memory that a recipe with type and workers allows.

    What is predicted is of all processes with everything in them. Loading is not predicted but measured, as it was done
    here; only where frozen weights are still to be rounded there is more to come.
    """
    engine = recipe.engine
    processes = max(1, engine.workers)
    memory = memory_bytes(engine.memory) - (SERVER_BYTES if engine.workers else 0)
    backbone = load_backbone(recipe)
    loaded = most_used_bytes(engine.device)
    own = PROCESS_BYTES if recipe.backbone.embedded or backbone.makes == "texts" else PIPELINE_BYTES
    own = own if engine.device == "cpu" else 0  # a graphics card has its memory for itself
    share = memory // processes - own
    joining = math.ceil(recipe.cohort.share * num_clients)  # a round's slots; idle ones would cost as much as busy ones
    each = min(engine.width or joining, math.ceil(joining / processes))
    layout = recipe.method.layout(backbone)
    require_cut(recipe, backbone)
    try:
        plan = plan_for(share, backbone, layout, recipe.form.fit.batch, each, ways_of(recipe))
    except UserError as error:
        if getattr(recipe.backbone, "quantise", "none") != "auto" or installed():
            raise
        raise UserError(f"{error}; frozen weights in 8 or 4 bits need less: {EXTRA}") from error
    found = {phase: own + size for phase, size in plan.phases.items()}
    if not recipe.backbone.embedded:
        found["loading"] = max(found.get("loading", 0), loaded)
    server = SERVER_BYTES if engine.workers else 0
    return replace(plan, phases={phase: server + processes * size for phase, size in found.items()})


def require_cut(recipe: Recipe, backbone: Backbone) -> None:
    """Where a form, or that of the control, splits layers, both sides of the backbone have some that are trained.

    Raises:
        UserError: with the key and what would be right.
    """
    portions_of(recipe.method.layout(backbone), parts_of(backbone, recipe.form))
    control = control_of(recipe)
    if control is not None and control.backbone == recipe.backbone:
        with said_of("control"):
            portions_of(control.method.layout(backbone), parts_of(backbone, control.form))


def ways_of(recipe: Recipe) -> list[Way]:
    """All ways of training that a recipe leaves open, best first; without the extra nothing is rounded."""
    backbone, moments = recipe.backbone, recipe.engine.moments
    rounded = KINDS if installed() else ()
    eighth = ("8bit",) if installed() else ()
    quantise = getattr(backbone, "quantise", "none")
    checkpointing = {"auto": (False, True), "on": (True,), "off": (False,)}[getattr(backbone, "checkpointing", "off")]
    if getattr(recipe.method, "whole", False):  # what is trained is not rounded
        rounded = ()
    return ways(
        ("none", *rounded) if quantise == "auto" else (quantise,),
        ("fp32", *eighth) if moments == "auto" else (moments,),
        checkpointing,
    )
