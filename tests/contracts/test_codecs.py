"""The same laws for every codec on the shelf."""

import tomllib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coterie.core.adapter import Adapter, LowRank
from coterie.core.errors import UserError
from coterie.core.factors import only
from coterie.core.update import Update
from coterie.core.work import Task
from coterie.runs.reading import make_recipe
from coterie.wire.chain import Chain, adapters_in
from coterie.wire.codec import CODECS, Known
from coterie.wire.codecs.cast import Cast
from coterie.wire.codecs.delta import Delta
from coterie.wire.codecs.int4 import Int4
from coterie.wire.codecs.int8 import Int8
from coterie.wire.codecs.low_rank import LowerRank
from coterie.wire.codecs.top_k import TopK, as_gaps, from_gaps
from coterie.wire.envelope import BadMessage, Header, overhead_bytes, pack, unpack

ALL = [CODECS.build(name) for name in CODECS.names()] + [Cast("bf16"), TopK(0.3)]
CHAINS = [
    (Int8(),), (Int4(),), (Delta(), Int8()), (Delta(), TopK(0.1), Int8()), (Delta(), TopK(0.1), Cast()),
    (Delta(), TopK(0.1), Int4()), (LowerRank(1),), (LowerRank(1), Int8()), (Delta(), Int4(feedback=True)), (Delta(),),
]  # fmt: skip
NAMES = ["-".join(type(codec).shelf_name for codec in chain) for chain in CHAINS]


def filled(layout, seed, size=1.0):
    return Adapter(layout, size * torch.randn(layout.size, generator=torch.Generator().manual_seed(seed)))


def sent(codecs, adapter, references=(), left=None):
    """What comes out at the other end, and the message."""
    chain = Chain(codecs, references, {} if left is None else left)
    blob = pack(Header(), Update(adapter, 1.0), chain)
    _, update = unpack(blob, [adapter.layout], Chain(codecs, references))
    return update.adapter, blob


def test_the_shelf_is_not_empty():
    assert len(CODECS.names()) >= 7


@pytest.mark.parametrize("codec", ALL, ids=str)
@given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=40), st.floats(1e-9, 1e3))
def test_error_stays_below_what_is_declared_and_coding_twice_changes_nothing(codec, numbers, scale):
    row = torch.tensor(numbers, dtype=torch.float32) * scale
    coded = codec.encode(row)
    back = codec.decode(coded)
    assert back.shape == row.shape
    assert back.dtype == torch.float32
    assert ((back - row).abs() <= codec.error_bound(row) + 1e-38).all()
    assert torch.equal(codec.decode(codec.encode(back)), back)
    assert all(torch.equal(coded[key], codec.encode(row)[key]) for key in coded)


