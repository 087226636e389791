"""When memory runs out, a pass is made narrower and comes to the same."""

import pytest
import torch

from coterie.bank.bank import MOST_ROWS, Bank
from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.work import Fit
from coterie.engines.trampoline import Work
from coterie.engines.workshop import Workshop
from coterie.models.backbones.untrained import Untrained


class Cramped:
    """A backbone on a device that holds so many rows at once."""

    def __init__(self, rows):
        self.inner, self.rows = Untrained(side=8).load(torch.float32, 8), rows

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def losses(self, rows):
        if len(rows["x0"]) > self.rows:
            raise torch.OutOfMemoryError("no room left on the device")
        return self.inner.losses(rows)

    def step(self, x, *rest):
        if 2 * len(x) > self.rows:
            raise torch.OutOfMemoryError("no room left on the device")
        return self.inner.step(x, *rest)


def works(model, layout):
    pixels = torch.randint(0, 255, (4, 3, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    fit = Fit(steps=2, batch=2)
    return [
        Work("fit", f"c{i}", (layout.start(0), fit, model.prepare(pixels[i].numpy(), ["a", "b", "c"]), i))
        for i in range(4)
    ]


def trained(rows):
    model, told = Cramped(rows), []
    layout = model.layout(2, 2.0, "attention")
    bank = Bank(model, layout, 4)
    workshop = Workshop(bank, tell=lambda event, **fields: told.append((event, fields)))
    return [got.adapter.row for got in workshop.do("fit", works(model, layout))], told


def test_a_narrower_pass_comes_to_the_same():
    wide, quiet = trained(100)
    narrow, told = trained(2)  # one client of two rows, and no more
    assert not quiet
    assert [fields["width"] for _, fields in told] == [2, 1]
    for one, other in zip(wide, narrow, strict=True):
        assert torch.quantile((one - other).abs(), 0.9) < 1e-5


def test_when_one_client_does_not_fit_it_is_said():
    with pytest.raises(UserError, match=r"one client alone does not fit into memory: no room.*lower form\.fit\.batch"):
        trained(1)


def looked_at(rows):
    """Losses of nine rows and three pictures under an adapter, and how many rows went together at last."""
    model = Cramped(rows)
    layout = model.layout(2, 2.0, "attention")
    row = 0.1 * torch.randn(layout.size, generator=torch.Generator().manual_seed(1))
    adapter, bank = Adapter(layout, row), Bank(model, layout, 1)
    workshop = Workshop(bank, steps=2)
    pixels = torch.randint(0, 255, (9, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    held_out = model.fixed(model.prepare(pixels.numpy(), ["a"] * 9), 1, 0)
    (losses,) = workshop.do("evaluate", [Work("evaluate", "c", (adapter, held_out))])
    (pictures,) = workshop.do("sample", [Work("sample", "c", [("a", ((adapter, 1.0),), i) for i in range(3)])])
    return losses, pictures, bank.rows


@pytest.mark.parametrize("room", [16, 5, 2])
def test_scores_and_pictures_come_in_smaller_calls_where_memory_asks_for_it(room):
    losses, pictures, rows = looked_at(1000)
    assert rows == MOST_ROWS
    fewer_losses, fewer_pictures, fewer = looked_at(room)
    assert fewer <= room < 2 * fewer
    assert torch.allclose(losses, fewer_losses, rtol=1e-4)
    assert abs(pictures.astype(int) - fewer_pictures).max() <= 1


def test_when_not_even_one_row_fits_it_is_said():
    with pytest.raises(UserError, match=r"not even one row fits into memory: no room.*backbone\.quantise"):
        looked_at(0)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    model = Cramped(100)
    layout = model.layout(2, 2.0, "attention")
    model.losses = lambda rows: (_ for _ in ()).throw(RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        Workshop(Bank(model, layout, 4)).do("fit", works(model, layout))
