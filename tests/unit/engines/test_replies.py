import pytest
import torch

from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.update import Update
from coterie.engines.replies import ReplyMap, Sealed, SumMap


def update(layout, value, weight):
    return Update(Adapter(layout, torch.full((layout.size,), float(value))), weight)


def test_replies_come_in_client_order_and_average_by_weight(layout):
    replies = ReplyMap({"b": update(layout, 4, 3), "a": update(layout, 0, 1)}, {"c": "lost"})
    assert list(replies) == ["a", "b"]
    assert replies.weight == 4
    assert torch.equal(replies.mean().row, torch.full((layout.size,), 3.0))
    assert replies.failures == {"c": "lost"}


def test_groups_average_apart(layout):
    replies = ReplyMap({c: update(layout, v, 1) for c, v in zip("abc", (1, 3, 9), strict=True)}, {})
    groups = replies.groups({"a": "x", "b": "x", "c": "y", "absent": "z"})
    assert {name: float(g.mean().row[0]) for name, g in groups.items()} == {"x": 2.0, "y": 9.0}


def test_sealed_replies_give_their_mean_and_nothing_else(layout):
    replies = ReplyMap({"a": update(layout, 1, 1), "b": update(layout, 2, 1)}, {}, sealed=True)
    assert float(replies.mean().row[0]) == 1.5
    for read in (lambda: replies["a"], lambda: replies.items()):
        with pytest.raises(Sealed):
            read()
    with pytest.raises(Sealed):
        replies.groups(dict.fromkeys("ab", "x"))["x"].items()


def test_nothing_to_average_is_told(layout):
    with pytest.raises(UserError, match="nothing to average"):
        ReplyMap({"a": update(layout, 1, 0)}, {}).mean()


def test_sums_give_the_bits_of_whole_replies_by_group(layout):
    rng = torch.Generator().manual_seed(0)
    values = {
        c: Update(Adapter(layout, torch.randn(layout.size, generator=rng)), w + 0.3) for w, c in enumerate("abcd")
    }
    by = {"a": "x", "b": "y", "c": "x", "d": "y"}
    sums = SumMap(lambda client, update: by[client])
    for client, update in values.items():
        sums.add(client, update)
    whole = ReplyMap(values, {})
    assert list(sums) == list(whole)
    for name, group in sums.groups(by).items():
        other = whole.groups(by)[name]
        assert torch.equal(group.mean().row, other.mean().row)
        assert (group.weight, list(group)) == (other.weight, list(other))
    assert torch.allclose(sums.mean().row, whole.mean().row)
    assert sums.numbers == whole.numbers


def test_sums_hold_no_single_reply_and_cannot_be_parted_otherwise(layout):
    sums = SumMap(lambda client, update: "all", sealed=True)
    for client in "ab":
        sums.add(client, update(layout, 1, 1))
    for read in (lambda: sums["a"], lambda: sums.items(), lambda: sums.numbers):
        with pytest.raises(Sealed):
            read()
    with pytest.raises(ValueError, match="other groups"):
        sums.groups({"a": "x", "b": "y"})
