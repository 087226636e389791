"""Codecs one after another, over what both ends know: the adapters of the request, and what error feedback left over.

Error feedback: Seide et al., Interspeech 2014; Stich, Cordonnier and Jaggi, NeurIPS 2018, arXiv:1809.07599.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from coterie.core.adapter import Adapter, Layout
from coterie.core.errors import UserError
from coterie.core.factors import FACTORS, layout_of, only
from coterie.core.update import Update
from coterie.core.work import Task
from coterie.wire.codec import Codec, Known
from coterie.wire.codecs.raw import Raw


@dataclass
class Chain:
    """How the adapters of one message are written or read.

    Attributes:
        codecs: in the order of writing; one that does not end in numbers as they travel is followed by ``raw``.
        references: the adapters that the sender of this message was sent in the same exchange.
        left: what earlier messages lost, by number and layout of an adapter in the message; what this one loses is
            written here too.
    """

    codecs: tuple[Codec, ...] = (Raw(),)
    references: Sequence[Adapter] = ()
    left: dict[str, Tensor] = field(default_factory=dict)
    written: int = 0

    def __post_init__(self) -> None:
        if not self.codecs or not self.codecs[-1].last:
            self.codecs = (*self.codecs, Raw())

    def write(self, adapter: Adapter) -> dict[str, Tensor]:
        """An adapter's row as named tensors."""
        name, row = f"{self.written}.{adapter.layout.digest}", adapter.row
        self.written += 1
        if not any(codec.feedback for codec in self.codecs):
            return self._encode(row, adapter.layout)
        row = row + self.left.get(name, torch.zeros_like(row))
        coded = self._encode(row, adapter.layout)
        self.left[name] = row - self.read(coded, adapter.layout).row
        return coded

    def read(self, coded: Mapping[str, Tensor], layout: Layout) -> Adapter:
        """The inverse of ``write``.

        Raises:
            UserError: if the tensors are not what these codecs write for such a layout.
        """
        nearest, rest = coded.get("near"), {key: value for key, value in coded.items() if key != "near"}
        candidates = self._candidates(layout)
        try:
            chosen = int(nearest.item()) if nearest is not None else 0
            known = Known(layout, candidates[chosen].row if candidates else None)
            knowns = [known]
            for codec in self.codecs[:-1]:
                knowns.append(codec.passed_on(knowns[-1]))
            row = torch.zeros(0)
            for i in reversed(range(len(self.codecs))):
                mine = {key.removeprefix(f"{i}."): value for key, value in rest.items() if key.startswith(f"{i}.")}
                if i == len(self.codecs) - 1:
                    mine = {key: value for key, value in rest.items() if "." not in key}
                else:
                    mine["x"] = row
                row = self.codecs[i].decode(mine, knowns[i])
        except (RuntimeError, IndexError) as error:
            raise UserError(f"an adapter cannot be decoded: {error}") from error
        return Adapter(layout, row)

    def _encode(self, row: Tensor, layout: Layout) -> dict[str, Tensor]:
        candidates, coded = self._candidates(layout), {}
        known = Known(layout)
        if candidates:
            away = [float((row - one.row).square().sum()) for one in candidates]
            chosen = min(range(len(away)), key=away.__getitem__)
            known = Known(layout, candidates[chosen].row)
            if len(candidates) > 1:
                coded["near"] = torch.tensor([chosen], dtype=torch.int32)
        for i, codec in enumerate(self.codecs):
            made = codec.encode(row, known)
            known = codec.passed_on(known)
            if i == len(self.codecs) - 1:
                return {**coded, **made}
            row = made.pop("x")
            coded |= {f"{i}.{key}": value for key, value in made.items()}
        raise AssertionError("a chain ends in a codec that is the last")

    def _candidates(self, layout: Layout) -> list[Adapter]:
        """What an adapter of a layout may be near to: references of that layout, or one factor of each."""
        whole = [one for one in self.references if one.layout == layout]
        return whole or [
            only(one, factor)
            for one in self.references
            for factor in FACTORS
            if layout_of(one.layout, factor) == layout
        ]


def adapters_in(value: Any) -> list[Adapter]:
    """The adapters of a tree that a client may have trained on, in order; not what lay frozen beside."""
    if isinstance(value, Adapter):
        return [value]
    if isinstance(value, Task):
        return [value.start]
    if isinstance(value, Update):
        return [value.adapter]
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return [adapter for item in items for adapter in adapters_in(item)]
