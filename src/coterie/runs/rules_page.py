"""The reference of what averages and what is sent, as tables: out of the shelves and of messages that are written."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from coterie.core.adapter import Adapter, Layout, LowRank, build
from coterie.core.update import Update
from coterie.federation.shelves import AGGREGATORS, FORMS, OPTIMISERS
from coterie.runs.compatible import ASKS
from coterie.wire.chain import Chain
from coterie.wire.codec import CODECS, Codec
from coterie.wire.envelope import Header, pack, unpack

HEAD = """# Rules and codecs

Made of the code. What the words mean is in [How replies become one adapter](../explanation/aggregation.md) and
[How adapters are written](../explanation/codecs.md).

## Rules

`form.aggregator`. A layer has `m` outputs and `n` inputs, `r` is the rank, `K` the clients of a round, `t` the rounds
behind, `q` the width of a sketch. *Exact*: what is served is the weighted mean of what the clients' adapters do, up to
the chosen rank. *Linear*: only sums of replies are read, so it works sealed. *By factors*: the same updates, written
with other factors, come to something else. *Numbers up* and *down* are those of one layer, one client and one round,
before the codec.
"""
ASKED = """
What a rule asks of clients is given by these forms:

| asked | forms | the rule |
|---|---|---|
"""
OPTIMISER_HEAD = """
## Server optimisers

`server` of a rule that has one: {rules}. A rule that writes factors anew in every round has none.

| optimiser | what it does | remembers |
|---|---|---|
"""
CODEC_HEAD = """
## Codecs

Each row is a message that was written and read: a first training of {layers} layers at rank {rank}, {numbers:,}
numbers, most changes small, a few large, each component half as large as the one before. It is made up and always the
same.
`bytes` is the whole message, `a number` what each number takes of it. `error` is that of what adapters do,
`|decoded - trained| / |trained - received|`: 1 is as if nothing had been sent. What error feedback brings in later
rounds is not in it.

| `uplink` | bytes | a number | error |
|---|---|---|---|
"""
SHOWN: tuple[tuple[Any, ...], ...] = (
    ("raw",), ("cast",), ("int8",), ("int4",), ("delta", "cast"), ("delta", "int8"), ("delta", "int4"),
    ("delta", {"name": "top_k", "share": 0.1}, "int8"), ("delta", {"name": "top_k", "share": 0.01}, "int8"),
    ("delta", {"name": "top_k", "share": 0.01}, "int4"), ("low_rank",), ({"name": "low_rank", "rank": 4}, "int8"),
)  # fmt: skip


def rules_page() -> str:
    """The whole page, in Markdown."""
    return HEAD + _rules() + ASKED + _asked() + _optimisers() + _codecs()


def _rules() -> str:
    rows = "\n| rule | exact | mixed ranks | linear | by factors | writes factors anew | numbers up | numbers down |\n"
    rows += "|---|---|---|---|---|---|---|---|\n"
    for name in AGGREGATORS.names():
        rule = AGGREGATORS[name]
        marks = (rule.exact, rule.mixed_ranks, rule.linear, rule.by_factors, rule.rewrites)
        cells = " | ".join("yes" if mark else "no" for mark in marks)
        rows += f"| [`{name}`](recipe.md#formaggregatorname--{name}) | {cells} | `{rule.up}` | `{rule.down}` |\n"
    return rows


def _asked() -> str:
    rows = ""
    for asks in sorted({AGGREGATORS[name].asks for name in AGGREGATORS.names()} - {""}):
        forms = [name for name in FORMS.names() if asks in getattr(FORMS[name], "gives", ())]
        rules = [name for name in AGGREGATORS.names() if AGGREGATORS[name].asks == asks]
        rows += f"| {', '.join(f'`{r}`' for r in rules)} | {', '.join(f'`{f}`' for f in forms)} | {ASKS[asks]} |\n"
    return rows


def _optimisers() -> str:
    having = [f"`{name}`" for name in AGGREGATORS.names() if "server" in inspect.get_annotations(AGGREGATORS[name])]
    rows = OPTIMISER_HEAD.format(rules=", ".join(having))
    for name in OPTIMISERS.names():
        about = (inspect.getdoc(OPTIMISERS[name]) or "").partition("\n")[0].replace("``", "`")
        rows += f"| `{name}` | {about} | {'moments' if OPTIMISERS[name].remembers else 'nothing'} |\n"
    return rows


def example() -> tuple[Adapter, Adapter]:
    """A received adapter and a trained one; always the same."""
    layout = Layout("example", tuple(LowRank(f"layer{i}", 320, 320, 8) for i in range(16)))
    received, rng = layout.start(0), torch.Generator().manual_seed(0)
    pieces = []
    for index in range(len(layout.parts)):
        b, a = received.factors(index)
        changes = [torch.randn(320, 8, generator=rng) ** 3 * 0.5 ** torch.arange(8) for _ in range(2)]
        pieces.append((b + 0.005 * changes[0], a + 0.002 * changes[1].T))
    return received, build(layout, pieces)


def measured(codecs: tuple[Codec, ...]) -> tuple[int, float]:
    """Bytes of the example's message, and the error of what the decoded adapter does in shares of the change."""
    received, trained = example()
    blob = pack(Header(), Update(trained, 1.0), Chain(codecs, [received]), known=[trained.layout])
    _, update = unpack(blob, [trained.layout], Chain(codecs, [received]))
    lost = whole = 0.0
    for index in range(len(trained.layout.parts)):
        done, wanted, before = (b @ a for b, a in (x.factors(index) for x in (update.adapter, trained, received)))
        lost += float((done - wanted).square().sum())
        whole += float((wanted - before).square().sum())
    return len(blob), (lost / whole) ** 0.5


def _codecs() -> str:
    layout = example()[0].layout
    rows = CODEC_HEAD.format(layers=len(layout.parts), rank=8, numbers=layout.size)
    for names in SHOWN:
        size, error = measured(tuple(CODECS.build(name) for name in names))
        spelled = ", ".join(
            n if isinstance(n, str) else f"{n['name']} {n.get('share', n.get('rank')):g}" for n in names
        )
        rows += f"| `{spelled}` | {size:,} | {size / layout.size:.3f} | {error:.1g} |\n"
    return rows
