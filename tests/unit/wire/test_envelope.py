import json
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coterie.core.adapter import Adapter
from coterie.core.factors import layout_of
from coterie.core.update import Update
from coterie.wire.codec import Known
from coterie.wire.codecs.cast import Cast
from coterie.wire.codecs.int8 import Int8
from coterie.wire.codecs.raw import Raw
from coterie.wire.envelope import BadMessage, Header, overhead_bytes, pack, unpack

HEADER = Header(run="r", round=3, attempt=2, call=1, half="FedAvg.client_update", client="ada", accepted="2.1")
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@given(TREES)
def test_plain_trees_come_back_as_they_were(tree):
    assert unpack(pack(HEADER, tree)) == (HEADER, tree)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.uint8]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3)])
def test_tensors_come_back_bit_for_bit(dtype, shape):
    tensor = (torch.randn(shape) * 3).to(dtype)
    _, tree = unpack(pack(HEADER, {"x": [tensor]}))
    assert tree["x"][0].dtype == dtype
    assert torch.equal(tree["x"][0], tensor)


def test_nothing_that_is_sent_is_shared(layout):
    row = torch.randn(layout.size)
    _, got = unpack(pack(HEADER, Adapter(layout, row)), [layout])
    row.zero_()
    assert got.row.abs().sum() > 0


def test_core_values_travel_and_layouts_only_when_asked(layout):
    update = Update(layout.start(1), 12.0, {"loss": 0.5})
    blob = pack(HEADER, update)
    assert unpack(blob, [layout])[1].adapter.digest == update.adapter.digest
    with pytest.raises(BadMessage, match="does not know"):
        unpack(blob)
    alone = pack(HEADER, update, standalone=True)
    assert unpack(alone)[1].numbers == {"loss": 0.5}
    assert len(alone) > len(blob)


def test_size_is_numbers_plus_header_and_nothing_else(layout):
    """algorithms 16.19: formula plus measured header equals the length exactly."""
    blob = pack(HEADER, Adapter(layout, torch.randn(layout.size)))
    assert len(blob) == 4 * layout.size + overhead_bytes(blob)


@pytest.mark.parametrize("codec", [Raw(), Cast(), Int8()], ids=["raw", "cast", "int8"])
def test_a_factor_of_zeros_is_not_sent_and_comes_back(layout, codec):
    fresh = layout.start(1)
    whole = Adapter(layout, torch.where(fresh.row == 0, 1e-9, fresh.row))
    blob, other = (pack(HEADER, Update(one, 1.0), codec) for one in (fresh, whole))
    got = unpack(blob, [layout], codec)[1].adapter
    assert got.layout == layout
    assert torch.equal(got.row == 0, fresh.row == 0)
    assert torch.equal(
        got.row[fresh.row != 0], codec.decode(codec.encode(fresh.row, Known(layout)), Known(layout))[fresh.row != 0]
    )
    numbers = [len(one) - overhead_bytes(one) for one in (blob, other)]
    sent = layout_of(layout, "a").size / layout.size
    assert numbers[0] == pytest.approx(sent * numbers[1], rel=0.1)  # scales are counted by rows


def test_what_changes_only_dense_parts_or_nothing_at_all_travels_too(layout):
    for row in (torch.zeros(layout.size), torch.eye(1, layout.size)[0], torch.eye(1, layout.size)[0].flip(0)):
        got = unpack(pack(HEADER, Adapter(layout, row)), [layout])[1]
        assert torch.equal(got.row, row)


@given(st.data())
def test_any_flipped_byte_and_any_cut_is_refused(data):
    blob = pack(HEADER, {"x": torch.arange(6.0), "n": 3})
    at = data.draw(st.integers(0, len(blob) - 1))
    changed = bytearray(blob)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        header, tree = unpack(bytes(changed))
    except BadMessage:
        pass
    else:  # a flip inside the header's text may only change what the text says, never the numbers
        assert torch.equal(tree["x"], torch.arange(6.0)) or header != HEADER or tree.keys() != {"x", "n"}
        assert at < overhead_bytes(blob)
    with pytest.raises(BadMessage):
        unpack(blob[:at])


def test_a_huge_claim_is_refused_before_anything_is_allocated():
    with pytest.raises(BadMessage, match="header of"):
        unpack(struct.pack("<Q", 10**10) + b"{}")
    table = {
        "__metadata__": {"coterie": "{}"},
        "0": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]},
    }
    text = json.dumps(table).encode()
    with pytest.raises(BadMessage, match="truncated"):
        unpack(struct.pack("<Q", len(text)) + text)
    table["0"]["data_offsets"] = [0, 4]
    text = json.dumps(table).encode()
    with pytest.raises(BadMessage, match="add up"):
        unpack(struct.pack("<Q", len(text)) + text + b"1234")


def test_another_protocol_and_strange_values_are_refused():
    blob = pack(HEADER, 1).replace(b'\\"protocol\\": 3', b'\\"protocol\\": 9')
    with pytest.raises(BadMessage, match="speaks protocol 9"):
        unpack(blob)
    with pytest.raises(TypeError, match="cannot travel"):
        pack(HEADER, {"x": object()})
    with pytest.raises(TypeError, match="keys"):
        pack(HEADER, {1: "x"})
