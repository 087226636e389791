"""One side of a split model in training: what it computes when a message comes, and what it remembers in between.

Between messages there is no graph, only the batch and what was given: when a gradient comes, the forward pass is run
once more, as with activation checkpointing (Chen et al., 2016, arXiv:1604.06174). So sides can share one network and
one bank. Rows are at the bank's first slot; a pass has no other, so a side's numbers depend on its own data alone.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from coterie.bank.bank import Bank
from coterie.bank.fit import FitJob, NotFinite, clipped, fitted, is_finite, levels_of, rate_at, with_pull
from coterie.bank.optimiser import optimiser_for
from coterie.core.adapter import Adapter
from coterie.core.split import Passed, places, put_together
from coterie.core.work import Fit, Fitted
from coterie.models.backbone import Rows, Shaped, count_of, sets_of
from coterie.models.parts import Parts


class OneSide:
    """What both sides do: a portion of the adapter, its optimiser, and a bank that is bound to it for a pass.

    Args:
        bank: of the process.
        parts: the network, cut.
        portion: of the adapter.
        fit: how it is trained; ``clip`` bounds the portion's gradient, for no side knows the other's.
    """

    def __init__(self, bank: Bank, parts: Parts, portion: Adapter, fit: Fit) -> None:
        self.bank, self.parts, self.fit, self.layout = bank, parts, fit, portion.layout
        self.mine = places(bank.template, portion.layout).to(bank.device)
        self.row = nn.Parameter(portion.row.clone().to(bank.device))
        self.anchor = portion.row.to(bank.device) if fit.mu else None
        self.optimiser = optimiser_for([self.row], [fit.weight_decay], bank.moments, fit.optimiser)
        self.losses: list[float] = []
        self.taken, self.examples = 0, 0

    @contextlib.contextmanager
    def bound(self) -> Iterator[None]:
        """The portion in the network, everything else bare."""
        self.bank.reserve(1)
        self.bank.load(0, put_together(self.bank.template, [self.portion]))
        self.bank.bind_training()
        try:
            with warnings.catch_warnings():  # strided gradients are meant: they are views of one flat tensor
                warnings.filterwarnings("ignore", message="grad and param do not obey")
                yield
        finally:
            self.bank.release()

    @property
    def portion(self) -> Adapter:
        """As it is now."""
        return Adapter(self.layout, self.row.detach().clone().cpu())

    def step(self) -> None:
        """One of the optimiser, along what the bank's backward pass found."""
        gradient = self.bank.grad[0].float()[self.mine]
        gradient = with_pull(gradient, self.row.detach(), self.fit, self.anchor)
        self.row.grad = clipped(gradient, self.fit.clip, None)
        self.optimiser.param_groups[0]["lr"] = rate_at(self.fit, self.taken)
        if len(self.row):
            self.optimiser.step()
        self.row.grad = None
        self.taken += 1

    def heard(self, loss: Tensor) -> None:
        """Remembers a loss.

        Raises:
            NotFinite: if it is no number.
        """
        self.losses.append(float(loss.detach()))
        if not is_finite(self.losses[-1]):
            raise NotFinite("the training loss is no finite number; try a smaller form.fit.rate")

    def end(self) -> Fitted:
        """What training made of the portion."""
        portion = self.portion
        if not torch.isfinite(portion.row).all():
            raise NotFinite("a trained number is not finite; try a smaller form.fit.rate")
        return fitted(portion, self.examples, self.fit, self.losses, self.taken)


class AtClient(OneSide):
    """A client's side, with its examples: draws are those of ``bank.fit`` with the same seed."""

    def __init__(
        self, bank: Bank, parts: Parts, portion: Adapter, fit: Fit, prepared: Rows | Shaped, seed: int
    ) -> None:
        super().__init__(bank, parts, portion, fit)
        self.sets, self.examples = sets_of(prepared), count_of(prepared)
        self.turns = FitJob("", portion, fit, prepared, seed).turns if self.examples else []
        self.generator = torch.Generator().manual_seed(seed)
        self.rows: Rows = {}
        self.back: Tensor | None = None

    def forward(self, given: Passed) -> Passed:
        rows, fit = self.sets[self.turns[self.taken].bucket], self.fit
        self.rows = self.bank.backbone.draw(rows, fit.batch, fit.drop, self.generator, *levels_of(fit))
        with self.bound():
            passed, _ = self.parts.client(self.rows, None)
            return sent(passed)

    def loss(self, given: Passed) -> Passed:
        self.back = given["h"]
        with self.bound():
            back = leaf(given["h"])
            loss = mean_of(self.parts.client(self.rows, back)[1])
            self.heard(loss)
            (gradient,) = torch.autograd.grad(loss, back)
            return {"h": gradient.cpu()}

    def backward(self, given: Passed) -> Passed:
        with self.bound():
            passed, losses = self.parts.client(self.rows, None if self.back is None else leaf(self.back))
            ends = [passed[name] for name in given]
            gradients: list[Tensor | None] = [given[name].to(passed[name].device) for name in given]
            if losses is not None:
                ends, gradients = [mean_of(losses), *ends], [None, *gradients]
            if ends:
                torch.autograd.backward(ends, gradients)
            self.step()
        return {}


