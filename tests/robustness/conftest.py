"""Damage to files, by fixed seeds, and a watch over what reading them costs."""

from __future__ import annotations

import contextlib
import random
import struct
import time
from pathlib import Path

import pytest

from coterie.core.errors import UserError

SECONDS = 5
MEGABYTES = 200


def mutate(data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """One to three wounds: bits, cuts, insertions, repeats, zeros, huge numbers, the tail of another file."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = _wound(data, rng, other)
    return data


def _wound(data: bytes, rng: random.Random, other: bytes) -> bytes:
    size = len(data)
    start = rng.randrange(size + 1)
    # Headers decide most, so half of all wounds are near one of the two ends.
    start = rng.choice((start, start, rng.randrange(min(64, size) + 1), size - rng.randrange(min(64, size) + 1)))
    stop = min(size, start + rng.choice((1, 2, 4, 8, 64)))
    match rng.randrange(8):
        case 0:
            flipped = bytes(byte ^ (1 << rng.randrange(8)) for byte in data[start:stop])
            return data[:start] + flipped + data[stop:]
        case 1:
            return data[:start]
        case 2:
            return data[:start] + rng.randbytes(rng.choice((1, 3, 100))) + data[start:]
        case 3:
            return data[:start] + data[stop:]
        case 4:
            return data[:start] + data[start:stop] * rng.choice((2, 50)) + data[stop:]
        case 5:
            return data[:start] + bytes(stop - start) + data[stop:]
        case 6:
            huge = rng.choice((b"\xff" * 4, b"\xff" * 8, struct.pack("<I", 2**31 - 1), struct.pack(">I", 2**30)))
            return data[:start] + huge + data[start + len(huge) :]
        case _:
            return data[:start] + other[rng.randrange(len(other) + 1) :]


@pytest.fixture
def survives():
    """Calls a reader: a result, or a complaint of one line, soon, in little memory. Returns the result or None."""
    slowest = 0.0

    def call(read, *words):
        nonlocal slowest
        began = time.monotonic()
        try:
            return read(*words)
        except UserError as error:
            text = str(error)
            assert text
            assert "\n" not in text
            assert len(text) < 1000
            text.encode()
            return None
        finally:
            slowest = max(slowest, time.monotonic() - began)

    with bounded_memory():
        yield call
    assert slowest < SECONDS


@contextlib.contextmanager
def bounded_memory():
    """At no moment inside more than ``MEGABYTES`` above the beginning; where the system does not tell, no check."""
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    try:
        reset.write_text("5")
        before = _kilobytes(status, "VmRSS")
    except OSError:
        yield
        return
    yield
    assert _kilobytes(status, "VmHWM") - before < MEGABYTES * 1000


def _kilobytes(status: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name))


@pytest.fixture
def damage():
    """``damage(seed, files, count)``: mutated copies of files, each with the index of its original."""

    def made(seed, files, count):
        rng = random.Random(seed)
        for _ in range(count):
            index = rng.randrange(len(files))
            yield index, mutate(files[index], rng, rng.choice(files))

    return made
