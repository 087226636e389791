import numpy as np
import pytest

from coterie.core.errors import UserError
from coterie.data.population import ClientData, Population, pooled
from coterie.data.table import Skipped, Table, distinct, join


def table(captions, **columns):
    pixels = np.arange(len(captions), dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 2, 2, 3), np.uint8)
    return Table(pixels, tuple(captions), {k: tuple(v) for k, v in columns.items()}, (Skipped("x", "why"),))


def test_take_keeps_order_and_drops_what_was_skipped():
    taken = table("abc", label="xyz").take([2, 0])
    assert taken.captions == ("c", "a")
    assert taken.columns["label"] == ("z", "x")
    assert taken.pixels[:, 0, 0, 0].tolist() == [2, 0]
    assert taken.skipped == ()
    assert len(table("abc").take([])) == 0


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="do not go with"):
        table("abc", label="xy")


def test_join_keeps_shared_columns():
    both = join([table("ab", label="xy", more="uv"), table("c", label="z")])
    assert both.captions == ("a", "b", "c")
    assert dict(both.columns) == {"label": ("x", "y", "z")}


def test_distinct_falls_back_to_captions():
    assert distinct(table("aba", subject="xyy"), ["subject"]).captions == ("a", "b")
    assert distinct(table("aba"), ["subject"]).captions == ("a", "b")


def test_pooling_needs_clients_and_styles():
    with pytest.raises(UserError, match="no clients"):
        pooled(Population({}, ()), by_style=False)
    one = ClientData("ann", table("ab"), table("c"), {}, None)
    with pytest.raises(UserError, match="client 'ann' has no style"):
        pooled(Population({"ann": one}, ()), by_style=True)
    assert len(pooled(Population({"ann": one}, ()), by_style=False).clients["everyone"].train) == 2
