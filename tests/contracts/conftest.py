"""A toy world: everything real but the model. Clients pull an adapter toward their own target."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from coterie.core.adapter import Adapter, Layout, LowRank, apart, build
from coterie.core.factors import only, with_factor
from coterie.core.shelf import Shelf
from coterie.core.site import Facts
from coterie.core.split import Portions, places
from coterie.core.work import Fitted
from coterie.engines.courier import ClientFailed
from coterie.engines.devices import Devices, layouts_for
from coterie.engines.inprocess import InProcess
from coterie.engines.keeper import Keeper
from coterie.engines.memory import SiteMemory
from coterie.engines.site import Belongings, House, SiteHost
from coterie.engines.terms import Terms
from coterie.engines.trampoline import run as trampoline
from coterie.evals.held_out import HeldOut
from coterie.evals.pictures import Painter
from coterie.evals.wishes import Listener
from coterie.federation.shelves import FORMS
from coterie.federation.wish_mode import wish_mode_of
from coterie.runs.attendance import wishes_by_round
from coterie.runs.folder import RunFolder
from coterie.runs.loop import Loop
from coterie.runs.reading import make_recipe
from coterie.wire.codecs.raw import Raw
from coterie.wire.envelope import Header, unpack

LAYOUT = Layout("toy", (LowRank("to_q", 5, 4, 2, 0.5), LowRank("conv1", 3, 18, 2, 1.0, (3, 3))))


ONES = Adapter(LAYOUT, torch.ones(LAYOUT.size))
NOTHING = Adapter(LAYOUT, torch.zeros(LAYOUT.size))
MASKS = {factor: with_factor(NOTHING, factor, only(ONES, factor)).row for factor in "ab"}


def effect(adapter):
    """What a toy adapter does: the sum of the rows of all that stand side by side in it."""
    if adapter.layout == LAYOUT:
        return adapter.row
    own, rest = adapter.layout.parts[0].rank - LAYOUT.parts[0].rank, adapter
    if own <= 0:  # a part of lower rank, filled up with nothing
        pieces = []
        for index, part in enumerate(LAYOUT.parts):
            (b, a), more = adapter.factors(index), part.rank - adapter.layout.parts[index].rank
            pieces.append((torch.cat([b, b.new_zeros(len(b), more)], 1), torch.cat([a, a.new_zeros(more, a.shape[1])])))
        return build(LAYOUT, pieces).row
    one, rest = apart(adapter, LAYOUT)
    return one.row + effect(rest)


def toy_work(kind, works, log=None):
    """What a bank would do, for adapters that are pulled toward a client's target by randomly sized steps."""
    if log is not None:
        log.append((kind, [w.client for w in works]))
    answers = []
    for w in works:
        if kind == "fit":
            start, fit, rows, seed = w.payload
            rng = torch.Generator().manual_seed(seed % 2**60)
            row = effect(start).clone()
            below = effect(fit.beside) if fit.beside is not None else torch.zeros(LAYOUT.size)
            for _ in range(fit.steps):
                pull = rows["target"].mean(0) - below - row
                if fit.mu:
                    pull = pull + fit.mu * (effect(start if fit.anchor is None else fit.anchor) - row)
                pull = pull if fit.train is None else pull * MASKS[fit.train]
                drift = effect(fit.drift) if fit.drift is not None else torch.zeros(LAYOUT.size)
                row = row + fit.rate * ((0.5 + torch.rand((), generator=rng)) * pull - drift)
            if fit.within is not None:
                within = Adapter(LAYOUT, row)
                spans = [fit.within.dense(i) for i in range(len(LAYOUT.parts))]
                kept = [(x.T @ (x @ within.factors(i)[0]), within.factors(i)[1]) for i, x in enumerate(spans)]
                row = build(LAYOUT, kept).row
            trained, told = cut(Adapter(LAYOUT, row), start.layout), {"loss/last": float(row.norm())}
            answers.append(Fitted(trained, len(rows["target"]), told, fit.rate * fit.steps))
        elif kind == "evaluate":
            adapter, rows = w.payload
            row = effect(adapter) if adapter is not None else torch.zeros(LAYOUT.size)
            answers.append((rows["target"] - row).square().mean(1))
        elif kind == "score":
            adapters, rows, _levels, _seed = w.payload
            losses = [(rows["target"] - effect(adapter)).double().square().mean() for adapter in adapters]
            answers.append(torch.stack(losses))
        elif kind == "bury":
            rows, level, _told, seed = w.payload
            drawn = torch.randn(rows["target"].shape, generator=torch.Generator().manual_seed(seed % 2**60))
            answers.append((({"target": rows["target"] + level * drawn},), 1.0))
        elif kind == "side":
            answers.append(toy_side(w))
        elif kind == "describe":
            answers.append(torch.tensor([float(ord(ch)) for ch in w.payload]))
        else:
            size = [int(1000 * sum(float(effect(a).sum()) * x for a, x in mix)) % 200 for _, mix, _ in w.payload]
            answers.append(np.stack([np.full((4, 4, 3), v, np.uint8) for v in size]))
    return answers


