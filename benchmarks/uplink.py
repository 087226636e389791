"""What one client sends in a round: an adapter against the whole model, both packed and counted on the same wire.

    python benchmarks/uplink.py

Every row is the length of a real message: header, tensor table and numbers at two bytes each. The last line is JSON.
"""

from __future__ import annotations

import json
import os

os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")

import torch

from coterie.core.adapter import Adapter, Dense, Layout
from coterie.core.update import Update
from coterie.models.backbones.doodle import TARGETS, Doodle
from coterie.wire.codecs.cast import Cast
from coterie.wire.envelope import Header, overhead_bytes, pack, unpack

HEADER = Header(run="uplink", round=1, attempt=1, half="FedAvg.client_update", client="ada", codec="cast")


def message(layout: Layout) -> bytes:
    blob = pack(HEADER, Update(Adapter(layout, torch.randn(layout.size)), 12.0, {"loss/last": 0.3}), Cast())
    assert unpack(blob, [layout], Cast())[1].adapter.layout == layout
    return blob


def main() -> None:
    model = Doodle()
    whole = Layout(model.digest, tuple(Dense(n, tuple(p.shape)) for n, p in model.network.named_parameters()))
    full = message(whole)
    print(
        f"{'placement':<10} {'rank':>4}  {'numbers':>10}  {'bytes':>10}  {'of them header':>14}  less than full FedAvg"
    )
    print(f"{'full':<10} {'':>4}  {whole.size:>10,}  {len(full):>10,}  {overhead_bytes(full):>14,}")
    rows = [{"placement": "full", "numbers": whole.size, "bytes": len(full)}]
    for placement in sorted(TARGETS):
        for rank in (4, 8, 16):
            layout = model.layout(rank, rank, placement)
            blob = message(layout)
            saved = 1 - len(blob) / len(full)
            numbers = f"{layout.size:>10,}  {len(blob):>10,}  {overhead_bytes(blob):>14,}"
            print(f"{placement:<10} {rank:>4}  {numbers}  {saved:.2%}")
            rows.append(
                {"placement": placement, "rank": rank, "numbers": layout.size, "bytes": len(blob), "saved": saved}
            )
    print(json.dumps({"benchmark": "uplink", "bytes_a_number": 2, "rows": rows}))


if __name__ == "__main__":
    main()
