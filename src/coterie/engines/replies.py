"""What ``map`` returns: replies in client order, failures as values, sealed or open, whole or only their sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coterie.core.adapter import Adapter, Layout, require_same_layout
from coterie.core.errors import UserError
from coterie.core.update import Update


class Sealed(UserError):
    """A single reply was read in a run that seals them."""


@dataclass
class Sum:
    """``sum_k w_k row_k`` over whole rows in float64, update by update.

    On factors its mean is the factor average of FedAvg with LoRA, not the average of the products.
    """

    layout: Layout | None = None
    row: Tensor | None = None
    weight: float = 0.0

    def add(self, update: Update) -> None:
        """One more update.

        Raises:
            UserError: if its layout is another than that of the first.
        """
        self._add(update.adapter.layout, update.weight * update.adapter.row.double(), float(update.weight))

    def join(self, other: Sum) -> None:
        """All of another sum."""
        if other.layout is not None and other.row is not None:
            self._add(other.layout, other.row, other.weight)

    def _add(self, layout: Layout, row: Tensor, weight: float) -> None:
        if self.layout is None or self.row is None:
            self.layout, self.row = layout, torch.zeros(layout.size, dtype=torch.float64)
        require_same_layout(self.layout, layout, "; use the aggregator product_svd or rank_bands")
        self.row += row
        self.weight += weight

    def mean(self) -> Adapter:
        """``sum_k w_k row_k / sum_k w_k``.

        Raises:
            UserError: if there is no weight.
        """
        if self.layout is None or self.row is None or self.weight <= 0:
            raise UserError("nobody answered with any example: there is nothing to average")
        return Adapter(self.layout, (self.row / self.weight).float())


class ReplyMap:
    """Replies by client, in order of client ids, not of arrival.

    Args:
        values: what each client answered.
        failures: why each of the others did not.
        sealed: only ``weight`` and ``mean`` may be read, as under secure aggregation.
    """

    def __init__(self, values: Mapping[str, Any], failures: Mapping[str, str], sealed: bool = False) -> None:
        self._values = {client: values[client] for client in sorted(values)}
        self.failures: Mapping[str, str] = dict(failures)
        self.sealed = sealed

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, client: str) -> Any:
        self._require_open()
        return self._values[client]

    def items(self) -> Sequence[tuple[str, Any]]:
        self._require_open()
        return list(self._values.items())

    @property
    def numbers(self) -> Mapping[str, Mapping[str, float]]:
        self._require_open()
        return {client: update.numbers for client, update in self._values.items()}

    @property
    def weight(self) -> float:
        return float(sum(update.weight for update in self._values.values()))

    def mean(self) -> Adapter:
        """``sum_k w_k row_k / sum_k w_k`` in client order, in float64.

        Raises:
            UserError: if nobody answered with any weight, or the layouts differ.
        """
        total = Sum()
        for update in self._values.values():
            total.add(update)
        return total.mean()

    def pick(self, name: str) -> ReplyMap:
        return ReplyMap({c: value[name] for c, value in self._values.items()}, self.failures, self.sealed)

    def groups(self, by: Mapping[str, str]) -> Mapping[str, ReplyMap]:
        names = sorted({by[client] for client in self._values})
        return {
            name: ReplyMap({c: v for c, v in self._values.items() if by[c] == name}, {}, self.sealed) for name in names
        }

    def _require_open(self) -> None:
        if self.sealed:
            raise Sealed("this run seals single replies: only their weight and mean can be read")


class SumMap:
    """Replies of which only sums were kept, so that a thousand of them take as much memory as ten.

    Args:
        part: which sum a client's update belongs to.
        sealed: also numbers of single replies stay closed.
    """

    def __init__(self, part: Callable[[str, Update], str], sealed: bool = False) -> None:
        self.part, self.sealed = part, sealed
        self.failures: dict[str, str] = {}
        self._sums: dict[str, Sum] = {}
        self._parts: dict[str, str] = {}
        self._numbers: dict[str, Mapping[str, float]] = {}

    def add(self, client: str, update: Update) -> None:
        """Adds an update up; to be called in client order, so that sums do not depend on who came first."""
        name = self._parts[client] = self.part(client, update)
        self._numbers[client] = update.numbers
        self._sums.setdefault(name, Sum()).add(update)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, client: str) -> Any:
        raise Sealed(f"only sums of replies were kept, not that of {client}")

    def items(self) -> Sequence[tuple[str, Any]]:
        raise Sealed("only sums of replies were kept, no single ones")

    @property
    def numbers(self) -> Mapping[str, Mapping[str, float]]:
        if self.sealed:
            raise Sealed("this run seals single replies: only their weight and mean can be read")
        return dict(self._numbers)

    @property
    def weight(self) -> float:
        return sum(total.weight for total in self._sums.values())

    def mean(self) -> Adapter:
        """As of whole replies, up to rounding where there are several sums.

        Raises:
            UserError: if nobody answered with any weight, or the layouts differ.
        """
        total = Sum()
        for name in sorted(self._sums):
            total.join(self._sums[name])
        return total.mean()

    def pick(self, name: str) -> SumMap:
        raise Sealed(f"only sums of whole replies were kept, not of their {name!r}")

    def groups(self, by: Mapping[str, str]) -> Mapping[str, SumMap]:
        """The sums, each by its name in ``by``.

        Raises:
            ValueError: if ``by`` parts the clients otherwise than they were added up.
        """
        found: dict[str, SumMap] = {}
        for client, part in self._parts.items():
            one = found.setdefault(by[client], SumMap(self.part, self.sealed))
            one._parts[client], one._numbers[client] = part, self._numbers[client]
            one._sums[part] = self._sums[part]
        if sum(len(one._sums) for one in found.values()) != len(self._sums):
            raise ValueError("replies were added up in other groups than are asked for")
        return {name: found[name] for name in sorted(found)}
