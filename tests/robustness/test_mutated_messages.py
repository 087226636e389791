"""500 damaged messages: what comes over the wire is a tree, or a ``BadMessage``."""

import json
import random
import struct

import torch

from coterie.core.adapter import Layout, LowRank
from coterie.wire.envelope import BadMessage, Header, pack, unpack

STRANGE = [None, [], {}, "x", -1, 2**70, [[]], {"t": "zz"}, {"a": []}, {"d": []}, {"l": 3}, {"u": [1]}]


def _stray(node, rng):
    """Somewhere below a node something else."""
    if isinstance(node, dict) and node:
        key = rng.choice(list(node))
        if rng.random() < 0.4:
            node[key] = rng.choice(STRANGE)
        else:
            _stray(node[key], rng)
    elif isinstance(node, list) and node:
        _stray(rng.choice(node), rng)


def _lying(blob, rng):
    """The same numbers below a header that says something else, and can be read."""
    (length,) = struct.unpack("<Q", blob[:8])
    table = json.loads(blob[8 : 8 + length])
    content = json.loads(table["__metadata__"]["coterie"])
    _stray(rng.choice((content, content, table)), rng)
    if rng.random() < 0.1:
        content["tree"] = "DEEP"
    if isinstance(table.get("__metadata__"), dict) and "coterie" in table["__metadata__"]:
        text = json.dumps(content).replace('"DEEP"', '{"l": [' * 5000 + "1" + "]}" * 5000)
        table["__metadata__"]["coterie"] = text
    raw = json.dumps(table).encode() if rng.random() < 0.95 else b"[" * 100_000
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + blob[8 + length :]


def test_500_messages(damage):
    layout = Layout("abc", (LowRank("x", 4, 3, 2, 1.0),))
    tree = {"adapter": layout.start(0), "plain": [1, 2.5, None, "x"], "numbers": torch.arange(5)}
    sound = pack(Header(run="r"), tree, standalone=True)
    broken = [data for _, data in damage(6, [sound], 250)]
    broken += [_lying(sound, random.Random(number)) for number in range(250)]
    read = 0
    for data in broken:
        try:
            unpack(data)
            read += 1
        except BadMessage:
            continue
    assert len(broken) == 500
    assert read < 250
