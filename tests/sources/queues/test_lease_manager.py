"""Leases are extended at half time, lost when SQS says so, deleted and given back in lots."""

import threading
import time

import pytest

from sources.queues.lease_life import Lease, LeaseState
from sources.queues.lease_manager import LeaseManager
from sources.queues.sqs import CEILING_SECONDS, SqsQueue
from tests.fakes.process import wait_until
from tests.sources.queues.leasing import FakeSqs, aws_error, confirmed

VISIBILITY = 30


class Bench:
    """A manager over a fake queue, its loops run in threads only when asked."""

    def __init__(self):
        self.sqs = FakeSqs()
        self.queue = SqsQueue(self.sqs.queue)
        self.settled = []
        self.manager = LeaseManager("test", self.queue, VISIBILITY, self.settled.append)

    def leases(self, count, age=0.0):
        self.sqs.send(*(f"m{number}" for number in range(count)))
        found = []
        while len(found) < count:
            found += self.queue.receive(0, VISIBILITY)
        received = time.monotonic() - age
        leases = [Lease(message, self.manager, received, received + VISIBILITY) for message in found]
        self.manager.hold(leases)
        return leases

    def run(self):
        def spawn(name, job):
            threading.Thread(target=job, name=name, daemon=True).start()

        self.manager.start(spawn)

    def settle(self, leases, back=None):
        self.manager.settle([confirmed(lease, back) for lease in leases])
        wait_until(lambda: self.manager.idle, 10, "all is settled")


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.manager.stop()


def test_h04_extends_at_half_time_in_lots_of_ten(bench):
    """Nothing is extended before half time; then 23 leases take three requests."""
    leases = bench.leases(23)
    bench.manager.extend_due(leases[0].received + VISIBILITY / 2 - 1)
    assert bench.sqs.calls.count("change_message_visibility_batch") == 0
    bench.sqs.advance(VISIBILITY / 2)
    bench.manager.extend_due(leases[0].received + VISIBILITY / 2 + 1)
    assert bench.sqs.calls.count("change_message_visibility_batch") == 3
    bench.sqs.advance(VISIBILITY - 1)
    assert bench.sqs.visible == 0


def test_h04_invalid_receipt_is_a_lost_lease(bench):
    """A lease that SQS no longer knows is lost, alone, and not asked for again."""
    leases = bench.leases(2)
    bench.sqs.messages[0].receipt_handle = "somebody else's"
    due = leases[0].received + VISIBILITY
    bench.manager.extend_due(due)
    assert [lease.lost for lease in leases] == [True, False]
    assert bench.manager.held == 1
    bench.settle(leases[:1])
    assert leases[0].lost


def test_h04_trouble_in_extending_loses_nothing(bench):
    """A failed request or a failed entry of SQS's own making is tried again at the next interval."""
    leases = bench.leases(1)
    due = leases[0].received + VISIBILITY
    faults = bench.sqs.faults

    def throttled(**_):
        raise aws_error("ChangeMessageVisibilityBatch", "ThrottlingException")

    faults["change_message_visibility_batch"] = throttled
    bench.manager.extend_due(due)
    faults["change_message_visibility_batch"] = lambda **_: {}
    bench.manager.extend_due(due)
    assert not leases[0].lost
    faults.clear()
    bench.manager.extend_due(due)
    assert leases[0].expires > leases[0].received + VISIBILITY - 1


def test_h04_twelve_hours_are_the_ceiling(bench):
    """The last extension ends at twelve hours; after them the lease is lost."""
    asked = []
    (lease,) = bench.leases(1)
    bench.sqs.faults["change_message_visibility_batch"] = lambda **parameters: asked.append(parameters)
    bench.manager.extend_due(lease.received + CEILING_SECONDS - 10.5)
    assert asked[0]["Entries"][0]["VisibilityTimeout"] == 10
    with bench.manager.lock:
        lease.extend(0.0)
    bench.manager.extend_due(lease.received + CEILING_SECONDS)
    assert lease.lost
    assert len(asked) == 1


def test_deletes_in_lots_and_tells_so(bench):
    """Thirty deletions are three requests, and each is told once it is done."""
    leases = bench.leases(30)
    bench.manager.settle([confirmed(lease) for lease in leases])
    bench.run()
    wait_until(lambda: bench.manager.idle, 10, "all is deleted")
    assert bench.sqs.messages == []
    assert bench.sqs.calls.count("delete_message_batch") == 3
    assert set(bench.settled) == set(leases)
    assert bench.manager.held == 0


