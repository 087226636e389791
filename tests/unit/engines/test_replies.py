import pytest
import torch

from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.update import Update
from coterie.engines.replies import ReplyMap, Sealed


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
