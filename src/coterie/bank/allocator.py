"""Memory that is freed after a pass is wanted again by the next: let the allocator keep it.

By default glibc hands large blocks back to the system at once, which fills the next ones with zeros page by page. At
wide passes that was measured to take a quarter of the time. Elsewhere than on glibc nothing is done.
"""

from __future__ import annotations

import ctypes
import functools
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of glibc's parameters, malloc.h


@functools.cache
def keep_freed_memory() -> bool:
    """Sets it for this process, once; returns whether that was possible."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))
