"""Ctrl-C ends a loop, wherever it comes."""

import os
import signal
import sys
import time

import pytest

from flows.process.interrupt import until_interrupted


class _Finalized:
    """Interrupts where Python drops what is raised."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)


def test_an_interrupt_ends_the_block():
    """What stands behind it is not run, and the handlers from before are back."""
    before = signal.getsignal(signal.SIGINT)
    with until_interrupted(signal.SIGINT) as interrupted:
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("it goes on")
    assert interrupted()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_in_a_finalizer_is_not_lost(monkeypatch):
    """Python drops it there; the loop sees it in its next round."""
    dropped = []
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    with until_interrupted(signal.SIGINT) as interrupted:
        while not interrupted():
            _Finalized()
    assert interrupted()
    assert [one.exc_type for one in dropped] == [KeyboardInterrupt]
