"""Whose pictures or documents a recipe is about, and how they are shared out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from coterie.core.errors import UserError
from coterie.core.seeds import seed_for
from coterie.data import partition
from coterie.data.buckets import Buckets, Cut
from coterie.data.population import MOST_PROMPTS, ClientData, Population, mirrored, pooled, validation
from coterie.data.sources.studio import Studio
from coterie.data.sources.studio import population as studio_population
from coterie.data.table import Table
from coterie.data.texts import PROMPTS
from coterie.evals.wishes import KINDS as WISHES
from coterie.models.backbone import Backbone, Draws
from coterie.runs.recipe import Recipe


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
