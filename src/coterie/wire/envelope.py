"""Messages: a tree of tensors and plain values as one safetensors blob with a versioned header. Never a pickle.

A tree is made of dictionaries with string keys, lists, strings, numbers, booleans, None, tensors, and the core values
``Adapter``, ``Update`` and ``Task``. Adapters name their layout by digest: both ends know the layouts of a run. Factors
``b`` that are zero throughout (a fresh adapter's, or where ``a`` alone is shared) are not sent. Files that must stand
alone (memories, checkpoints) carry the layouts with them.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from coterie.core.adapter import Adapter, Layout, LowRank
from coterie.core.errors import UserError
from coterie.core.factors import is_unborn, layout_of, only, with_factor
from coterie.core.update import Update
from coterie.core.work import Task
from coterie.wire.chain import Chain
from coterie.wire.codec import Codec

PROTOCOL = 3
READS = (2, PROTOCOL)  # 2 sent zeros, too
MAX_HEADER_BYTES = 4_000_000
MAX_MESSAGE_BYTES = 2_000_000_000
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_WRONG = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError)
"""What reading a stranger's tree of plain values may raise; the last where it is nested too deeply."""


class BadMessage(UserError):
    """Bytes that are no message of this protocol: truncated, changed on the way, or of another version."""


@dataclass(frozen=True)
class Header:
    """What every message says about itself.

    Attributes:
        run: name of the run.
        round: from 1; 0 is enrolment.
        attempt: of this round, counted over restarts.
        call: number of the exchange within the round.
        half: ``Class.method`` of the half that is called or that answers.
        client: the one who is called or answers.
        accepted: the version of this client's memory that the server accepted last; empty if none.
        backbone: digest of the frozen model.
        recipe: digest of the resolved recipe.
        codec: how adapter rows are written.
        purpose: ``train``, ``evaluate``, ``enrol`` or ``keep``.
        trained: in an answer, how often the half sent an example forward and back, for whoever prices a run.
        scored: and how often forward only.
        protocol: version of this format.
    """

    run: str = ""
    round: int = 0
    attempt: int = 0
    call: int = 0
    half: str = ""
    client: str = ""
    accepted: str = ""
    backbone: str = ""
    recipe: str = ""
    codec: str = "raw"
    purpose: str = "train"
    trained: int = 0
    scored: int = 0
    protocol: int = PROTOCOL


def pack(
    header: Header,
    tree: Any,
    codec: Codec | Chain | None = None,
    standalone: bool = False,
    known: Sequence[Layout] = (),
) -> bytes:
    """One message.

    Args:
        header: what it says about itself.
        tree: of tensors, plain values and core values.
        codec: how adapters' rows are written.
        standalone: writes the layouts into it.
        known: layouts that the other end knows. An adapter that is the first of them at other ranks says its ranks.
    """
    writer = _Writer(_chain(codec), known, halves=not standalone)
    plain = writer.write(tree)
    layouts = {digest: layout.as_plain() for digest, layout in writer.layouts.items()} if standalone else {}
    body = hashlib.sha256()
    for name in sorted(writer.tensors):
        body.update(_raw_bytes(writer.tensors[name]))
    text = json.dumps({"header": asdict(header), "tree": plain, "layouts": layouts, "sum": body.hexdigest()[:16]})
    return save(writer.tensors, metadata={"coterie": text})


def unpack(blob: bytes, layouts: Iterable[Layout] = (), codec: Codec | Chain | None = None) -> tuple[Header, Any]:
    """Header and tree of a message.

    Args:
        blob: the bytes as they came.
        layouts: that adapters in the message may have, beside those the message carries.
        codec: that wrote the adapter rows.

    Raises:
        BadMessage: if anything about the bytes is not as the format says; nothing large is allocated before that.
    """
    meta = _checked_header(blob)
    try:
        content = json.loads(meta["coterie"])
        header = _header(content["header"])
        known = {layout.digest: layout for layout in layouts}
        known |= {digest: Layout.from_plain(plain) for digest, plain in content["layouts"].items()}
        tree, wanted = content["tree"], content["sum"]
        tensors = load(blob)
    except BadMessage:
        raise
    except (*_WRONG, UserError, SafetensorError) as error:
        raise BadMessage(f"a message's header cannot be read: {error}") from error
    body = hashlib.sha256()
    for name in sorted(tensors):
        body.update(_raw_bytes(tensors[name]))
    if body.hexdigest()[:16] != wanted:
        raise BadMessage("a message's checksum is wrong: it was changed on the way")
    reader = _Reader(tensors, known, _chain(codec))
    try:
        return header, reader.read(tree)
    except BadMessage:
        raise
    except (*_WRONG, UserError) as error:
        raise BadMessage(f"a message's tree cannot be read: {error}") from error


def overhead_bytes(blob: bytes) -> int:
    """Bytes of a message that are not tensor data."""
    return 8 + struct.unpack("<Q", blob[:8])[0]  # type: ignore[no-any-return]


