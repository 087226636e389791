"""The composition root: from a recipe to live objects. No algorithm, no loop."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from coterie.bank.bank import MOST_ROWS
from coterie.bank.memory import Plan, Way, plan_for, ways
from coterie.bank.whole import bank_for
from coterie.bank.write import Writing
from coterie.core.adapter import Layout
from coterie.core.allocator import give_back_freed_memory, most_used_bytes
from coterie.core.errors import UserError
from coterie.core.seeds import seed_for
from coterie.core.shelf import shelf_name
from coterie.core.site import Facts
from coterie.core.split import Portions
from coterie.data import partition
from coterie.data.buckets import Buckets, Cut
from coterie.data.population import MOST_PROMPTS, ClientData, Population, mirrored, pooled, validation
from coterie.data.sources.studio import Studio
from coterie.data.sources.studio import population as studio_population
from coterie.data.table import Table
from coterie.data.texts import PROMPTS, wholes
from coterie.engines.devices import Device, layouts_for
from coterie.engines.keeper import Keeper
from coterie.engines.site import Belongings, House, SiteHost
from coterie.engines.workshop import Workshop
from coterie.evals.held_out import HeldOut
from coterie.evals.perplexity import units_of
from coterie.evals.wishes import KINDS as WISHES
from coterie.evals.wishes import Listener
from coterie.federation.wish_mode import wish_mode_of
from coterie.models.backbone import Backbone, Draws, Rows, Shaped, Writes
from coterie.models.packed import EXTRA, KINDS, installed, require_extra
from coterie.models.parts import parts_of, portions_of
from coterie.runs.attendance import require_known, wishes_by_round
from coterie.runs.gallery import artist_of
from coterie.runs.recipe import Engine, Recipe, digest_of
from coterie.wire.envelope import Header

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
PROCESS_BYTES = 720 * 10**6  # an interpreter with torch, diffusers, transformers, backbone and text encoder, measured
PIPELINE_BYTES = 550 * 10**6  # the same without backbone and text encoder, which a pipeline's prediction counts itself
SERVER_BYTES = 400 * 10**6  # the main process beside workers


@dataclass(frozen=True)
class Assembly:
    """What one process needs to play a run or a part of it."""

    recipe: Recipe
    population: Population
    backbone: Backbone
    layout: Layout
    header: Header
    workshop: Workshop
    hosts: Mapping[str, SiteHost]
    facts: Mapping[str, Facts]
    portions: Portions | None = None


@dataclass(frozen=True)
class Tests(Mapping[str, Rows | Shaped]):
    """A site's test sets. Rows with their noise are many times as large as pictures: made when they are asked for."""

    made: Mapping[str, Callable[[], Rows | Shaped]]

    def __getitem__(self, name: str) -> Rows | Shaped:
        return self.made[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self.made)

    def __len__(self) -> int:
        return len(self.made)


def cut_of(recipe: Recipe, backbone: Backbone) -> Cut:
    """What a recipe's pictures are cut to for a backbone; documents are not cut."""
    if backbone.makes == "texts":
        return 0
    drawer = cast(Draws, backbone)
    return Buckets(drawer.side, drawer.multiple) if recipe.data.crop == "buckets" else drawer.side


def population_of(recipe: Recipe, cut: Cut, table: Table | None = None) -> Population:
    """The people of a recipe; ``table`` is what its source read, where that was read already."""
    data = recipe.data
    if isinstance(data.source, Studio) and (data.partition, data.column) == ("column", "person"):
        people = studio_population(cut)
    else:
        people = _shared_out(recipe, data.source.read(cut) if table is None else table)
    if data.test == "validation":
        people = validation(people)
    if data.pool != "none":
        people = pooled(people, by_style=data.pool == "style")
    empty = [name for name, client in people.clients.items() if not len(client.train)]
    if empty:
        what = "documents" if people.clients[empty[0]].train.is_documents else "pictures"
        raise UserError(f"data: {empty[0]} has no training {what}; give them some or leave them out")
    require_known(recipe.changes, {name: client.wishes for name, client in people.clients.items()})
    return mirrored(people) if data.flip else people


