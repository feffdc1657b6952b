"""What waits for a lane: in order, bounded, and never in the way of an end."""

import threading
import time

from sources.queues.inbox import BatchInbox
from sources.queues.lease_life import Lease
from sources.queues.message_opener import ObjectBatch
from sources.queues.sqs import Message
from transforms.block import Block, Origin

NEVER = lambda: False  # noqa: E731 - reads as a constant


class Manager:
    """What an inbox needs of a lease's manager."""

    lock = threading.RLock()


def lease(name="m"):
    fetching = Lease(Message(name, "r", ""), Manager, 0.0, 0.0)
    with Manager.lock:
        fetching.fetch()
    return fetching


def cut(size, records=1):
    return ObjectBatch((Block(b"x" * size, 1, Origin("test")),), "o", records)


def test_order_and_end_mark():
    """A lease's cuts come in order, then its end."""
    inbox, one = BatchInbox(1 << 20), lease()
    for number in (1, 2):
        assert inbox.put(one, cut(10, number), NEVER)
    assert inbox.leases == 1
    assert inbox.end(one, None)
    assert [(owner is one, part and part.records) for owner, part in inbox.take(1 << 20)] == [
        (True, 1),
        (True, 2),
        (True, None),
    ]
    assert (len(inbox), inbox.bytes, inbox.leases) == (0, 0, 0)
    assert inbox.take(1 << 20) == []


def test_batches_are_bounded_but_never_empty():
    """A batch stays within its limit; one cut larger than the limit is a batch of its own."""
    inbox, one = BatchInbox(1 << 20), lease()
    for size in (5000, 100, 100):
        inbox.put(one, cut(size), NEVER)
    assert [len(inbox.take(1000)) for _ in range(3)] == [1, 1, 1]


def test_full_inbox_blocks_until_it_is_taken():
    """A fetch thread waits for room; what waits is never more than the bound and one cut."""
    size = cut(1000).size
    inbox, one = BatchInbox(3 * size), lease()
    done = threading.Event()

    def fill():
        for _ in range(10):
            inbox.put(one, cut(1000), NEVER)
        done.set()

    threading.Thread(target=fill, daemon=True).start()
    taken, most = 0, 0
    deadline = time.monotonic() + 120
    while taken < 10 and time.monotonic() < deadline:
        most = max(most, inbox.bytes)
        taken += len(inbox.take(size))
    assert done.wait(120)
    assert taken == 10
    assert most <= 3 * size


def test_end_wakes_the_waiting_thread_and_closes():
    """A lease ended by another thread takes nothing more, also from a thread that waits for room."""
    inbox, one = BatchInbox(1000), lease()
    inbox.put(one, cut(900), NEVER)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(inbox.put(one, cut(900), NEVER)), daemon=True)
    waiting.start()
    assert inbox.end(one, 0)
    waiting.join(120)
    assert answers == [False]
    assert not inbox.end(one, None)
    assert one.back == 0
    assert [part is None for _, part in inbox.take(1 << 20)] == [False, True]


def test_stop_and_loss_end_waiting():
    """Nothing is put for a lost lease, nor after a stop; a lease that put nothing leaves no mark."""
    inbox, one, other = BatchInbox(1000), lease(), lease()
    with Manager.lock:
        one.lose()
    assert not inbox.put(one, cut(1), NEVER)
    assert not inbox.put(other, cut(1), lambda: True)
    assert inbox.end(one, None)
    assert not one.begun
    assert len(inbox) == 0