class _Writer:
    def __init__(self, chain: Chain, known: Sequence[Layout] = (), halves: bool = False) -> None:
        self.chain, self.known, self.halves = chain, known, halves
        self.tensors: dict[str, Tensor] = {}
        self.layouts: dict[str, Layout] = {}

    def write(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, Tensor):
            return {"t": self._add(value)}
        if isinstance(value, Adapter):
            alone = self.halves and is_unborn(value)
            row = self.chain.write(only(value, "a") if alone else value)
            coded = {key: self._add(part) for key, part in row.items()}
            return {**self._layout(value.layout), **({"only": "a"} if alone else {}), "row": coded}
        if isinstance(value, Update):
            return {"u": [self.write(value.adapter), float(value.weight), self.write(dict(value.numbers))]}
        if isinstance(value, Task):
            return {
                "k": [
                    self.write(value.start),
                    value.train,
                    self.write(value.beside),
                    value.draw,
                    self.write(value.within),
                ]
            }
        if isinstance(value, Mapping):
            if not all(isinstance(key, str) for key in value):
                raise TypeError("keys of a tree are strings")
            return {"d": {key: self.write(item) for key, item in value.items()}}
        if isinstance(value, (list, tuple)):
            return {"l": [self.write(item) for item in value]}
        raise TypeError(
            f"{type(value).__name__} cannot travel: a tree holds tensors, plain values, Adapter, Update and Task"
        )

    def _layout(self, layout: Layout) -> dict[str, Any]:
        """What says a layout: its digest, or that of the one it has other ranks than."""
        if self.known and layout not in self.known:
            ranks = [part.rank for part in layout.parts if isinstance(part, LowRank)]
            first = self.known[0]
            if len(ranks) == _num_low_rank(first) and first.with_ranks(ranks) == layout:
                return {"a": first.digest, "ranks": ranks}
        self.layouts[layout.digest] = layout
        return {"a": layout.digest}

    def _add(self, tensor: Tensor) -> str:
        name = f"{len(self.tensors):05d}"
        self.tensors[name] = tensor.detach().cpu().contiguous().clone()
        return name


class _Reader:
    def __init__(self, tensors: dict[str, Tensor], layouts: Mapping[str, Layout], chain: Chain) -> None:
        self.tensors, self.layouts, self.chain = tensors, layouts, chain

    def read(self, node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        if "t" in node:
            return self.tensors[node["t"]]
        if "a" in node:
            if node["a"] not in self.layouts:
                raise BadMessage(f"an adapter has the layout {node['a']}, which this run does not know")
            layout = self.layouts[node["a"]]
            if "ranks" in node:
                layout = _at_ranks(layout, node["ranks"])
            row = {key: self.tensors[name] for key, name in node["row"].items()}
            if node.get("only") != "a":
                return self.chain.read(row, layout)
            return with_factor(layout.zeros(), "a", self.chain.read(row, layout_of(layout, "a")))
        if "u" in node:
            adapter, weight, numbers = node["u"]
            return Update(self.read(adapter), float(weight), self.read(numbers))
        if "k" in node:
            start, train, beside, draw, within = node["k"]
            return Task(self.read(start), str(train), self.read(beside), int(draw), self.read(within))
        if "d" in node:
            return {key: self.read(item) for key, item in node["d"].items()}
        return [self.read(item) for item in node["l"]]


def _chain(codec: Codec | Chain | None) -> Chain:
    return codec if isinstance(codec, Chain) else Chain((codec,) if codec is not None else ())


def _num_low_rank(layout: Layout) -> int:
    return sum(isinstance(part, LowRank) for part in layout.parts)


def _at_ranks(layout: Layout, ranks: Any) -> Layout:
    sound = isinstance(ranks, list) and all(type(rank) is int and 0 < rank < 2**20 for rank in ranks)
    if not sound or len(ranks) != _num_low_rank(layout):
        raise BadMessage("an adapter's ranks are no list of whole numbers, one for each layer")
    return layout.with_ranks(ranks)


def _checked_header(blob: bytes) -> dict[str, str]:
    if len(blob) < 8 or len(blob) > MAX_MESSAGE_BYTES:
        raise BadMessage(f"a message of {len(blob)} bytes is no message; it may be truncated")
    (length,) = struct.unpack("<Q", blob[:8])
    if length > MAX_HEADER_BYTES or length > len(blob) - 8:
        raise BadMessage(f"a message claims a header of {length} bytes in {len(blob)}; it may be truncated")
    try:
        table = json.loads(blob[8 : 8 + length])
        meta = table.pop("__metadata__")
        end = 0
        for entry in table.values():
            begin, stop = entry["data_offsets"]
            if begin != end or stop - begin != math.prod(entry["shape"]) * _BYTES[entry["dtype"]]:
                raise BadMessage("a message's tensor table does not add up")
            end = stop
    except BadMessage:
        raise
    except _WRONG as error:
        raise BadMessage(f"a message's tensor table cannot be read: {error}") from error
    if 8 + length + end != len(blob):
        raise BadMessage(f"a message should have {8 + length + end} bytes and has {len(blob)}; it is truncated")
    return meta  # type: ignore[no-any-return]


def _header(plain: dict[str, Any]) -> Header:
    if plain.get("protocol") not in READS:
        raise BadMessage(f"a message speaks protocol {plain.get('protocol')}; this Coterie speaks {PROTOCOL}")
    return Header(**{f.name: plain[f.name] for f in fields(Header)})


def _raw_bytes(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
