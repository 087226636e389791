"""The two sides of a split model beside each other, and the whole one."""

import torch

from coterie.bank import sides
from coterie.bank.sides import Sides
from coterie.core.split import portion_of, put_together
from coterie.models.parts import portions_of


def started(layout, seed=5):
    """Both factors are something, so that every gradient is."""
    start = layout.start(seed)
    return type(start)(layout, start.row + 0.05 * torch.randn(layout.size, generator=torch.Generator().manual_seed(9)))


def whole_gradient(bank, start, rows):
    bank.reserve(1)
    bank.load(0, start)
    bank.bind_training()
    sides.mean_of(bank.backbone.losses(rows)).backward()
    bank.release()
    return bank.grad[0].clone()


class Played:
    """A client and a server that hand each other what they must, and the gradients that both found."""

    def __init__(self, bank, shape, cut, start, settings, rows, seed):
        self.parts = bank.backbone.parts(cut, shape)
        self.portions = portions_of(bank.template, self.parts)
        self.sides, self.shape, self.start = Sides(bank, self.parts), shape, start
        self.gradients, self.handed = [], []
        of = {"client": self.portions.client, "server": self.portions.server}
        for who, more in (("client", {"rows": rows, "seed": seed}), ("server", {})):
            self.ask(who, "begin", portion=portion_of(start, of[who]), fit=settings, **more)

    def ask(self, who, verb, given=None, **more):
        answer = self.sides.do(who, {"verb": verb, "during": "1.1", "name": "", "given": given, **more})
        self.handed.append((who, verb, answer))
        return answer

    def step(self, last=False):
        h1 = self.ask("client", "forward", {})
        if self.shape == "v":
            g1 = self.ask("server", "loss", h1)
        else:
            h2 = self.ask("server", "forward", h1)
            g1 = self.ask("server", "backward", self.ask("client", "loss", h2))
        if not last:
            self.ask("client", "backward", g1)
        return g1

    def train(self, steps):
        for step in range(1, steps + 1):
            g1 = self.step(step == steps)
        ends = [self.ask("client", "end", g1), self.ask("server", "end")]
        return put_together(self.start.layout, [end.adapter for end in ends])


def noted(monkeypatch):
    """The gradient of each portion, as its side takes a step."""
    found, step = {}, sides.OneSide.step

    def noting(self):
        found[type(self).__name__] = self.bank.grad[0][self.mine].clone()
        step(self)

    monkeypatch.setattr(sides.OneSide, "step", noting)
    return found


def relative(one, other):
    return float((one - other).norm() / other.norm())