def _shared_out(recipe: Recipe, table: Table) -> Population:
    data = recipe.data
    seed = seed_for(recipe.seed, 0, "", "partition")
    shares = {
        "column": lambda: partition.by_column(table, data.column),
        "dirichlet": lambda: partition.dirichlet(table, data.column, data.alpha, data.num_clients, seed),
        "contiguous": lambda: partition.contiguous(table, data.num_clients),
        "iid": lambda: partition.iid(table, data.num_clients, seed),
        "pooled": lambda: partition.pooled(table),
    }[data.partition]()
    clients = {}
    for name, rows in shares.items():
        _require_folder_name(name)
        train, held_out = (rows, []) if data.held_out == 0 else partition.hold_out(table, rows, data.held_out, seed)
        truths = {table.columns[data.truth_column][i] for i in rows} if data.truth_column in table.columns else set()
        style = truths.pop() if len(truths) == 1 else None
        wishes: dict[str, str] = {k: text for k in WISHES if (text := _first(table, f"wish_{k}", rows))}
        if said := _first(table, "wish", rows):
            wishes[data.wish] = said
        clients[name] = ClientData(name, table.take(train), table.take(held_out), wishes, style)
    if table.is_documents:  # somebody's words are nobody else's to go on from
        return Population(clients, PROMPTS)
    captions = list(dict.fromkeys(c for client in clients.values() for c in client.held_out.captions))
    return Population(clients, tuple(captions[:MOST_PROMPTS]))


def _first(table: Table, column: str, rows: Sequence[int]) -> str:
    """The first text that is not empty in a column that may be missing."""
    values = table.columns.get(column)
    return next((values[i] for i in rows if values[i]), "") if values is not None else ""


def _require_folder_name(client: str) -> None:
    """A client's own folder bears its name, and names may come from strangers' files."""
    parts = client.split("/")
    if not set(parts).isdisjoint({"", ".", ".."}) or not client.isprintable() or max(map(len, parts)) > 100:
        raise UserError(f"data.column: {client[:100]!r} cannot name a client, for it cannot name a folder")


def fixed_prompts(recipe: Recipe, people: Population) -> tuple[str, ...]:
    """What is drawn with every adapter alike; nothing that was not asked for where each is drawn with its own."""
    given = recipe.pictures.prompts
    return given if given or recipe.pictures.own_prompts else people.prompts


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
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = engine.dtype
    if dtype == "auto":
        dtype = "bf16" if _computes_in_bf16(device) else "fp32"
    workers = min(os.cpu_count() or 1, num_clients) if engine.workers < 0 else engine.workers
    alone = device != "cpu" or not recipe.backbone.embedded  # a large model is in memory once
    if workers == 1 or (alone and engine.workers < 0):
        workers = 0
    memory_bytes(engine.memory)
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


def header_of(recipe: Recipe, backbone_digest: str) -> Header:
    """What every message of the run says."""
    codec = shelf_name(recipe.codec)
    return Header(run=recipe.name, backbone=backbone_digest, recipe=digest_of(recipe), codec=codec)


def assemble(
    recipe: Recipe,
    folder: Path,
    only: Callable[[int], bool] = lambda index: True,
    progress: Any = None,
    tell: Callable[..., None] = lambda event, **fields: None,
) -> Assembly:
    """Live objects for a resolved recipe.

    Args:
        recipe: resolved.
        folder: of the run; sites live below it.
        only: which clients, by their index in order of ids, are hosted here.
        progress: see ``Workshop``.
        tell: see ``Workshop``.
    """
    backbone = load_backbone(recipe)
    layout = recipe.method.layout(backbone)
    cut = cut_of(recipe, backbone)
    people = population_of(recipe, cut)
    header = header_of(recipe, backbone.digest)
    prompts = fixed_prompts(recipe, people)
    owners = (recipe.form, HeldOut(), Keeper(recipe.form), Listener(), artist_of(recipe, prompts))
    mode, by_name = wish_mode_of(recipe.form), {type(o).__name__: o for o in owners}
    devices = recipe.devices.of(list(people.clients), recipe.seed)
    rule, parts = getattr(recipe.form, "aggregator", None), parts_of(backbone, recipe.form)
    portions = portions_of(layout, parts)
    layouts = layouts_for(layout, {device.rank for device in devices.values()}, rule, portions)
    house = House(header, layouts, recipe.codec, by_name, recipe.seed, mode, recipe.uplink)
    of_styles: dict[tuple[str, str], Rows | Shaped] = {}
    hosts = {
        name: SiteHost(_belongings(recipe, backbone, cut, people, name, folder, of_styles, devices[name]), house)
        for index, name in enumerate(sorted(people.clients))
        if only(index)
    }
    places = recipe.devices.places(people.clients, recipe.seed)
    facts = {
        name: Facts(
            host.belongings.num_examples, people.clients[name].style, devices[name].rank or None, places.get(name)
        )
        for name, host in hosts.items()
    }
    backbone.free()
    bank = bank_for(backbone, layout, recipe.engine.width, recipe.engine.moments, recipe.engine.rows or MOST_ROWS)
    more: dict[str, Any] = {"tell": tell, "parts": parts} | ({} if progress is None else {"progress": progress})
    writing = Writing(**recipe.texts.model_dump())
    workshop = Workshop(bank, recipe.pictures.steps, recipe.pictures.guidance, writing, **more)
    return Assembly(recipe, people, backbone, layout, header, workshop, hosts, facts, portions)


