"""What crosses the wire at enrolment is the wish as its mode makes it, and groups are made of that."""

import pytest
import torch

from coterie.core.seeds import seed_for
from coterie.engines.trampoline import run as trampoline
from coterie.federation.wish_mode import WishMode
from coterie.wire.envelope import overhead_bytes, unpack

from .conftest import toy_work

WIDTH = 384
WISHES = {f"{group}{i}": (group * 7 + "xyz"[i]) * (WIDTH // 8) for group in "ab" for i in range(3)}
MODES = [
    {}, {"rounding": "int8"}, {"rounding": "sign"}, {"project": 32}, {"noise": 0.01},
    {"project": 32, "noise": 0.01, "rounding": "sign"},
]  # fmt: skip


def enrolled(world, settings, wishes=WISHES):
    """A world after its run, and what each client sent at enrolment."""
    w = world("clustered", {"grouping": "wishes", "keeping": "none", "wish": settings}, rounds=1)
    w.targets, w.wishes = {c: next(iter(w.targets.values())) for c in WISHES}, wishes
    loop, caught = w.loop(), {}
    visit = loop.terms.courier.visit

    async def overheard(client, request):
        reply = await visit(client, request)
        if unpack(request, loop.terms.layouts)[0].purpose == "enrol":
            caught[client] = reply
        return reply

    loop.terms.courier.visit = overheard
    results = trampoline(loop.play(), toy_work)
    return w, results, caught


@pytest.mark.parametrize("settings", MODES, ids=lambda s: WishMode(**s).title)
def test_only_what_the_mode_leaves_is_sent(world, settings):
    w, results, caught = enrolled(world, settings)
    mode = WishMode(**settings)
    wanted = {"none": 32, "int8": 8, "sign": 1}[mode.rounding] * (mode.project or WIDTH) // 8
    for client, reply in caught.items():
        plain = torch.tensor([float(ord(ch)) for ch in WISHES[client]])
        sent = unpack(reply)[1]
        assert torch.equal(sent, mode.sent(plain, w.seed, seed_for(w.seed, 0, client, f"wish/{WISHES[client]}")))
        assert len(reply) - overhead_bytes(reply) == wanted
        assert (plain.numpy().tobytes() in reply) == (mode == WishMode())
        assert torch.equal(torch.tensor(results["wishes"][client]), mode.opened(sent))
    assert results["clusters"]["a0"] in (w.loop().folder.read_json("centroids.json") or {})


def test_noise_is_the_same_for_a_sentence_and_another_for_a_client(world):
    same = dict.fromkeys(WISHES, WISHES["a0"])
    _, _, one = enrolled(world, {"noise": 1.0}, same)
    _, _, again = enrolled(world, {"noise": 1.0}, same)
    sent = {client: unpack(reply)[1] for client, reply in one.items()}
    assert all(torch.equal(sent[client], unpack(again[client])[1]) for client in sent)
    assert len({vector.numpy().tobytes() for vector in sent.values()}) == len(WISHES)
    quiet = {client: unpack(reply)[1] for client, reply in enrolled(world, {}, same)[2].items()}
    assert len({vector.numpy().tobytes() for vector in quiet.values()}) == 1
