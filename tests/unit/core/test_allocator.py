"""What is told to the system about memory changes no number."""

import mmap
import sys

import pytest
import torch

from coterie.core.allocator import give_back_freed_memory, let_pages_go, most_used_bytes

glibc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")


def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


def test_the_most_that_was_used_never_falls():
    before = most_used_bytes()
    block = torch.ones(50 * 2**18)
    after = most_used_bytes()
    del block
    assert 10**7 < before <= after <= most_used_bytes()


@glibc
def test_what_small_blocks_left_goes_back():
    blocks = [torch.ones(2**13) for _ in range(4000)]  # 32 KiB each, from the heap
    last = torch.ones(2**13)  # keeps the heap's end in use
    full = resident()
    del blocks
    give_back_freed_memory()
    assert full - resident() > 60 * 2**20
    assert last.sum() == 2**13


@pytest.mark.parametrize("numbers", [0, 1, 1023, 5000, 2**20])
def test_own_numbers_stay_what_they_are(numbers):
    tensor = torch.arange(numbers)
    assert not let_pages_go(tensor)
    assert not let_pages_go(tensor[1:])
    assert torch.equal(tensor, torch.arange(numbers))


@glibc
def test_a_mapped_files_pages_go_and_come_back(tmp_path):
    path = tmp_path / "numbers"
    path.write_bytes(torch.arange(2**23, dtype=torch.int32).numpy().tobytes())
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        tensor = torch.frombuffer(mapped, dtype=torch.int32)
        assert tensor.sum() > 0
        full = resident()
        if not let_pages_go(tensor):
            pytest.skip("this system takes no such hint")
        assert full - resident() > 20 * 2**20
        assert torch.equal(tensor, torch.arange(2**23, dtype=torch.int32))
        del tensor