def load_backbone(recipe: Recipe) -> Backbone:
    """The frozen model in the type the recipe says."""
    torch.set_num_threads(1)
    return recipe.backbone.load(_DTYPES[recipe.engine.dtype], recipe.tokens, recipe.engine.device)


def _belongings(
    recipe: Recipe,
    backbone: Backbone,
    cut: Cut,
    people: Population,
    name: str,
    folder: Path,
    of_styles: dict[tuple[str, str], Rows | Shaped],
    device: Device,
) -> Belongings:
    """What lies at one site; ``of_styles`` holds the rows that people of one style share, so that they exist once."""
    client = people.clients[name]
    wish = client.wishes.get(recipe.data.wish, "")
    before = f"{wish} " if recipe.data.prompt == "wish" and wish else ""

    def ready(table: Table) -> Rows | Shaped:
        return prepared(backbone, cut, replace(table, captions=tuple(before + text for text in table.captions)))

    def noisy(rows: Rows | Shaped) -> Rows | Shaped:
        def one(rows: Rows, name: str) -> Rows:
            return backbone.fixed(rows, recipe.evaluation.levels, seed_for(recipe.seed, 0, "", name))

        if not isinstance(rows, tuple):
            return one(rows, "held-out")
        return tuple(one(some, f"held-out/{bucket}") for bucket, some in enumerate(rows))

    tests: dict[str, Callable[[], Rows | Shaped]] = {}
    units: dict[str, Mapping[str, int]] = {}
    if len(client.held_out):
        own = ready(client.held_out)
        units["own"] = _units(client.held_out, own)
        if recipe.data.shots:
            own = cast(Writes, backbone).preceded(cast(Rows, own), cast(Rows, ready(client.train)), recipe.data.shots)
        tests["own"] = lambda: noisy(own)
    if client.style is not None and len(everybody := people.held_out_of_style(client.style)):
        if (client.style, before) not in of_styles:
            of_styles[client.style, before] = noisy(ready(everybody))
        style = of_styles[client.style, before]
        tests["style"] = lambda: style
        units["style"] = _units(everybody, style)
    return Belongings(
        client=name,
        folder=folder / "sites" / name,
        train=ready(client.train),
        tests=Tests(tests),
        levels=backbone.levels(recipe.evaluation.levels),
        units=units,
        wishes={**client.wishes, "": wish},
        pixels=client.train.pixels,
        captions=client.train.captions,
        held_out=(client.held_out.pixels, client.held_out.captions),
        before=before,
        prompts=client.prompts if recipe.pictures.own_prompts else (),
        rewishes=wishes_by_round(recipe.changes, name),
        device=device,
    )


def _units(table: Table, rows: Rows | Shaped) -> Mapping[str, int]:
    if not table.is_documents or isinstance(rows, tuple):
        return {}
    return units_of(wholes(table), int(rows["count"].sum()))


def prepared(backbone: Backbone, cut: Cut, table: Table) -> Rows | Shaped:
    """Pictures and captions as a backbone trains on them; with buckets those of each, once, in the buckets' order.

    Of documents, whole ones.
    """
    if table.is_documents:
        return backbone.prepare(table.pixels, wholes(table))
    if not isinstance(cut, Buckets):
        return backbone.prepare(table.pixels, table.captions)
    rows, parts = table.by_size, []
    for size in cut.sizes:
        some = table.take(rows.get(size, []))
        pixels = np.stack(list(some.pixels)) if len(some) else np.zeros((0, *size, 3), np.uint8)
        parts.append(backbone.prepare(pixels, some.captions))
    return tuple(parts)


def memory_bytes(text: str) -> int:
    """Bytes of a size like ``3GB`` or ``800 MiB``."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]i?B)\s*", text, re.IGNORECASE)
    if not match:
        raise UserError(f"engine.memory: {text!r} is no size; wanted a number and a unit, like 3GB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _computes_in_bf16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
