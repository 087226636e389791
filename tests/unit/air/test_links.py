"""Links: check values of the model, and what must hold for every link there is."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coterie.air.link import Occasion
from coterie.air.links.radio import Radio
from coterie.air.links.steady import Steady
from coterie.air.links.trace import Recorded
from coterie.air.path_losses.macro import Macro
from coterie.air.path_losses.office import Office
from coterie.air.profiles import air_of, profiles, title_of
from coterie.air.radio import bits_per_second, watts
from coterie.air.shelves import LINKS, PATH_LOSSES
from coterie.core.errors import UserError

HERE = Occasion(seed=3, round=2, client="ada")


@pytest.mark.parametrize(
    ("model", "metres", "gigahertz", "hertz", "dbm", "figure", "loss", "rate"),
    [
        (Macro(), 200, 2.0, 10e6, 23, 5, 101.8, 67.2e6),
        (Macro(), 500, 2.0, 10e6, 23, 5, 116.8, 21.1e6),
        (Office(), 20, 5.2, 20e6, 20, 7, 69.2, 297e6),
    ],
)
def test_check_values_of_path_loss_and_rate(model, metres, gigahertz, hertz, dbm, figure, loss, rate):
    """Algorithms 12.2, without fading, shadowing and the losses of a modem."""
    found = model.loss_db(metres, gigahertz)
    assert found == pytest.approx(loss, abs=0.06)
    assert bits_per_second(hertz, watts(dbm - found), figure) == pytest.approx(rate, rel=0.005)


@pytest.mark.parametrize("name", PATH_LOSSES.names())
def test_signals_get_weaker_with_distance_and_no_model_beats_free_space_by_much(name):
    model = PATH_LOSSES.build(name)
    far = [model.loss_db(metres, 3.5) for metres in (10, 30, 100, 300, 1000)]
    assert far == sorted(far)
    free = [20 * math.log10(metres) + 20 * math.log10(3.5) + 32.45 for metres in (10, 30, 100, 300, 1000)]
    assert min(a - b for a, b in zip(far, free, strict=True)) > -12


def every_link(tmp_path):
    file = tmp_path / "trace.csv"
    file.write_text("seconds,up,down\n0,1,2\n10,0,4\n15,3,0\n20,5,5\n")
    known = {"trace": {"name": "trace", "file": str(file), "base_mw": 100, "up_mw": 10}}
    return [LINKS.build(known.get(name, name), name) for name in LINKS.names()]


def test_a_recording_is_seen_from_the_profile_that_names_it(tmp_path, monkeypatch):
    every_link(tmp_path)  # writes a recording
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.toml").write_text(
        '[tram]\nlike = "lte"\ncell = { name = "trace", file = "../trace.csv" }\n'
    )
    monkeypatch.chdir("/")
    air, _ = air_of("tram", (), tmp_path / "profiles" / "mine.toml")
    assert air.cell.carry(1000, "up", HERE).seconds > 0


@pytest.mark.parametrize("way", ["up", "down", "across"])
def test_what_holds_for_every_link(tmp_path, way):
    for link in every_link(tmp_path):
        nothing = link.carry(0, way, HERE)
        assert (nothing.seconds, nothing.joules) == (0, 0)
        costs = [link.carry(n, way, HERE) for n in (1_000, 50_000, 5_000_000)]
        assert [c.seconds for c in costs] == sorted(c.seconds for c in costs)
        assert [c.joules for c in costs] == sorted(c.joules for c in costs)
        assert costs[1] == link.carry(50_000, way, HERE)  # luck follows from the occasion
        shared = link.carry(5_000_000, way, Occasion(3, 2, "ada", sharers=4))
        assert shared.seconds >= costs[2].seconds * (1 if way == "up" else 1 - 1e-12)


def test_a_steady_link_takes_bits_over_rate_and_waits_for_its_share():
    plain = Steady(up=6, down=13, delay=50, base_mw=1288.04, up_mw=438.39)
    found = plain.carry(9_550_000, "up", HERE)
    assert found.seconds == pytest.approx(12.78, abs=0.01)  # algorithms 12.5: 9.55 MB in 12.7 s
    assert found.joules == pytest.approx(8 * 9.55 / 6 * (1.28804 + 6 * 0.43839))
    rare = Steady(up=0.005, share=0.01, message=200, delay=1000, base_mw=100)
    assert rare.carry(2000, "up", HERE).seconds == pytest.approx(16000 / 5000 * 100 + 10)
    assert rare.carry(2000, "up", HERE).joules == pytest.approx(3.2 * 0.1)


def test_fading_is_drawn_anew_each_round_and_places_are_not():
    radio = Radio()
    times = {radio.carry(10**6, "up", Occasion(0, r, "ada")).seconds for r in range(5)}
    assert len(times) == 5
    assert radio.metres(Occasion(0, 1, "ada")) == radio.metres(Occasion(0, 9, "ada"))
    places = np.array([radio.metres(Occasion(0, 0, f"c{k}")) for k in range(2000)])
    assert (places.min() >= radio.near, places.max() <= radio.far) == (True, True)
    assert np.mean(places < radio.far / 2) == pytest.approx(0.25 - 0.01, abs=0.04)  # uniform over the area


def test_a_part_of_the_band_is_better_than_a_part_of_the_time():
    """Power stays, so the signal over noise of a narrower band is higher (algorithms 12.4)."""
    radio = Radio(shadowing=False, fading="none", near=150, far=200, most=1e9)
    alone = radio.carry(10**6, "up", HERE).seconds
    assert alone < radio.carry(10**6, "up", Occasion(3, 2, "ada", sharers=8)).seconds < 8 * alone


def test_where_nothing_gets_through_it_waits_and_spends():
    deaf = Radio(path_loss=Macro(), near=20_000, far=20_001, tries=10, coherence=0.5)
    found = deaf.carry(1000, "up", HERE)
    assert found.seconds == pytest.approx(10 * 0.5 + 8000 / 0.1e6)
    assert found.joules > 5 * deaf.circuit


@given(st.integers(1, 10**7), st.floats(0, 100))
@settings(max_examples=50, deadline=None)
def test_a_recording_carries_all_bits(tmp_path_factory, num_bytes, at):
    file = tmp_path_factory.getbasetemp() / "recorded.csv"
    if not file.exists():
        file.write_text("seconds,up,down\n0,1,2\n10,0,4\n15,3,0\n")
    link = Recorded(file=str(file))
    found = link.carry(num_bytes, "up", Occasion(3, 2, "ada", at=at)).seconds
    laps, rest = divmod(8 * num_bytes / 1e6, 10 * 1 + 5 * 3)  # one time through: 10 s of 1, 5 s of 0, 5 s of 3 Mb/s
    assert laps * 20 - 1e-6 <= found <= (laps + 1) * 20 + 1e-6
    assert found >= rest / 3 - 1e-6


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("up,down\n1,2\n", "columns seconds, up, down"),
        ("seconds,up,down\n0,1,2\n", "two rows or more"),
        ("seconds,up,down\n0,1,2\n0,1,2\n", "growing seconds"),
        ("seconds,up,down\n0,x,2\n", "wanted numbers"),
        ("seconds,up,down\n0,0,2\n5,0,2\n", "nothing would ever arrive"),
    ],
)
def test_files_that_are_no_recording(tmp_path, text, wanted):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=wanted):
        Recorded(file=str(file)).carry(1, "up", HERE)
    with pytest.raises(UserError, match="cannot be read"):
        Recorded(file=str(tmp_path / "none.csv")).carry(1, "up", HERE)


def test_every_profile_says_what_it_is_and_can_be_changed(tmp_path):
    for name, plain in profiles().items():
        assert plain["about"]
        assert plain["sources"]
        air, _ = air_of(name)
        assert air.cell.carry(1000, "up", HERE).seconds > 0
    air, plain = air_of("lte", ["cell.up=3", "machine.gflops=7", "sharing=tdma"])
    assert (air.cell.up, air.machine.gflops, air.sharing, plain["cell"]["up"]) == (3, 7, "tdma", 3)
    assert title_of("lte", plain) == "lte, changed: cell.up = 3, machine.gflops = 7, sharing = tdma"
    same, _ = air_of("lte", ["cell.up=6", "sharing=own"]), air_of("lte")
    assert title_of("lte", same[1]) == "lte"
    file = tmp_path / "mine.toml"
    file.write_text('[village]\nlike = "lte"\ncell = { up = 0.5 }\ndevice = { name = "radio", far = 30 }\n')
    air, plain = air_of("village", file=file)
    assert plain["sources"].startswith("none for cell.up, device.")  # what it took from another profile cites that one
    assert (air.cell.up, air.cell.down, air.device.far) == (0.5, 13, 30)


@pytest.mark.parametrize(
    ("name", "sets", "file", "wanted"),
    [
        ("lt", [], "", "did you mean 'lte'"),
        ("lte", ["cell.upp=3"], "", "lte.cell.upp: unknown key; did you mean 'up'"),
        ("lte", ["cell.up=-3"], "", "lte.cell.up"),
        ("lte", ["up=3"], "", "wanted KEY=VALUE, like cell.up=3"),
        ("lte", ["sharing=all"], "", "none of own, fdma, tdma"),
        ("a", [], "[a]\nlike = 'a'\n", "no other link profile"),
        ("a", [], "[a]\nlike = 'b'\n[b]\nlike = 'a'\n", "no other link profile"),
        ("a", [], "[a]\ncell = 'steady'\n", "a.device: missing"),
        ("a", [], "a = 3\n", "wanted a table for each profile"),
        ("a", [], "[a\n", "no TOML file"),
        ("a", [], "[a]\nlike = 'lte'\nsell = 3\n", "a.sell: unknown key; did you mean 'cell'"),
    ],
)
def test_what_is_wrong_with_a_profile_is_said(tmp_path, name, sets, file, wanted):
    path = tmp_path / "p.toml"
    path.write_text(file)
    with pytest.raises(UserError, match=wanted):
        air_of(name, sets, path if file else None)
