"""The people of an experiment: what each holds, keeps aside and wishes for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from coterie.core.errors import UserError, nearest
from coterie.data.table import Skipped, Table, collected, distinct, join
from coterie.data.texts import opening

VALIDATION = 4
MOST_PROMPTS = 8


@dataclass(frozen=True, eq=False)
class ClientData:
    """One client's own pictures and words.

    Attributes:
        client: its id.
        train: what it learns from.
        held_out: what its adapter is measured on; shares no subject with anybody's ``train``.
        wishes: a sentence by kind (``named``, ``paraphrased``, ``purpose``); empty where nobody wrote any.
        style: the look that its pictures were made in, where that is known; never shown to an algorithm.
    """

    client: str
    train: Table
    held_out: Table
    wishes: Mapping[str, str]
    style: str | None

    @property
    def prompts(self) -> tuple[str, ...]:
        """A few captions of its own: of held-out pictures, or where there are none of those that it learns from.

        Of documents their first words.
        """
        captions = self.held_out.captions or self.train.captions
        if self.train.is_documents:
            captions = tuple(opening(text) for text in captions[:MOST_PROMPTS])
        return tuple(dict.fromkeys(captions))[:MOST_PROMPTS]


@dataclass(frozen=True, eq=False)
class Population:
    """All clients by id.

    Attributes:
        clients: in the order in which they are reported.
        prompts: the fixed captions that a report draws for everybody.
    """

    clients: Mapping[str, ClientData]
    prompts: tuple[str, ...]

    def held_out_of_style(self, style: str) -> Table:
        """The held-out pictures of all clients of a style, each distinct subject once, first come first kept.

        Raises:
            UserError: if nobody has that style.
        """
        members = [data for data in self.clients.values() if data.style == style]
        if not members:
            known = {data.style for data in self.clients.values() if data.style is not None}
            raise UserError(f"style: nobody draws {style!r}{nearest(style, known)}")
        return distinct(join(data.held_out for data in members), ["subject"])


def pooled(population: Population, by_style: bool) -> Population:
    """Everybody's pictures with one client, or each style's with one: a control that only a simulation can have.

    Args:
        population: whose pictures are put together.
        by_style: one client for each style, named after it; else one client named ``everyone``.

    Returns:
        Clients without wishes, whose held-out pictures hold each subject of a style once.

    Raises:
        UserError: if the population is empty, or ``by_style`` is asked for and a client's style is not known.
    """
    if not population.clients:
        raise UserError("pooled: the population has no clients")
    if not by_style:
        return Population({"everyone": _merge("everyone", population.clients.values(), None)}, population.prompts)
    members: dict[str, list[ClientData]] = {}
    for data in population.clients.values():
        if data.style is None:
            raise UserError(f"data.pool: style: client {data.client!r} has no style; take data.pool = 'all'")
        members.setdefault(data.style, []).append(data)
    return Population({style: _merge(style, group, style) for style, group in members.items()}, population.prompts)


def validation(population: Population) -> Population:
    """The same people for choosing settings: some training subjects set aside, the held-out pictures not touched.

    A subject is set aside by a digest of its name, so for everybody alike; one in ``VALIDATION`` is. Of whom that takes
    none, the subject with the first digest is, and of whom it takes all, the one with the last digest stays. Who has a
    single subject sets examples of it aside.

    Raises:
        UserError: if somebody has a single example.
    """
    clients = {}
    for name, data in population.clients.items():
        columns = data.train.columns
        subjects = columns.get("subject") or columns.get("document") or data.train.captions
        if len(set(subjects)) < 2:
            subjects = tuple(f"{subject} {number}" for number, subject in enumerate(subjects))
        known = sorted(set(subjects), key=_digest)
        if len(known) < 2:
            raise UserError(f"data.test: {name} has too few examples to set some aside for validation")
        drawn = {subject for subject in known if _digest(subject)[0] % VALIDATION == 0} or {known[0]}
        drawn -= {known[-1]} if len(drawn) == len(known) else set()
        aside = [i for i, subject in enumerate(subjects) if subject in drawn]
        rest = [i for i, subject in enumerate(subjects) if subject not in drawn]
        clients[name] = replace(data, train=data.train.take(rest), held_out=data.train.take(aside))
    return Population(clients, population.prompts)


def mirrored(population: Population) -> Population:
    """Everybody's training pictures, and after them the same pictures mirrored, with their captions once more.

    Both copies are examples like any other, so that nothing has to be drawn while training and a run repeats.
    """
    clients = {}
    for name, data in population.clients.items():
        turned = [np.ascontiguousarray(picture[:, ::-1]) for picture in data.train.pixels]
        other = replace(data.train, pixels=collected(turned, 0))
        clients[name] = replace(data, train=join([data.train, other]))
    return replace(population, clients=clients)


def as_table(population: Population, skipped: Iterable[Skipped] = ()) -> Table:
    """Everybody's pictures as one table with the columns ``client`` and ``split`` (``train`` and ``held-out``).

    Args:
        population: with at least one client.
        skipped: what the source of the pictures could not use.
    """
    parts = [
        replace(table, columns={**table.columns, "client": (name,) * len(table), "split": (split,) * len(table)})
        for name, data in population.clients.items()
        for split, table in (("train", data.train), ("held-out", data.held_out))
    ]
    return replace(join(parts), skipped=tuple(skipped))


def _digest(subject: str) -> bytes:
    return hashlib.sha256(f"validation/{subject}".encode()).digest()


def _merge(name: str, members: Iterable[ClientData], style: str | None) -> ClientData:
    group = list(members)
    held_out = distinct(join(data.held_out for data in group), ["style", "subject"])
    return ClientData(name, join(data.train for data in group), held_out, {}, style)
