"""A client's own side: its examples, its memory, and the one door through which messages come in."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coterie.core.adapter import Adapter, Layout, weighted_sum
from coterie.core.seeds import seed_for
from coterie.core.split import ClientSide
from coterie.core.work import Fit, Fitted
from coterie.data.table import Pictures
from coterie.engines.courier import ClientFailed
from coterie.engines.devices import Away, Device
from coterie.engines.disk import write_bytes
from coterie.engines.memory import SiteMemory, version_of
from coterie.engines.sides import SiteSide
from coterie.engines.trampoline import Work
from coterie.federation.wish_mode import WishMode
from coterie.models.backbone import Rows, Shaped, count_of
from coterie.models.peft_files import peft_files, read_peft
from coterie.models.png import png_bytes
from coterie.wire.chain import Chain, adapters_in
from coterie.wire.codec import Codec
from coterie.wire.envelope import Header, pack, unpack

LEFT = "left over by codecs"  # a name in a site's memory that no half uses


@dataclass(frozen=True)
class Belongings:
    """What is at one client and stays there.

    Attributes:
        client: who it is.
        folder: for memory and what is kept.
        train: prepared training examples; with buckets those of each.
        tests: held-out rows by name of the test set: ``own``, and ``style`` where a simulation knows it.
        levels: noise levels of a test set's rows.
        units: how much text each test set holds, see ``coterie.evals.perplexity``; nothing of pictures.
        wishes: the client's wish in words, by kind; the one that counts is under the empty name.
        rewishes: from which round on which kind counts instead, in order of rounds.
        pixels: training pictures, for what is looked at and compared at the site.
        captions: of the training pictures; or the training documents.
        held_out: held-out pictures and captions.
        before: words that this client puts before every caption.
        prompts: what its pictures are drawn of; empty is what everybody draws.
        device: what its machine can do.
    """

    client: str
    folder: Path
    train: Rows | Shaped
    tests: Mapping[str, Rows | Shaped]
    levels: int
    wishes: Mapping[str, str]
    pixels: Pictures
    captions: tuple[str, ...]
    held_out: tuple[Pictures, tuple[str, ...]]
    before: str = ""
    prompts: tuple[str, ...] = ()
    rewishes: tuple[tuple[int, str], ...] = ()
    device: Device = Device()
    units: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def num_examples(self) -> int:
        return count_of(self.train)


@dataclass(frozen=True)
class House:
    """What all sites of a process share: nothing private.

    Attributes:
        header: of the run; a message for another run, recipe or backbone is refused.
        layouts: that adapters may have.
        codec: how rows are written.
        uplink: how what is sent back in training is written; empty is as everything.
        owners: things that have client halves, by class name.
        seed: of the run.
        wish: how an encoded wish is made coarser before it leaves.
    """

    header: Header
    layouts: tuple[Layout, ...]
    codec: Codec
    owners: Mapping[str, Any]
    seed: int
    wish: WishMode = WishMode()
    uplink: tuple[Codec, ...] = ()


@dataclass
class SiteHost:
    """Answers messages for one client."""

    belongings: Belongings
    house: House

    @property
    def rank(self) -> int | None:
        """Largest that it trains, where its machine says one."""
        return self.belongings.device.rank or None

    async def handle(self, request: bytes) -> bytes:
        """Runs the half that a request names, and packs what it returns.

        Memory is written before the reply leaves, as a version that counts only once the server says so; with it goes
        what the reply's codecs lost, which the half is not shown.
        """
        header, value = unpack(request, self.house.layouts, self.house.codec)
        ours = self.house.header
        for what in ("run", "backbone", "recipe", "codec"):
            theirs, wanted = getattr(header, what), getattr(ours, what)
            if theirs != wanted:
                raise ClientFailed(f"the message is for {what} {theirs!r}, here is {wanted!r}")
        memory = SiteMemory(self.belongings.folder / "memory")
        trains = header.purpose == "train"
        if trains and self.belongings.device.is_away(self.house.seed, header.round, self.belongings.client):
            raise Away("it is away in this round")
        if trains:
            remembered = memory.open(header.accepted, version_of(header.round, header.attempt))
        else:
            remembered = memory.read(header.accepted)
        left = remembered.pop(LEFT, {})
        site = OpenSite(self, header, remembered)
        owner, _, name = header.half.partition(".")
        if owner not in self.house.owners or not name.startswith("client_"):
            raise ClientFailed(f"there is no client half called {header.half!r}")
        answer = await getattr(self.house.owners[owner], name)(site, value)
        chain = Chain((self.house.codec,))
        if trains and self.house.uplink:
            chain = Chain(self.house.uplink, adapters_in(value), dict(left.get(str(header.call), {})))
        told = replace(header, accepted="", trained=site.trained, scored=site.scored)
        blob = pack(told, answer, chain, known=self.house.layouts)
        if trains:
            left = {**left, **({str(header.call): chain.left} if chain.left else {})}
            memory.save(header.round, header.attempt, {**site.memory, **({LEFT: left} if left else {})})
        return blob


@dataclass
class OpenSite:
    """The site as one half sees it during one call."""

    host: SiteHost
    header: Header
    memory: MutableMapping[str, Any]
    fits: int = field(default=0)
    trained: int = field(default=0)
    scored: int = field(default=0)

    @property
    def client(self) -> str:
        return self.host.belongings.client

    @property
    def num_examples(self) -> int:
        return self.host.belongings.num_examples

    @property
    def folder(self) -> Path:
        return self.host.belongings.folder

    def draws(self, fit: Fit) -> tuple[int, Fit]:
        """The seed of the next training's draws, and that training as this machine can do it."""
        purpose = f"fit/{self.header.purpose}/{self.header.call}/{self.fits}"
        self.fits += 1
        if self.header.purpose == "train" and self.num_examples:
            fit = replace(fit, steps=self.host.belongings.device.steps(fit.steps))
        return seed_for(self.host.house.seed, self.header.round, self.client, purpose), fit

    @property
    def side(self) -> ClientSide:
        during = version_of(self.header.round, self.header.attempt)
        return SiteSide(self.client, during, self.host.belongings.train, self._drawn)

    def _drawn(self, fit: Fit) -> tuple[int, Fit]:
        """``draws`` of a training that begins now, which is none where there is nothing to learn from."""
        seed, fit = self.draws(fit)
        fit = fit if self.num_examples else replace(fit, steps=0)
        self.trained += fit.steps * fit.batch
        return seed, fit

    async def fit(self, start: Adapter, fit: Fit) -> Fitted:
        seed, fit = self.draws(fit)
        if self.num_examples == 0:
            return Fitted(start, 0, {})
        self.trained += fit.steps * fit.batch
        done: Fitted = await Work("fit", self.client, (start, fit, self.host.belongings.train, seed))
        times = self.host.belongings.device.overstates
        if times != 1 and self.header.purpose == "train":
            done = replace(done, adapter=weighted_sum([start, done.adapter], [1 - times, times]))
        return done

    @property
    def tests(self) -> Collection[str]:
        return self.host.belongings.tests.keys()

    async def evaluate(self, adapter: Adapter | None, test: str) -> Tensor:
        rows = self.host.belongings.tests[test]
        self.scored += count_of(rows)
        losses: Tensor = await Work("evaluate", self.client, (adapter, rows))
        return losses.view(-1, self.host.belongings.levels)

    async def score(self, adapters: Sequence[Adapter], levels: int) -> Tensor:
        if self.num_examples == 0:
            return torch.zeros(len(adapters), dtype=torch.float64)
        seed = seed_for(self.host.house.seed, 0, self.client, "score")
        self.scored += len(adapters) * levels * self.num_examples
        losses: Tensor = await Work("score", self.client, (adapters, self.host.belongings.train, levels, seed))
        return losses

    async def noised(self, level: float, told: bool) -> tuple[Sequence[Mapping[str, Tensor]], float]:
        seed = seed_for(self.host.house.seed, 0, self.client, "noised")
        buried: tuple[Shaped, float] = await Work("bury", self.client, (self.host.belongings.train, level, told, seed))
        return buried

    async def sample(self, prompts: Sequence[str], adapter: Adapter | None, seed: int) -> NDArray[np.uint8]:
        pictures: NDArray[np.uint8] = await Work("sample", self.client, self._requests(prompts, adapter, seed))
        return pictures

    async def write(self, prompts: Sequence[str], adapter: Adapter | None, seed: int) -> Sequence[str]:
        texts: Sequence[str] = await Work("sample", self.client, self._requests(prompts, adapter, seed))
        return texts

    def _requests(self, prompts: Sequence[str], adapter: Adapter | None, seed: int) -> list[tuple[str, Any, int]]:
        mix = () if adapter is None else ((adapter, 1.0),)
        return [(self.host.belongings.before + prompt, mix, seed + i) for i, prompt in enumerate(prompts)]

    def keep(self, name: str, adapter: Adapter) -> None:
        for file, data in peft_files(adapter).items():
            write_bytes(self.folder / "adapters" / name / file, data)

    def kept(self, name: str) -> Adapter | None:
        folder = self.folder / "adapters" / name
        return read_peft(folder, self.header.backbone) if folder.is_dir() else None

    def keep_pictures(self, name: str, pixels: Pictures, captions: Sequence[str] = ()) -> None:
        folder = self.folder / "pictures" / name
        for i, picture in enumerate(pixels):
            write_bytes(folder / f"{i:02d}.png", png_bytes(picture))
        if captions:
            write_bytes(folder / "captions.json", json.dumps(list(captions)).encode())

    def keep_texts(self, name: str, texts: Sequence[tuple[str, str]]) -> None:
        plain = [{"prompt": prompt, "text": text} for prompt, text in texts]
        write_bytes(self.folder / "texts" / f"{name}.json", json.dumps(plain, indent=1).encode())

    def units(self, test: str) -> Mapping[str, int]:
        return self.host.belongings.units.get(test, {})

    @property
    def train_captions(self) -> Sequence[str]:
        return self.host.belongings.captions

    @property
    def prompts(self) -> Sequence[str]:
        return self.host.belongings.prompts

    @property
    def train_pixels(self) -> Pictures:
        return self.host.belongings.pixels

    @property
    def held_out_pixels(self) -> Pictures:
        return self.host.belongings.held_out[0]

    @property
    def held_out_captions(self) -> Sequence[str]:
        return self.host.belongings.held_out[1]

    @property
    def wish_kinds(self) -> Sequence[str]:
        return [kind for kind, words in self.host.belongings.wishes.items() if kind and words]

    async def describe(self, kind: str = "") -> Tensor:
        since = [later for number, later in self.host.belongings.rewishes if number <= self.header.round]
        kind = kind or (since[-1] if since else "")
        words = self.host.belongings.wishes.get(kind, "")
        vector: Tensor = await Work("describe", self.client, words)
        house = self.host.house
        return house.wish.sent(vector, house.seed, seed_for(house.seed, 0, self.client, f"wish/{words}"))
