"""The calls upon one queue: lots, each message's own outcome, errors that say where."""

import pytest

from sources.errors import Denied, Missing, ReceiptHandleInvalid, SourceError, Transient
from sources.queues.sqs import Queue, SqsQueue, lots
from tests.sources.queues.leasing import Account, FakeSqs, aws_error


@pytest.fixture
def fake():
    return FakeSqs()


def test_receives_with_a_lease_of_its_own(fake):
    """Visibility is asked for with each receive, so the queue's own attributes need no permission."""
    fake.send("a", "b")
    found = SqsQueue(fake.queue).receive(0, 77)
    assert [message.body for message in found] == ["a", "b"]
    assert (found[0].receives, found[0].queue, found[0].account) == (1, "fake", "123456789012")
    assert fake.visible == 0
    fake.advance(77)
    assert SqsQueue(fake.queue).receive(0, 77)[0].receives == 2


def test_url_is_looked_up_once_or_never(fake):
    """A queue's name is resolved by one call; a given URL needs none."""
    named = SqsQueue(fake.queue)
    named.receive(0, 1)
    named.receive(0, 1)
    assert fake.calls.count("get_queue_url") == 1
    given = SqsQueue(Queue(Account(fake.client), "us-east-1", "https://sqs.us-east-1.amazonaws.com/1/q1"))
    given.receive(0, 1)
    assert fake.calls.count("get_queue_url") == 1
    assert given.queue.short == "q1"


def test_outcomes_are_told_per_message(fake):
    """Of a lot some are deleted and some are not; each is told its own way."""
    fake.send("a", "b")
    queue = SqsQueue(fake.queue)
    first, second = queue.receive(0, 30)
    outcomes = queue.delete([first.receipt_handle, "junk", second.receipt_handle])
    assert [outcomes[0], outcomes[2]] == [None, None]
    assert isinstance(outcomes[1], ReceiptHandleInvalid)
    assert fake.deleted == ["a", "b"]


def test_h19_hollow_reply_is_no_success(fake):
    """A reply that names no outcome (a truncated 200 is {} to boto3) leaves the message undeleted."""
    fake.faults["delete_message_batch"] = lambda **_: {}
    assert isinstance(SqsQueue(fake.queue).delete(["r"])[0], Transient)


def test_null_is_nothing(fake):
    """An emulator may say null where SQS says nothing."""
    raw = {"MessageId": "m", "ReceiptHandle": "r", "Body": "b", "Attributes": None}
    fake.faults["receive_message"] = lambda **_: {"Messages": [raw]}
    assert SqsQueue(fake.queue).receive(0, 1)[0].receives == 1
    failed = {"Id": "0", "Code": "InvalidParameterValue", "SenderFault": True, "Message": None}
    fake.faults["delete_message_batch"] = lambda **_: {"Failed": [failed]}
    assert isinstance(SqsQueue(fake.queue).delete(["r"])[0], SourceError)


def test_server_faults_of_an_entry_are_transient(fake):
    """An entry that SQS failed by itself is worth another try."""
    reply = {"Successful": [], "Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}]}
    fake.faults["change_message_visibility_batch"] = lambda **_: reply
    assert isinstance(SqsQueue(fake.queue).change(["r"], [5])[0], Transient)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AWS.SimpleQueueService.NonExistentQueue", 400, Missing),
        ("AccessDenied", 403, Denied),
        ("InternalError", 500, Transient),
        ("SomethingNew", 400, SourceError),
    ],
)
def test_h06_errors_say_which_queue(fake, code, status, kind):
    """Errors are of our own tree and name queue, region, who asked, and what to do."""

    def fault(**_):
        raise aws_error("ReceiveMessage", code, status)

    fake.faults["receive_message"] = fault
    with pytest.raises(SourceError) as caught:
        SqsQueue(fake.queue).receive(0, 1)
    assert type(caught.value) is kind
    assert all(part in str(caught.value) for part in ("fake", "us-east-1", "input test"))
    assert caught.value.hint


def test_h06_queue_made_anew_is_found_again(fake):
    """After "no such queue" its URL is looked up again: it may have been deleted and made anew."""
    queue = SqsQueue(fake.queue)
    queue.receive(0, 1)

    def gone(**_):
        raise aws_error("ReceiveMessage", "QueueDoesNotExist")

    fake.faults["receive_message"] = gone
    with pytest.raises(Missing):
        queue.receive(0, 1)
    fake.faults.clear()
    queue.receive(0, 1)
    assert fake.calls.count("get_queue_url") == 2


def test_lots_of_ten():
    """A request carries ten entries at most."""
    assert [len(lot) for lot in lots(list(range(23)))] == [10, 10, 3]
