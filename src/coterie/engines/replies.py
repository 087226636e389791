"""What ``map`` returns: replies in client order, failures as values, sealed or open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from coterie.core.adapter import Adapter, weighted_sum
from coterie.core.errors import UserError


class Sealed(UserError):
    """A single reply was read in a run that seals them."""


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
    def weight(self) -> float:
        return float(sum(update.weight for update in self._values.values()))

    def mean(self) -> Adapter:
        """``sum_k w_k row_k / sum_k w_k`` in client order, in float64.

        Raises:
            UserError: if nobody answered with any weight, or the layouts differ.
        """
        total = self.weight
        if total <= 0:
            raise UserError("nobody answered with any example: there is nothing to average")
        updates = list(self._values.values())
        return weighted_sum([u.adapter for u in updates], [u.weight / total for u in updates])

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
