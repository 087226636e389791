from coterie.wire.meter import Meter, Passage


def test_counts_by_what_is_asked_and_wasted_bytes_only_when_asked():
    meter, aborted = Meter(), Meter()
    meter.count(Passage(1, "ada", "up", "memory", "train"), b"12345")
    meter.count(Passage(1, "ada", "down", "memory", "train"), b"123")
    meter.count(Passage(2, "bo", "up", "memory", "evaluate"), b"1")
    aborted.count(Passage(3, "bo", "up", "memory", "train"), b"1234567")
    meter.add(aborted, wasted=True)
    assert meter.total() == 9
    assert meter.total(direction="up", purpose="train") == 5
    assert meter.total(wasted=True) == 7
    assert meter.messages(client="bo") == 1
    assert Meter.from_plain(meter.as_plain(), meter.work_as_plain()) == meter