def test_small_fresh_factors_survive_half_precision():
    row = torch.full((8,), 3e-8)
    assert torch.allclose(Cast("fp16").decode(Cast("fp16").encode(row)), row, rtol=1e-3)
    assert not row.half().any() or row.half()[0] != row[0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_not_sent(bad):
    with pytest.raises(UserError, match="not finite"):
        Cast().encode(torch.tensor([1.0, bad]))


@pytest.mark.parametrize("codecs", CHAINS, ids=NAMES)
def test_every_message_is_its_tensors_and_its_header_and_is_decoded_by_what_both_ends_know(layout, codecs):
    start, trained = filled(layout, 1), filled(layout, 2)
    got, blob = sent(codecs, trained, [start])
    assert got.layout == layout
    again, other = sent(codecs, trained, [start])
    assert blob == other
    assert torch.equal(got.row, again.row)
    tensors = sum(len(tensor.numpy().tobytes()) for tensor in _tensors(codecs, trained, start))
    assert len(blob) == tensors + overhead_bytes(blob)


def _tensors(codecs, trained, start):
    coded = Chain(codecs, [start]).write(trained)
    return [tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor for tensor in coded.values()]


def test_the_numbers_of_an_adapter_take_what_the_codec_says(layout):
    """algorithms 11: a byte and 2 a row; half a byte and 2 for each 32; k values and a byte for each place."""
    rows = sum(2 * part.rank for part in layout.parts if isinstance(part, LowRank)) + 1
    size = {name: sum(t.numpy().nbytes for t in _tensors(codecs, filled(layout, 2), filled(layout, 1)))
            for name, codecs in zip(NAMES, CHAINS, strict=True)}  # fmt: skip
    n = layout.size
    assert size["int8"] == n + 2 * rows
    assert size["int4"] == -(-n // 2) + 2 * -(-n // 32) + 8
    k = round(0.1 * n)
    assert size["delta-top_k-int8"] == k + 2 + k
    low = sum(part.out + part.columns for part in layout.parts if isinstance(part, LowRank)) + 3
    assert size["low_rank"] == 4 * low


def test_a_change_is_coded_and_not_the_adapter(layout):
    start = filled(layout, 1)
    trained = Adapter(layout, start.row + filled(layout, 2, 1e-3).row)
    plain, delta = (sent(codecs, trained, [start])[0] for codecs in ((Int8(),), (Delta(), Int8())))
    errors = [(got.row - trained.row).abs().max() for got in (plain, delta)]
    assert errors[1] < errors[0] / 100
    assert torch.equal(sent((Delta(),), start, [start])[0].row, start.row)


def test_of_several_that_were_received_the_nearest_is_meant(layout):
    received = [filled(layout, seed) for seed in range(3)]
    trained = Adapter(layout, received[2].row + 1e-4)
    got, _ = sent((Delta(), Int8()), trained, received)
    assert torch.allclose(got.row, trained.row, atol=1e-6)


def test_one_factor_is_compared_with_that_factor(layout):
    start, trained = filled(layout, 1), filled(layout, 1)
    part = only(trained, "b")
    chain = Chain((Delta(), TopK(0.01), Int8()), [start])
    assert torch.equal(Chain(chain.codecs, [start]).read(chain.write(part), part.layout).row, part.row)


def test_what_a_client_may_have_trained_on_is_found_in_any_request(layout):
    one, two, below = (filled(layout, seed) for seed in range(3))
    assert adapters_in({"x": [Task(one, beside=below), {"y": two}], "z": 3}) == [one, two]


@pytest.mark.parametrize("codecs", [c for c in CHAINS if any(x.feedback for x in c)], ids=str)
@pytest.mark.parametrize("seed", range(0, 50, 5))
def test_all_that_was_sent_and_what_is_left_is_all_there_was(layout, codecs, seed):
    """algorithms 11: the sum of what was decoded plus what is left over is the sum of the changes."""
    left, total, decoded = {}, torch.zeros(layout.size), torch.zeros(layout.size)
    start = filled(layout, seed)
    for number in range(4):
        change = filled(layout, seed + 10 * number, 0.1)
        got, _ = sent(codecs, Adapter(layout, start.row + change.row), [start], left)
        total, decoded = total + change.row, decoded + got.row - start.row
    (rest,) = left.values()
    assert torch.allclose(decoded + rest, total, atol=1e-4)
    assert rest.norm() > 0.01 * total.norm()


def test_feedback_brings_in_the_end_what_is_always_too_small_to_be_sent(layout):
    start, change = filled(layout, 1), torch.linspace(0.5, 1.0, layout.size)
    arrived = {}
    for feedback in (False, True):
        left, sum_ = {}, torch.zeros(layout.size)
        for _ in range(40):
            codecs = (Delta(), TopK(0.1, feedback))
            sum_ += sent(codecs, Adapter(layout, start.row + change), [start], left)[0].row - start.row
        arrived[feedback] = (sum_ > 1e-3).float().mean()
    assert arrived[False] == pytest.approx(0.1, abs=0.01)
    assert arrived[True] == 1.0


@given(st.integers(0, 30), st.integers(1, 3))
def test_a_lower_rank_is_the_closest(seed, rank):
    from coterie.core.adapter import Layout

    where = Layout("x", (LowRank("q", 7, 5, 3, 0.5), LowRank("k", 4, 2, 3, 1.0)))
    adapter = filled(where, seed)
    codec = LowerRank(rank)
    got = Adapter(where, codec.decode(codec.encode(adapter.row, Known(where)), Known(where)))
    for index in range(2):
        (b, a), (x, y) = adapter.factors(index), got.factors(index)
        s = torch.linalg.svdvals(b.double() @ a.double())
        assert (b @ a - x @ y).norm() == pytest.approx(float(s[rank:].norm()), rel=1e-3, abs=1e-5)


@given(st.sets(st.integers(0, 3000), max_size=60))
def test_places_come_back(places):
    sorted_places = torch.tensor(sorted(places), dtype=torch.long)
    assert torch.equal(from_gaps(as_gaps(sorted_places)), sorted_places)


@pytest.mark.parametrize("codecs", CHAINS, ids=NAMES)
def test_tensors_that_do_not_fit_are_a_bad_message(layout, codecs):
    """A stranger may send any tensors under a sound checksum."""
    start, trained = filled(layout, 1), filled(layout, 2)
    coded = Chain(codecs, [start]).write(trained)

    class Strange(Chain):
        def write(self, adapter):
            return self.made

    wrong = 0
    for key in coded:
        for made in ({**coded, key: coded[key].flatten()[:0]}, {k: v for k, v in coded.items() if k != key},
                     {**coded, key: torch.cat([coded[key].flatten()] * 3)}):  # fmt: skip
            strange = Strange(codecs, [start])
            strange.made = made
            blob = pack(Header(), trained, strange)
            try:
                unpack(blob, [layout], Chain(codecs, [start]))
            except BadMessage:
                wrong += 1
    assert wrong >= 2


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"uplink": ["int8", "delta"]}, "uplink: after int8 numbers are as they travel, so that nothing can follow"),
        ({"uplink": "top_k"}, "uplink: top_k leaves most of an adapter out, so that it wants delta before it"),
        (
            {"uplink": ["delta", "low_rank"]},
            "uplink: low_rank reads whole adapters, not what delta makes of them",
        ),
        ({"uplink": ["delta", "delta"]}, "uplink: wanted each codec once, here is delta, delta"),
        ({"codec": "top_k"}, "codec: top_k is for what clients send back in training; leave codec out, and"),
        ({"uplink": "intt8"}, "uplink.0.name: no codec is called 'intt8'; did you mean 'int8'?"),
        (
            {"uplink": "low_rank", "form": "fedavg"},
            "uplink: low_rank writes adapters with other factors, and form.aggregator mean reads single factors, as",
        ),
        (
            {"uplink": ["delta", "top_k"], "form": {"name": "fedavg", "aggregator": "product_svd"}},
            "uplink: top_k remembers what it left out of single factors, and form.aggregator product_svd writes them",
        ),
        (
            {"uplink": ["delta", "int8"], "form": {"name": "fedavg", "aggregator": "fedask"}},
            "uplink: form.aggregator fedask sends no adapters that delta could be used on; take uplink",
        ),
        (
            {"uplink": ["delta", "top_k"], "form": "clustered"},
            "uplink: top_k remembers what it left out of one adapter, and the form clustered may send a client another",
        ),
    ],
)
def test_codecs_that_cannot_be_are_one_line(recipe, said):
    with pytest.raises(UserError) as caught:
        make_recipe(recipe, "toy.toml")
    assert str(caught.value).startswith(f"toy.toml: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "form", "offered"),
    [
        ({"codec": "top_k"}, "clustered", '["delta", { name = "top_k", feedback = false }]'),
        ({"codec": "top_k"}, "fedavg", '["delta", "top_k"]'),
        (
            {"codec": {"name": "top_k", "share": 0.05}, "uplink": "int8"},
            "fedavg",
            '["delta", { name = "top_k", share = 0.05 }, "int8"]',
        ),
        ({"codec": "top_k"}, {"name": "fedavg", "aggregator": "fedask"}, '["int8"]'),
        ({"codec": "top_k"}, "split", '["int8"]'),
        ({"codec": "low_rank"}, {"name": "fedavg", "aggregator": "product_svd"}, '["low_rank"]'),
        ({"codec": "low_rank"}, "fedavg", '["int8"]'),
        ({"codec": "delta"}, "ifca", '["delta"]'),
        (
            {"uplink": ["int8", "top_k", "low_rank"]},
            {"name": "fedavg", "aggregator": "product_svd"},
            '["delta", { name = "top_k", feedback = false }, "int8"]',
        ),
        ({"uplink": ["delta", {"name": "int4", "feedback": True}]}, "rooted", '["delta", "int4"]'),
    ],
)
def test_a_complaint_offers_a_chain_that_works(asked, form, offered):
    with pytest.raises(UserError) as caught:
        make_recipe({"form": form, **asked}, "toy")
    assert str(caught.value).endswith(f" take uplink = {offered}")
    make_recipe({"form": form, **tomllib.loads(f"uplink = {offered}")}, "toy")


def test_where_no_chain_can_be_a_codec_is_offered():
    for asked in ({"codec": "top_k"}, {"uplink": ["delta", "int8"]}):
        with pytest.raises(UserError, match=r'take codec = "int8" without uplink$'):
            make_recipe({"form": "sequential", **asked}, "toy")
    make_recipe({"form": "sequential", "codec": "int8"}, "toy")


def test_a_recipe_with_a_chain_goes_there_and_back():
    from coterie.runs.plain import as_plain

    recipe = make_recipe({"form": "fedavg", "uplink": ["delta", {"name": "top_k", "share": 0.02}, "int8"]}, "toy")
    assert recipe.uplink == (Delta(), TopK(0.02), Int8())
    assert make_recipe(as_plain(recipe), "toy") == recipe
