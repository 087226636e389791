"""One round of any rule without a run: what clients are asked to train, what they send, what is served."""

import torch

from coterie.core.adapter import Adapter, Layout, LowRank, build, crossed
from coterie.core.update import Update
from coterie.engines.replies import ReplyMap
from coterie.federation.shelves import AGGREGATORS

SHAPES = (("to_q", 7, 5), ("conv", 4, 18))
WHOLE = {"ties": {"density": 1.0}}  # trimming changes even what all agree on


def layout(rank, scale=0.5):
    return Layout("b", tuple(LowRank(name, out, columns, rank, scale) for name, out, columns in SHAPES))


def adapter(seed, rank=3, scale=0.5):
    rng = torch.Generator().manual_seed(seed)
    where = layout(rank, scale)
    return Adapter(where, torch.randn(where.size, generator=rng))


def dense(adapter):
    """Effective updates, float64."""
    out = []
    for index, part in enumerate(adapter.layout.parts):
        b, a = adapter.factors(index)
        out.append(part.scale * b.double() @ a.double())
    return out


def built(rule, **settings):
    return AGGREGATORS.build({"name": rule, **WHOLE.get(rule, {}), **settings})


def close(got, wanted, tolerance=2e-6):
    """Adapters are float32, so equality of updates is float32's."""
    for one, other in zip(dense(got), dense(wanted) if isinstance(wanted, Adapter) else wanted, strict=True):
        assert (one - other).norm() <= tolerance * max(float(other.norm()), 1e-6)


class Round:
    """A round of a rule.

    ``trained`` are the clients' adapters as their training would leave them; what a task forbids to change is put
    back. ``effects`` are then the clients' whole effective updates and ``served`` what everybody gets.
    """

    def __init__(self, rule, current, trained, weights, state=None, ids=None):
        made = built(rule) if isinstance(rule, str) else rule
        before = made.init(current) if state is None else state
        self.values, self.effects, kept = {}, [], []
        for k, (adapter, weight) in enumerate(zip(trained, weights, strict=True)):
            task = made.task(before, current, adapter.layout.parts[0].rank)
            if task.train == "b":
                adapter = crossed(a_of=task.start, b_of=adapter)
            if task.within is not None:
                pieces = []
                for index in range(len(SHAPES)):
                    (b, a), base = adapter.factors(index), task.within.dense(index)
                    pieces.append((base.T @ (base @ b), a))
                adapter = build(adapter.layout, pieces)
            if task.train == "a":
                adapter = crossed(a_of=adapter, b_of=task.start)
            kept.append(adapter)
            below = [0.0] * len(SHAPES) if task.beside is None else dense(task.beside)
            self.effects.append([x + y for x, y in zip(dense(adapter), below, strict=True)])
            self.values[f"c{k:02d}" if ids is None else ids[k]] = Update(made.report(adapter, task), weight)
        self.sent = [update.adapter.layout.size for update in self.values.values()]
        self.asked, question = made.question(before, ReplyMap(self.values, {}))
        self.question = question
        if question is not None:
            for (client, first), adapter in zip(list(self.values.items()), kept, strict=True):
                self.values[client] = Update(made.answer(adapter, question), first.weight)
            self.sent = [n + u.adapter.layout.size for n, u in zip(self.sent, self.values.values(), strict=True)]
        self.state, self.adapter, self.numbers = made.apply(self.asked, current, ReplyMap(self.values, {}))
        self.served = made.served(self.state, self.adapter)
        self.tasks = [made.task(before, current, a.layout.parts[0].rank) for a in trained]
