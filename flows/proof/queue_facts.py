"""What queues still announce: their messages are looked at and handed back.

Each look costs a message one receive, so it is done only when the bucket has what the journal does not know.
IAM: sqs:GetQueueAttributes, and what collecting needs.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from flows.proof.facts import Fact, Witness
from sources.queues.s3_notification import parse
from sources.queues.sqs import CEILING_SECONDS, Message, Queue, SqsQueue, lots

MOST_MESSAGES = 2_000
"""Of one queue, looked at. When it holds more, what was written since the oldest of them was sent counts as
being on its way."""

_HOLD_SECONDS, _WAIT_SECONDS = 120, 1


class QueueLook(Struct, frozen=True):
    """facts: of each object that a message names. since: what was written from then on may be in a queue."""

    facts: Sequence[Fact]
    since: int


def look(queues: Sequence[Queue], now: int) -> QueueLook:
    """Return what queues announce. now: epoch milliseconds. Raises SourceError."""
    looks = [_look(SqsQueue(queue), now) for queue in queues]
    return QueueLook(
        [fact for one in looks for fact in one.facts],
        min((one.since for one in looks), default=now),
    )


def _look(queue: SqsQueue, now: int) -> QueueLook:
    visible, held = queue.depth()
    if not visible and not held:
        return QueueLook((), now)
    messages: list[Message] = []
    try:
        while len(messages) < MOST_MESSAGES and (found := queue.receive(_WAIT_SECONDS, _HOLD_SECONDS)):
            messages += found
    finally:
        for lot in lots(messages):
            queue.change([message.receipt_handle for message in lot], [0] * len(lot))
    beyond = max(visible - len(messages), 0) if len(messages) >= MOST_MESSAGES else 0
    since = now
    if held:  # by a collector that works on them; SQS lets nobody hold one for longer
        since -= CEILING_SECONDS * 1000
    if beyond:
        since = min(since, *(message.sent_ms for message in messages))
    return QueueLook(list(_facts(messages)), since)


def _facts(messages: Sequence[Message]) -> Iterator[Fact]:
    for message in messages:
        for ref in parse(message.body).objects:
            yield Fact(ref.uri, Witness.QUEUE, ref.etag, at=message.sent_ms)
