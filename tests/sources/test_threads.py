"""What ends a thread ends its service."""

import pytest

from sources.errors import SourceError
from sources.threads import Threads
from tests.fakes.process import wait_until


def test_first_failure_is_raised_again():
    """The cause is told, not what followed from it; a thread that ends by itself is no failure."""
    threads, begun = Threads("flowlogs"), []

    def broken():
        begun.append("broken")
        raise RuntimeError("planted")

    threads.spawn("well", lambda: begun.append("well"))
    threads.check()
    threads.spawn("broken", broken)
    wait_until(lambda: threads._failure, 10, "the thread has ended")
    threads.spawn("later", lambda: 1 // 0)
    with pytest.raises(SourceError, match=r"RuntimeError \(planted\).*service flowlogs") as caught:
        threads.check()
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert set(begun) == {"well", "broken"}
