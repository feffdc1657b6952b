"""How a process that collects keeps its memory, set once when it begins.

By itself, glibc's malloc maps each block of a megabyte anew and gives it back to the kernel, which then
clears its pages again, and keeps a heap for nearly every thread. Here freed blocks are used again, out of
one heap.
"""

import ctypes
import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of <malloc.h>."""

_SETTINGS = ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 64 << 20), (_ARENA_MAX, 1))


def reuse_blocks(env: Mapping[str, str] = os.environ) -> bool:
    """Set it, unless somebody else has (`MALLOC_…`, `GLIBC_TUNABLES`) or this is not glibc; True when set."""
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in env):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(set_option(option, value) for option, value in _SETTINGS)


def give_back() -> bool:
    """Give the kernel what is free: of a start, megabytes only read through. False without glibc."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return False
    return bool(trim(0))


@contextmanager
def unswept() -> Iterator[None]:
    """Look for no garbage while modules are imported, and never among what they have made.

    They leave next to none, and looking for it would take a sixth of a start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