def test_gives_back_with_each_its_delay(bench):
    """A lease given back is visible after its own delay, and is not reported as settled."""
    leases = bench.leases(2)
    bench.run()
    bench.manager.settle([confirmed(lease, back) for lease, back in zip(leases, (0, 50), strict=True)])
    wait_until(lambda: bench.manager.idle, 10, "both are given back")
    assert {lease.state for lease in leases} == {LeaseState.GIVEN_BACK}
    assert bench.sqs.visible == 1
    bench.sqs.advance(50)
    assert bench.sqs.visible == 2
    assert bench.settled == []


def test_given_back_lease_is_not_extended_meanwhile(bench):
    """The heartbeat leaves alone what waits to be given back, or it would hide it again."""
    (lease,) = bench.leases(1)
    bench.manager.settle([confirmed(lease, 0)])
    bench.manager.extend_due(lease.received + VISIBILITY)
    assert bench.sqs.calls.count("change_message_visibility_batch") == 0


def test_heartbeat_that_crosses_a_deletion_loses_nothing(bench, caplog):
    """An extension refused because the message is being deleted just then is no lost lease."""
    (lease,) = bench.leases(1)

    def crossing(**_):
        bench.sqs.faults.clear()
        bench.sqs.messages.clear()  # deleted at SQS, its reply still under way
        bench.manager.extend_due(time.monotonic() + VISIBILITY)
        bench.manager._extend([lease], [30])  # one that was under way before
        return {"Successful": [{"Id": "0"}]}

    bench.sqs.faults["delete_message_batch"] = crossing
    bench.run()
    bench.settle([lease])
    assert not lease.lost
    assert "leases_lost" not in caplog.text
    assert bench.settled == [lease]


def test_h19_failed_deletions_are_tried_again(bench):
    """Of a lot that failed in part, and of a whole lot refused by throttling, all is deleted in the end."""
    faults = [
        aws_error("DeleteMessageBatch", "ThrottlingException"),
        {"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]},
    ]

    def fault(**_):
        if not faults:
            return None
        one = faults.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    bench.sqs.faults["delete_message_batch"] = fault
    leases = bench.leases(3)
    bench.run()
    bench.settle(leases)
    assert bench.sqs.messages == []
    assert len(bench.settled) == 3


def test_h04_deletion_with_an_invalid_receipt_is_given_up(bench):
    """A message that is somebody else's by now is left to them, at once."""
    leases = bench.leases(2)
    bench.sqs.messages[0].receipt_handle = "somebody else's"
    bench.run()
    bench.settle(leases)
    assert bench.sqs.calls.count("delete_message_batch") == 1
    assert [message.body for message in bench.sqs.messages] == ["m0"]
    assert len(bench.settled) == 1


def test_heartbeat_keeps_leases_while_nothing_else_happens():
    """With its threads running a short lease outlives its time."""
    bench = Bench()
    bench.manager = LeaseManager("test", bench.queue, 6, bench.settled.append)
    bench.leases(1)
    bench.run()
    extended = lambda: bench.sqs.calls.count("change_message_visibility_batch") >= 3  # noqa: E731
    for lease in list(bench.manager._held):
        with bench.manager.lock:
            lease.extend(time.monotonic() + 6)
    wait_until(extended, 10, "three extensions")
    bench.manager.stop()


def test_a_slow_deletion_does_not_hold_up_what_is_given_back(bench):
    """While one settler waits for SQS, another one takes what comes."""
    slow = threading.Event()
    bench.sqs.faults["delete_message_batch"] = lambda **_: slow.wait(120) and None
    bench.run()
    deleted, given = bench.leases(1), bench.leases(1)
    bench.manager.settle([confirmed(lease) for lease in deleted])
    wait_until(lambda: bench.sqs.calls.count("delete_message_batch"), 10, "a deletion has begun")
    bench.manager.settle([confirmed(lease, 0) for lease in given])
    wait_until(lambda: bench.sqs.calls.count("change_message_visibility_batch"), 10, "it is given back")
    slow.set()
    wait_until(lambda: bench.manager.idle, 10, "all is settled")
