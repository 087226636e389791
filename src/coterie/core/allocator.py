"""What the process's allocator does with memory that was freed, and how much the process had at most.

Within one kind of work freed memory is wanted again by the next pass: by default glibc hands large blocks back to the
system at once, which fills the next ones with zeros page by page. At wide passes that was measured to take a quarter of
the time. Between two kinds of work it is the other way round: what one of them left in pieces does not fit the next,
and both together would be the peak. Elsewhere than on glibc nothing is done.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import resource
import sys
from typing import Any

import torch
from torch import Tensor

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of glibc's parameters, malloc.h
_PAGEOUT = 21  # of `madvise`, linux/mman.h: unlike all others it harms nothing, whatever the memory is
_PAGE = resource.getpagesize()


@functools.cache
def _library() -> Any:
    """glibc, or None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL("libc.so.6", use_errno=True)
        return library if library.mallopt and library.malloc_trim and library.madvise else None
    except (OSError, AttributeError):
        return None


@functools.cache
def keep_freed_memory() -> bool:
    """Sets it for this process, once; returns whether that was possible."""
    library = _library()
    return bool(library and library.mallopt(_MMAP_MAX, 0) and library.mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def give_back_freed_memory() -> bool:
    """Gives the system all that nobody holds in this process now; returns whether there was any."""
    gc.collect()  # models hold themselves in circles
    library = _library()
    return bool(library and library.malloc_trim(0))


def let_pages_go(tensor: Tensor) -> bool:
    """Tells the system that a tensor's numbers are not wanted any more, where they are a file's that is mapped.

    They stay what they are: who reads them again gets them from the file, more slowly. Numbers in the process's own
    memory are left alone: they would be written to a swap disk.

    Returns:
        Whether the system took it as a hint.
    """
    library = _library()
    if library is None or tensor.device.type != "cpu":
        return False
    begin = tensor.data_ptr()
    first = -(-begin // _PAGE) * _PAGE  # whole pages only: the first and the last are shared with neighbours
    length = (begin + tensor.numel() * tensor.element_size()) // _PAGE * _PAGE - first
    return (
        length > 0
        and _is_mapped(first)
        and library.madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), _PAGEOUT) == 0
    )


def _is_mapped(address: int) -> bool:
    """Whether a file is mapped at an address of this process."""
    with open("/proc/self/maps") as file:
        for line in file:
            fields = line.split(maxsplit=5)
            begin, end = (int(number, 16) for number in fields[0].split("-"))
            if begin <= address < end:
                return fields[4] != "0"  # the file's number, which memory of the process's own has not
    return False


def most_used_bytes(device: str = "cpu") -> int:
    """The most memory that was in use at once so far: of this process, files that it maps included, or of its card."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
