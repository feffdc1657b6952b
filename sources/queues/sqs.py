"""One SQS queue: receive, delete, change visibility, in lots of ten, the outcome of each message by itself.

Calls block, never retry beyond botocore, and raise only SourceError. IAM: sqs:GetQueueUrl (not for a queue
given by URL), sqs:ReceiveMessage, sqs:DeleteMessage, sqs:ChangeMessageVisibility.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from sources.aws.account import Account, required
from sources.errors import Missing, SourceError, Transient, kind_of, translate

LOT = 10
"""Most messages in one SQS request."""

CEILING_SECONDS = 43_200
"""A message stays invisible for twelve hours at most, extensions included, counted from its receive."""

_ASKED = ["ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"]
_T = TypeVar("_T")


class Queue(Struct, frozen=True):
    """A queue to collect from. name: its name (in the account of the credentials) or its full URL."""

    account: Account
    region: str
    name: str

    @property
    def short(self) -> str:
        """Return the bare name, for origins and labels."""
        return self.name.rstrip("/").rpartition("/")[2]

    @property
    def fifo(self) -> bool:
        """Tell whether it keeps an order; SQS asks for the ending."""
        return self.name.endswith(".fifo")

    @property
    def where(self) -> str:
        """For messages: which queue, where, asked by whom."""
        return f"queue {self.name} in {self.region} ({self.account.where})"


class Message(Struct, frozen=True):
    """A received message. receives: how often it was received, this time included; sent_ms: epoch."""

    id: str
    receipt_handle: str
    body: str
    receives: int = 1
    sent_ms: int = 0
    group: str = ""
    queue: str = ""
    account: str = ""
    region: str = ""


class Receivable(Protocol):
    """What receives messages is told of where they come from."""

    @property
    def region(self) -> str:
        """AWS region."""

    @property
    def short(self) -> str:
        """Return a bare name, for origins and labels."""

    @property
    def where(self) -> str:
        """For messages."""


class MessageQueue(Protocol):
    """A queue as the lease family sees it: SQS's, or what gives itself out for one. See `SqsQueue`.

    receive_is_call: each `receive` is one call of AWS.
    """

    receive_is_call: bool

    @property
    def queue(self) -> Receivable:
        """Tell which one it is."""

    def receive(self, wait_seconds: int, visibility_seconds: int, most: int = LOT) -> list[Message]:
        """Return up to `most` messages."""

    def delete(self, receipt_handles: Sequence[str]) -> list[SourceError | None]:
        """Delete messages; for each of them None, or why it is still there."""

    def change(self, receipt_handles: Sequence[str], seconds: Sequence[int]) -> list[SourceError | None]:
        """Let messages be visible again after that many seconds from now."""


class SqsQueue:
    """The calls upon one queue. Thread-safe, as boto3 clients are."""

    receive_is_call = True

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self._url = queue.name if "://" in queue.name else ""

    def receive(self, wait_seconds: int, visibility_seconds: int, most: int = LOT) -> list[Message]:
        """Return up to `most` messages, waiting up to `wait_seconds` for the first."""
        reply = self._call(
            "ReceiveMessage",
            MaxNumberOfMessages=most,
            WaitTimeSeconds=wait_seconds,
            VisibilityTimeout=visibility_seconds,
            MessageSystemAttributeNames=_ASKED,
        )
        return [self._message(raw) for raw in reply.get("Messages", ())]

    def delete(self, receipt_handles: Sequence[str]) -> list[SourceError | None]:
        """Delete up to ten messages; for each of them None, or why it is still there."""
        entries = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(receipt_handles)]
        reply = self._call("DeleteMessageBatch", Entries=entries)
        return self._outcomes(reply, len(entries))

    def change(self, receipt_handles: Sequence[str], seconds: Sequence[int]) -> list[SourceError | None]:
        """Let up to ten messages be visible again after that many seconds from now, each its own."""
        entries = [
            {"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": after}
            for n, (handle, after) in enumerate(zip(receipt_handles, seconds, strict=True))
        ]
        reply = self._call("ChangeMessageVisibilityBatch", Entries=entries)
        return self._outcomes(reply, len(entries))

    def depth(self) -> tuple[int, int]:
        """Return about how many messages are visible and how many in flight. IAM: sqs:GetQueueAttributes."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        reply = self._call("GetQueueAttributes", AttributeNames=names)
        found = required(reply, "Attributes", self.queue.where)
        return int(found[names[0]]), int(found[names[1]])

    def _call(self, operation: str, **parameters: object) -> Mapping[str, Any]:
        queue = self.queue
        try:
            calls = queue.account.calls("sqs", queue.region)
            if not self._url:
                found = calls.call("GetQueueUrl", {"QueueName": queue.name})
                self._url = required(found, "QueueUrl", queue.where)
            return calls.call(operation, {"QueueUrl": self._url, **parameters})
        except Exception as error:
            ours = translate(error, queue.where, f"sqs:{operation.removesuffix('Batch')}")
            if isinstance(ours, Missing) and "://" not in queue.name:
                self._url = ""  # deleted, perhaps made anew elsewhere
            raise ours from error

    def _outcomes(self, reply: Mapping[str, Any], count: int) -> list[SourceError | None]:
        """Tell each entry's outcome; what a hollow reply does not name has not happened."""
        done = {entry["Id"] for entry in reply.get("Successful", ())}
        failed = {entry["Id"]: entry for entry in reply.get("Failed", ())}
        return [None if str(n) in done else self._failure(failed.get(str(n))) for n in range(count)]

    def _failure(self, entry: dict[str, Any] | None) -> SourceError:
        if entry is None:
            return Transient("the reply does not tell the outcome", self.queue.where, "it is tried again")
        code, message = entry.get("Code") or "", entry.get("Message") or ""
        kind = kind_of(code, 400 if entry.get("SenderFault") else 500, message)
        return kind(f"{code} ({message})", self.queue.where, "the message comes again by itself")

    def _message(self, raw: dict[str, Any]) -> Message:
        attributes = raw.get("Attributes") or {}
        return Message(
            id=raw["MessageId"],
            receipt_handle=raw["ReceiptHandle"],
            body=raw["Body"],
            receives=int(attributes.get("ApproximateReceiveCount", 1)),
            sent_ms=int(attributes.get("SentTimestamp", 0)),
            group=attributes.get("MessageGroupId", ""),
            queue=self.queue.short,
            account=self._url.rstrip("/").rpartition("/")[0].rpartition("/")[2],
            region=self.queue.region,
        )


def opened(queue: Queue | MessageQueue) -> MessageQueue:
    """Return the calls upon a queue."""
    return SqsQueue(queue) if isinstance(queue, Queue) else queue


def lots(things: Sequence[_T], size: int = LOT) -> Iterator[Sequence[_T]]:
    """Cut a sequence into lots that one request may carry."""
    return (things[start : start + size] for start in range(0, len(things), size))
