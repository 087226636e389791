import pytest

from coterie.engines.trampoline import Together, Work, run


def adder(log):
    def do(kind, works):
        log.append((kind, [w.client for w in works]))
        return [w.payload + 1 for w in works]

    return do


async def twice(client):
    first = await Work("add", client, 1)
    return await Work("add", client, first)


def test_work_of_many_meets_in_one_batch_in_client_order():
    log = []

    async def root():
        return await Together({c: twice(c) for c in ("b", "a", "c")})

    assert run(root(), adder(log)) == {"b": 3, "a": 3, "c": 3}
    assert log == [("add", ["a", "b", "c"])] * 2


def test_the_fullest_kind_goes_first_so_that_halves_that_diverged_meet_again():
    log = []

    async def detour(client):
        await Work("look", client, 0)
        return await Work("add", client, 1)

    async def root():
        return await Together({"a": twice("a"), "b": twice("b"), "c": detour("c")})

    run(root(), adder(log))
    assert log[0] == ("add", ["a", "b"])
    assert ("add", ["a", "b", "c"]) in log or ("add", ["a", "b"]) in log[1:]


def test_an_exception_is_raised_in_the_guilty_half_alone():
    def do(kind, works):
        return [ValueError("no") if w.client == "b" else w.payload + 1 for w in works]

    async def root():
        return await Together({c: twice(c) for c in ("a", "b")})

    got = run(root(), do)
    assert got["a"] == 3
    assert isinstance(got["b"], ValueError)


def test_a_half_may_catch_what_its_own_work_raised():
    async def careful():
        try:
            await Work("add", "a", 1)
        except ValueError:
            return "caught"

    assert run(careful(), lambda kind, works: [ValueError()]) == "caught"


def test_nested_groups_and_empty_groups():
    async def edge(names):
        return sum((await Together({n: twice(n) for n in names})).values())

    async def root():
        empty = await Together({})
        return empty, await Together({"e1": edge(["a", "b"]), "e2": edge(["c"])})

    assert run(root(), adder([])) == ({}, {"e1": 6, "e2": 3})


def test_the_servers_own_mistake_is_not_swallowed():
    async def root():
        raise RuntimeError("server")

    with pytest.raises(RuntimeError, match="server"):
        run(root(), adder([]))


def test_awaiting_anything_else_is_refused():
    class Sleep:
        def __await__(self):
            return (yield self)

    async def root():
        await Sleep()

    with pytest.raises(TypeError, match="only await"):
        run(root(), adder([]))
