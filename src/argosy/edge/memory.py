"""Having the C library give freed memory back, for long-lived servers whose load comes in bursts.

A push to a thousand proxies moves gigabytes through buffers of up to a megabyte. By default glibc learns from the first
freed ones to keep such buffers on its heaps, and has eight heaps for each processor, so that much of the peak stays.
Source: mallopt(3).
"""

from __future__ import annotations

import ctypes
import ctypes.util

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
ARENAS_MAX = 1
LARGE_BYTES = 64 * 1024
"""From this size on a buffer is mapped for itself, and unmapped when it is freed."""


def return_freed_memory() -> bool:
    """Set the allocator of this process; False where it is not glibc's. Call it before threads are started."""
    try:
        mallopt = ctypes.CDLL(ctypes.util.find_library("c")).mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_M_ARENA_MAX, ARENAS_MAX), (_M_MMAP_THRESHOLD, LARGE_BYTES), (_M_TRIM_THRESHOLD, LARGE_BYTES))
    taken = [mallopt(name, value) == 1 for name, value in wanted]
    return all(taken)
