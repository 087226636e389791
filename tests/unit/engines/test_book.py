import torch

from coterie.engines.book import Book
from coterie.wire.envelope import MAX_HEADER_BYTES, Header, overhead_bytes, pack, unpack
from coterie.wire.meter import Meter, Passage


def score(round, client, levels=8):
    loss = torch.rand(levels, dtype=torch.float64)
    return {"round": round, "client": client, "test": "own", "adapter": "served", "loss": loss, "count": 3}


def test_a_book_comes_back_as_it_was():
    meter = Meter()
    for wasted in (False, True):
        meter.count(Passage(1, "ada", "up", "memory", "train", wasted), b"12345")
    book = Book(3, 7, {"ada": "3.7"}, meter, [score(0, "ada"), score(1, "bo", 4)])
    for one in (book, Book()):
        _, plain = unpack(pack(Header(), one.as_plain()))
        again = Book.from_plain(plain)
        assert (again.round, again.attempt, again.accepted, again.meter) == (
            one.round,
            one.attempt,
            one.accepted,
            one.meter,
        )
        for mine, theirs in zip(again.scores, one.scores, strict=True):
            assert torch.equal(mine.pop("loss"), theirs["loss"])
            assert mine == {key: value for key, value in theirs.items() if key != "loss"}


def test_fifty_rounds_of_a_thousand_clients_fit_into_a_message():
    """What counts rows is in tensors: a header has room for a few megabytes."""
    clients, meter = [f"client-{k:04d}" for k in range(1000)], Meter()
    for round in range(50):
        for client in clients:
            for direction in ("up", "down"):
                for purpose in ("train", "evaluate"):
                    meter.num_bytes[Passage(round, client, direction, "memory", purpose)] = 580_000
    book = Book(50, 50, dict.fromkeys(clients, "50.50"), meter, [score(r, c) for r in range(50) for c in clients])
    blob = pack(Header(), book.as_plain(), standalone=True)
    assert overhead_bytes(blob) < MAX_HEADER_BYTES / 10
    assert len(Book.from_plain(unpack(blob)[1]).scores) == 50_000