PORTIONS = Portions(Layout("toy", LAYOUT.parts[:1]), Layout("toy", LAYOUT.parts[1:]))
SIDES = {}


def toy_side(w):
    """A model in two places: ``h1`` is the client's target for the server's numbers, ``h2`` what these lack of it."""
    key, verb = (w.payload["during"], w.client, w.payload["name"]), w.payload["verb"]
    given = w.payload.get("given")
    if verb == "begin":
        portion, fit, rows = w.payload["portion"], w.payload["fit"], w.payload.get("rows")
        rng = torch.Generator().manual_seed(w.payload.get("seed", 0) % 2**60)
        SIDES[key] = {"portion": portion, "row": portion.row.clone(), "fit": fit, "rows": rows, "rng": rng, "taken": 0}
        return fit.steps
    side = SIDES[key]
    mine, rate = places(LAYOUT, side["portion"].layout), side["fit"].rate
    if w.client == "server":
        if verb == "forward":
            return {"h": given["h"] - side["row"], "live": ["h"]}
        if verb == "backward":
            side["row"] = side["row"] + rate * given["h"]
            return {"h": given["h"]}
        if verb == "loss":  # of the V-shape
            side["row"] = side["row"] + rate * (given["h"] - side["row"])
            return {"h": given["h"]}
    elif verb == "forward":
        return {"h": side["rows"]["target"].mean(0)[~mine], "live": ["h"]}
    elif verb == "loss":
        return {"h": (0.5 + torch.rand((), generator=side["rng"])) * given["h"]}
    if given is not None:  # the client's step; that of its last gradient at the end
        side["row"] = side["row"] + rate * (side["rows"]["target"].mean(0)[mine] - side["row"])
        side["taken"] += 1
    if verb == "backward":
        return {}
    done = SIDES.pop(key)
    count = 0 if done["rows"] is None else len(done["rows"]["target"])
    return Fitted(Adapter(done["portion"].layout, done["row"]), count, {"loss/last": float(done["row"].norm())})


def cut(adapter, layout):
    """A toy adapter's first ranks."""
    pieces = []
    for index, part in enumerate(layout.parts):
        b, a = adapter.factors(index)
        pieces.append((b[:, : part.rank], a[: part.rank]))
    return build(layout, pieces)


WIRE = layouts_for(LAYOUT, {1, 2}, portions=PORTIONS)


@dataclass
class World:
    """Clients with targets and wishes, a folder, and everything between."""

    path: Path
    form: object
    targets: dict
    rounds: int = 2
    share: float = 1.0
    seed: int = 0
    sealed: bool = False
    late: tuple = ()
    absent: tuple = ()
    tests: tuple = ("own",)
    wishes: dict = field(default_factory=dict)
    later: dict = field(default_factory=dict)
    changes: tuple = ()
    sizes: dict = field(default_factory=dict)
    devices: Devices = Devices()
    wave: int = 64
    uplink: tuple = ()
    over: float = 0.0
    below_quorum: str = "stop"
    log: list = field(default_factory=list)
    events: list = field(default_factory=list)

    def loop(self):
        recipe = make_recipe({"rounds": self.rounds, "seed": self.seed}, "toy").model_copy(update={"form": self.form})
        pictures = recipe.pictures.model_copy(update={"prompts": ("a",), "hybrids": False})
        who = {"share": self.share, "over": self.over, "below_quorum": self.below_quorum}
        cohort = recipe.cohort.model_copy(update=who)
        recipe = recipe.model_copy(update={"pictures": pictures, "cohort": cohort, "changes": self.changes})
        header = Header(run="toy", backbone="toy", recipe="r", codec="raw")
        owners = (self.form, HeldOut(), Keeper(self.form), Listener(), Painter(("a",), 2, self.seed))
        by_name, mode = {type(o).__name__: o for o in owners}, wish_mode_of(self.form)
        devices = self.devices.of(list(self.targets), self.seed)
        rule = getattr(self.form, "aggregator", None)
        layouts = layouts_for(LAYOUT, {device.rank for device in devices.values()}, rule, PORTIONS)
        house = House(header, layouts, Raw(), by_name, self.seed, mode, self.uplink)
        hosts = {}
        for client, target in self.targets.items():
            rows = {"target": torch.as_tensor(target).expand(self.sizes.get(client, 2), LAYOUT.size).contiguous()}
            tests = {"own": {"target": rows["target"][:1].repeat_interleave(4, 0)}} if len(rows["target"]) else {}
            pixels = np.zeros((2, 4, 4, 3), np.uint8)
            folder = self.path / "sites" / client
            wishes = {"": self.wishes.get(client, client), "purpose": self.later.get(client, "")}
            about = (client, folder, rows, tests, 4, wishes, pixels, ("v", "w"), (pixels, ("x", "y")))
            theirs = {"rewishes": wishes_by_round(self.changes, client), "device": devices[client]}
            hosts[client] = SiteHost(Belongings(*about, **theirs), house)
        places = self.devices.places(self.targets, self.seed)
        facts = {
            c: Facts(len(h.belongings.train["target"]), c[0], devices[c].rank or None, places.get(c))
            for c, h in hosts.items()
        }
        times = {client: device.time(self.form.fit.steps) for client, device in devices.items()}
        courier = Lossy(hosts, self.late, self.absent)
        tell = lambda event, **more: self.events.append((event, more))  # noqa: E731
        reaches = self.devices.reaches(self.targets, self.seed)
        terms = Terms(
            header, courier, layouts, Raw(), facts, self.seed, 0.3, self.sealed, tell, self.wave, self.uplink, times,
            reaches, PORTIONS,
        )  # fmt: skip
        folder = RunFolder(self.path)
        return Loop(recipe, folder, terms, LAYOUT.start(1), self.tests, 1000, tell)

    def play(self):
        return trampoline(self.loop().play(), lambda kind, works: toy_work(kind, works, self.log))

    def final(self):
        """All that must be equal after a resume: state, memories, adapters."""
        loop = self.loop()
        state, book, _ = loop.folder.load(self.form, loop.terms.header, WIRE)
        files = {str(p.relative_to(self.path)): _numbers(p) for p in self.path.glob("**/adapters/**/*.safetensors")}
        memories = {
            client: _plain(SiteMemory(self.path / "sites" / client / "memory").read(version))
            for client, version in book.accepted.items()
        }
        return {"state": _plain(state._asdict()), "round": book.round, "files": files, "memories": memories}


