"""SCAFFOLD: equal to federated averaging where nothing is known yet, and better where clients drift."""

import pytest
import torch

from coterie.core.adapter import Adapter
from coterie.core.errors import UserError
from coterie.core.work import Fitted
from coterie.engines.trampoline import run
from coterie.runs.reading import make_recipe

SGD = {"optimiser": "sgd", "rate": 0.01, "warmup": 0}


def test_with_control_variates_of_zero_it_is_federated_averaging(world):
    """algorithms 16.13, to the bit: in the first round nobody has any."""
    scaffold, average = world("scaffold", {"fit": SGD}, rounds=1), world("fedavg", {"fit": SGD}, rounds=1)
    scaffold.play()
    average.play()
    assert scaffold.final()["state"]["x"] == average.final()["state"]["w"]


def test_one_client_is_plain_training(world):
    """Its own control variate is the server's, so nothing is corrected, up to rounding."""
    scaffold, local = world("scaffold", {"fit": SGD}, 1, rounds=3), world("fedavg", {"fit": SGD}, 1, rounds=3)
    scaffold.play()
    local.play()
    one, other = torch.tensor(scaffold.final()["state"]["x"]), torch.tensor(local.final()["state"]["w"])
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_servers_control_variate_is_the_mean_of_the_clients(world, share):
    """Weighted by examples, whoever was asked when: ``c = sum_k n_k c_k / sum_k n_k``."""
    w = world("scaffold", {"fit": SGD}, 5, rounds=4, share=share, sizes={"a0": 7, "b3": 1})
    w.play()
    end = w.final()
    sizes = {client: w.sizes.get(client, 2) for client in w.targets}
    mean = torch.zeros(world.layout.size, dtype=torch.float64)
    for client, memory in end["memories"].items():
        mean += sizes[client] / sum(sizes.values()) * torch.tensor(memory["control"], dtype=torch.float64)
    c = torch.tensor(end["state"]["c"], dtype=torch.float64)
    assert c.norm() > 0.1
    assert torch.allclose(c, mean, atol=1e-5)


def test_a_client_that_was_too_late_has_its_old_control_variate(world):
    w = world("scaffold", {"fit": SGD}, 3, rounds=2, late=(("a0", 2),))
    w.play()
    before = world.again(w, rounds=1, late=())
    before.play()
    assert w.final()["memories"]["a0"] == before.final()["memories"]["a0"]
    assert w.final()["memories"]["b1"] != before.final()["memories"]["b1"]


def bowls(kind, works):
    """Clients whose losses are bowls of unequal steepness, ``h / 2 |row - target|^2``: averaging many steps of each
    ends nearer to the targets of the steep ones than the sum of the losses has its lowest point."""
    answers = []
    for w in works:
        if kind != "fit":
            answers.append(torch.zeros(4))
            continue
        start, fit, rows, _ = w.payload
        row, steep = start.row.double(), STEEP[w.client]
        for _ in range(fit.steps):
            drift = 0 if fit.drift is None else fit.drift.row.double()
            row = row - fit.rate * (steep * (row - rows["target"][0].double()) + drift)
        answers.append(Fitted(Adapter(start.layout, row.float()), 2, {}, fit.rate * fit.steps))
    return answers


STEEP = {"a0": 1.0, "b1": 8.0}


def test_it_ends_where_the_sum_of_all_losses_is_lowest(world):
    ends = {}
    for form in ("scaffold", "fedavg"):
        w = world(form, {"fit": {**SGD, "rate": 0.05, "steps": 20}}, 2, rounds=60, tests=())
        state = run(accepted(w.loop()), bowls)
        ends[form] = state[0].row.double()
    targets = {c: torch.as_tensor(t).double() for c, t in w.targets.items()}
    lowest = sum(STEEP[c] * targets[c] for c in targets) / sum(STEEP.values())
    off = {form: float((end - lowest).norm() / lowest.norm()) for form, end in ends.items()}
    assert off["scaffold"] < 1e-3
    assert off["fedavg"] > 0.1


async def accepted(loop):
    """Rounds without scores and checkpoints."""
    state, known = await loop.form.init(loop.start), {}
    for number in range(1, loop.recipe.rounds + 1):
        cohort = loop.cohort(loop.people.present(number), number, number, known, "train")
        state = await loop.form.round(state, cohort)
        known = {**known, **cohort.touched}
    return state


def test_what_does_not_go_with_it_is_one_line():
    with pytest.raises(UserError, match=r"toy: form.fit.optimiser: the form scaffold corrects plain .* this is adamw"):
        make_recipe({"form": {"name": "scaffold", "fit": {"steps": 4}}}, "toy")
    with pytest.raises(UserError, match=r"toy: devices.ranks: the form scaffold needs method.rank, 8, for everybody"):
        make_recipe({"form": "scaffold", "devices": {"ranks": [4]}}, "toy")
    make_recipe({"form": "scaffold"}, "toy")
