"""What native code writes to standard error: bytewax's panics, which say in many lines what one line tells.

Rust writes a panic to file descriptor 2 before its error reaches Python. So descriptor 2 is a file in memory
while the dataflow runs, and what Python writes goes where it always went. What is no panic is passed on.
"""

import faulthandler
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

_STDERR = 2
_PANIC = re.compile(rb"^thread '.*' (?:\(\d+\) )?panicked at ", re.MULTILINE)


@contextmanager
def without_panics() -> Iterator[None]:
    """Hold native output back; at the end write it, but of an error that is raised not the panic.

    A crash (SIGSEGV, SIGABRT) loses what is held back; Python's own report of it is switched on instead.
    """
    before = sys.stderr
    before.flush()
    real, aside = os.dup(_STDERR), os.memfd_create("stderr")
    os.dup2(aside, _STDERR)
    sys.stderr = _written_to(real)
    faulthandler.enable(sys.stderr)
    told = False
    try:
        yield
    except Exception:
        told = True
        raise
    finally:
        os.dup2(real, _STDERR)  # `real` stays open: log handlers write to it until the process ends
        sys.stderr = before
        faulthandler.enable(before)
        os.write(_STDERR, _kept(os.pread(aside, os.fstat(aside).st_size, 0), told=told))
        os.close(aside)


def _written_to(descriptor: int) -> IO[str]:
    return os.fdopen(descriptor, "w", buffering=1, errors="backslashreplace")


def _kept(text: bytes, *, told: bool) -> bytes:
    panic = _PANIC.search(text)
    return text[: panic.start()] if panic and told else text
