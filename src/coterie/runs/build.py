"""The composition root: from a recipe to live objects. No algorithm, no loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from coterie.bank.bank import MOST_ROWS
from coterie.bank.whole import bank_for
from coterie.bank.write import Writing
from coterie.core.adapter import Layout
from coterie.core.seeds import seed_for
from coterie.core.shelf import shelf_name
from coterie.core.site import Facts
from coterie.core.split import Portions
from coterie.data.buckets import Buckets, Cut
from coterie.data.population import Population
from coterie.data.table import Table
from coterie.data.texts import wholes
from coterie.engines.devices import Device, layouts_for
from coterie.engines.keeper import Keeper
from coterie.engines.site import Belongings, House, SiteHost
from coterie.engines.workshop import Workshop
from coterie.evals.held_out import HeldOut
from coterie.evals.perplexity import units_of
from coterie.evals.wishes import Listener
from coterie.federation.wish_mode import wish_mode_of
from coterie.models.backbone import Backbone, Rows, Shaped, Writes
from coterie.models.parts import parts_of, portions_of
from coterie.runs.attendance import wishes_by_round
from coterie.runs.gallery import artist_of
from coterie.runs.people import cut_of, fixed_prompts, population_of
from coterie.runs.recipe import Recipe, digest_of
from coterie.wire.envelope import Header


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

    train = ready(client.train)
    tests: dict[str, Callable[[], Rows | Shaped]] = {}
    units: dict[str, Mapping[str, int]] = {}
    if len(client.held_out):
        own = ready(client.held_out)
        units["own"] = _units(client.held_out, own)
        if recipe.data.shots:
            own = cast(Writes, backbone).preceded(cast(Rows, own), cast(Rows, train), recipe.data.shots)
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
        train=train,
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


_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