class AtServer(OneSide):
    """The server's side; in the V-shape its loss is the only one."""

    given: Passed

    def forward(self, given: Passed) -> Passed:
        self.given = given
        with self.bound(), torch.no_grad():
            h = self.parts.server(tensors(given))
        return {"h": h.cpu(), "live": ["h"]}

    def backward(self, given: Passed) -> Passed:
        with self.bound():
            leaves = {name: leaf(self.given[name]) for name in self.given["live"]}
            h = self.parts.server({**tensors(self.given), **leaves})
            if h.requires_grad:
                torch.autograd.backward(h, given["h"].to(h.device))
            self.step()
        return gradients_of(leaves)

    def loss(self, given: Passed) -> Passed:
        with self.bound():
            leaves = {name: leaf(given[name]) for name in given["live"]}
            loss = mean_of(self.parts.server({**tensors(given), **leaves}))
            self.heard(loss)
            loss.backward()
            self.step()
        return gradients_of(leaves)


def leaf(tensor: Tensor) -> Tensor:
    """The same numbers, where a gradient ends."""
    return tensor.detach().clone().requires_grad_(True)


def mean_of(losses: Tensor | None) -> Tensor:
    """One client's mean loss, as ``bank.fit`` takes it."""
    assert losses is not None
    return losses.view(1, -1).mean(1).sum()


def sent(passed: Mapping[str, Tensor]) -> Passed:
    """What is handed over, and which of it depends on what is trained before it."""
    live = [name for name, value in passed.items() if value.requires_grad]
    return {**{name: value.detach().cpu() for name, value in passed.items()}, "live": live}


def tensors(given: Passed) -> dict[str, Tensor]:
    return {name: value for name, value in given.items() if name != "live"}


def gradients_of(leaves: Mapping[str, Tensor]) -> Passed:
    """Of what was given; what is not read has none, and nothing of it is sent."""
    return {name: value.grad.cpu() for name, value in leaves.items() if value.grad is not None}


class Sides:
    """All sides that this process has in training, by whose they are.

    Args:
        bank: of the process.
        parts: the network, cut.
    """

    def __init__(self, bank: Bank, parts: Parts) -> None:
        self.bank, self.parts = bank, parts
        self.now: dict[tuple[str, str, str], AtClient | AtServer] = {}

    def do(self, who: str, asked: Mapping[str, Any]) -> Any:
        """Does what one side is asked for.

        Args:
            who: client, or server.
            asked: ``verb`` (a member of ``coterie.core.split.Side``), ``during`` (the round's attempt, beyond which
                nothing is remembered), ``name`` where somebody has several sides, and what the verb takes.

        Raises:
            NotFinite: if a number is none any more.
            LookupError: if such a side was not begun in this attempt: the process is another one.
        """
        key, verb = (asked["during"], who, asked["name"]), asked["verb"]
        if verb == "begin":
            self.now = {other: side for other, side in self.now.items() if other[0] == key[0]}
            portion, fit = asked["portion"], asked["fit"]
            self.now[key] = (
                AtServer(self.bank, self.parts, portion, fit)
                if asked.get("rows") is None
                else AtClient(self.bank, self.parts, portion, fit, asked["rows"], asked["seed"])
            )
            return fit.steps
        if key not in self.now:
            raise LookupError(f"{who} has lost its place in the round")
        if verb == "end":
            side, given = self.now.pop(key), asked["given"]
            if given is not None:
                side.backward(given)
            return side.end()
        return getattr(self.now[key], verb)(asked["given"])