class Lossy(InProcess):
    """Replies of ``(client, round)`` in ``late`` are trained and remembered at the site, but come too late."""

    def __init__(self, hosts, late, absent):
        super().__init__(hosts)
        self.late, self.absent = late, absent

    async def visit(self, client, request):
        from coterie.wire.envelope import unpack

        header, _ = unpack(request, self.hosts[client].house.layouts)
        if header.purpose == "train" and (client, header.round) in self.absent:
            raise ClientFailed("switched off")
        reply = await super().visit(client, request)
        if header.purpose == "train" and (client, header.round) in self.late:
            raise ClientFailed("too late")
        return reply


class Watched(Lossy):
    """Knows which visits are open, and what was handed over in each."""

    def __init__(self, hosts):
        super().__init__(hosts, (), ())
        self.open, self.visits = Counter(), []

    async def visit(self, client, request):
        self.open[client] += 1
        try:
            reply = await super().visit(client, request)
        finally:
            self.open[client] -= 1
        self.visits.append((client, request, reply))
        return reply


def watched(w, note=lambda kind, works: None):
    """Plays a world in which every piece of a client's work must fall into an open visit: results and all visits."""
    loop = w.loop()
    courier = Watched(loop.terms.courier.hosts)
    loop.terms = replace(loop.terms, courier=courier)

    def do(kind, works):
        note(kind, works)
        for work in works:
            assert work.client == "server" or courier.open[work.client], f"{work.client} does some {kind} unasked"
        return toy_work(kind, works)

    results = trampoline(loop.play(), do)
    known = {client: host.house.layouts for client, host in courier.hosts.items()}
    return results, [(c, unpack(request, known[c])[0], request, reply) for c, request, reply in courier.visits]


def _numbers(path):
    from safetensors.torch import load_file

    return {k: v.tolist() for k, v in sorted(load_file(path).items())}


def _plain(value):
    if isinstance(value, Adapter):
        return value.row.tolist()
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


@pytest.fixture
def world(tmp_path):
    """Makes worlds: ``world("fedavg", {...settings}, clients=4, rounds=2)``."""
    made = []

    def make(form="fedavg", settings=None, clients=4, **more):
        rng = torch.Generator().manual_seed(7)
        names = [f"{'ab'[i % 2]}{i}" for i in range(clients)]
        targets = {n: torch.randn(LAYOUT.size, generator=rng) + (5 if n[0] == "a" else -5) for n in names}
        built = form if not isinstance(form, str) else FORMS.build({"name": form, **(settings or {})})
        made.append(World(tmp_path / f"run-{len(made)}", built, targets, **more))
        return made[-1]

    make.again = lambda w, **more: replace(
        w, path=tmp_path / f"again-{len(list(tmp_path.iterdir()))}", log=[], events=[], **more
    )
    make.layout, make.effect, make.watched, make.work = LAYOUT, effect, watched, toy_work
    make.shelf, make.opened = Shelf, lambda blob: unpack(blob, WIRE)[1]
    return make
