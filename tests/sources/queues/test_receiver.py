"""How many receivers poll, how they rest, and what becomes of late replies."""

import pytest

from sources.queues.lease_manager import LeaseManager
from sources.queues.receiver import Polling, Receiver, pause_after
from sources.queues.sqs import SqsQueue
from tests.sources.queues.leasing import FakeSqs, aws_error, confirmed


class Gate:
    """A feed that runs receivers by hand: each spawned job waits in `jobs`."""

    def __init__(self, rounds=1):
        self.jobs = []
        self.accepted = []
        self.pauses = []
        self.open = True
        self.troubled = False
        self.rounds = rounds
        self._left = 0

    def spawn(self, name, job):
        self.jobs.append((name, job))

    def await_room(self):
        self._left -= 1
        return self._left >= 0

    def accept(self, leases):
        if self.open:
            self.accepted += leases
        return self.open

    def pause(self, seconds):
        self.pauses.append(seconds)
        return False

    def run(self, rounds=1):
        """Let every job that waits go on for some rounds."""
        jobs, self.jobs = self.jobs, []
        for _, job in jobs:
            self._left = rounds
            job()


@pytest.fixture
def sqs():
    return FakeSqs()


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def receiver(sqs, gate):
    made = Receiver("test", LeaseManager("test", SqsQueue(sqs.queue), 30, print), Polling(4, 0, 30), gate)
    made.start()
    return made


def test_full_replies_start_more_receivers(sqs, gate, receiver):
    """Each full reply starts one more, four at most; an empty one sends all but the first away."""
    sqs.send(*(str(number) for number in range(55)))
    gate.run()
    assert [name for name, _ in gate.jobs] == ["fake-receive-2"]
    gate.run()
    gate.run()
    assert receiver._level == 4
    gate.jobs = [("", lambda: receiver._run(1))]
    gate.run(rounds=9)
    assert gate.jobs == []
    assert receiver._level == 1
    assert len(gate.accepted) == 55


@pytest.mark.usefixtures("receiver")
def test_late_messages_go_back_at_once(sqs, gate):
    """What a long poll brings after the end was decided is visible again at once."""
    sqs.send("a", "b")
    gate.open = False
    gate.run()
    assert sqs.visible == 2


def test_h06_failing_queue_is_asked_ever_more_rarely(sqs, gate, receiver):
    """A denied queue rests longer each time, up to five minutes, and starts anew when it works."""

    def denied(**_):
        raise aws_error("ReceiveMessage", "AccessDenied", 403)

    sqs.faults["receive_message"] = denied
    gate.run(rounds=12)
    assert len(gate.pauses) == 12
    assert all(first < second for first, second in zip(gate.pauses[0:8:2], gate.pauses[2:8:2], strict=False))
    assert max(gate.pauses) <= 300
    assert gate.pauses[-1] >= 150
    sqs.faults.clear()
    receiver.start()
    gate.run(rounds=1)
    assert receiver._failures == 0


def test_h07_receiving_rests_while_nothing_can_be_opened(sqs, gate, receiver):
    """While every object is denied, messages are tried one at a time: each try costs a redrive count."""
    sqs.send(*(str(number) for number in range(30)))
    gate.troubled = True
    gate.run(rounds=3)
    assert len(gate.accepted) == 3
    assert len(gate.pauses) == 3
    gate.troubled = False
    receiver.start()
    gate.run()
    assert len(gate.accepted) == 13


def test_pauses_are_spread():
    """Jitter takes up to half of a pause, so that a fleet does not ask in step."""
    assert pause_after(1, 0.0) == 1.0
    assert pause_after(1, 1.0) == 0.5
    assert pause_after(4, 0.0) == 8.0
    assert pause_after(100, 0.0) == 300.0


def test_nothing_is_received_while_deletions_lag(sqs, gate, receiver, monkeypatch):
    """Else messages in flight would pile up to the queue's limit; once they are deleted it goes on."""
    monkeypatch.setattr("sources.queues.lease_manager._MAX_PENDING_DELETES", 2)
    sqs.send("a", "b", "c", "d")
    gate.run()
    manager = receiver._manager
    manager.hold(gate.accepted)
    manager.settle([confirmed(lease) for lease in gate.accepted[:3]])
    assert manager.behind
    gate.jobs = [("", lambda: receiver._run(1))]
    asked = sqs.calls.count("receive_message")
    gate.run(rounds=5)
    assert sqs.calls.count("receive_message") == asked
    assert len(gate.pauses) == 5
    manager._finish(manager._next_lot())
    assert not manager.behind
    gate.jobs = [("", lambda: receiver._run(1))]
    gate.run()
    assert sqs.calls.count("receive_message") == asked + 1


def test_a_receiver_that_ends_can_be_started_again_at_once(gate, receiver):
    """From the moment it decides to end, a full reply starts it anew: else its number were lost for ever."""
    gate.run(rounds=0)
    assert not receiver.asking
    receiver._ensure(2)
    assert not receiver._goes_on(2)
    receiver._ensure(2)
    assert [name for name, _ in gate.jobs] == ["fake-receive-2"] * 2


@pytest.mark.parametrize("seconds", [0, 14, 16, 300])
@pytest.mark.parametrize("stolen", [False, True])
def test_a_reply_that_was_held_is_renewed(sqs, gate, receiver, monkeypatch, seconds, stolen):
    """When half of its leases may be over, only what SQS renews is taken."""
    now, late = [1000.0], seconds >= 15
    monkeypatch.setattr("sources.queues.receiver.time.monotonic", lambda: now[0])

    def held(**asked):
        del sqs.faults["receive_message"]
        reply = sqs.receive_message(**asked)
        now[0] += seconds
        if stolen:
            sqs.messages[0].receipt_handle = "another's"
        return reply

    sqs.faults["receive_message"] = held
    sqs.send("a", "b")
    gate.run()
    assert [lease.message.body for lease in gate.accepted] == (["b"] if late and stolen else ["a", "b"])
    assert {lease.expires for lease in gate.accepted} == {now[0] + 30 if late else 1030.0}
    assert sqs.calls.count("change_message_visibility_batch") == late
    assert receiver._failures == 0


def test_a_long_poll_is_shorter_than_a_lease(sqs, gate):
    """Else a message that is given at its end would seem to be over."""
    asked = []
    sqs.faults["receive_message"] = lambda **more: asked.append(more["WaitTimeSeconds"])
    for visibility in (1, 2, 10, 120):
        manager = LeaseManager("test", SqsQueue(sqs.queue), visibility, print)
        Receiver("test", manager, Polling(1, 20, visibility), gate).start()
        gate.run()
    assert asked == [1, 1, 5, 20]
