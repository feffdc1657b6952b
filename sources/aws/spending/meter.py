"""Counts each request to AWS where it leaves: by hooks on a client, or told by who asks without one.

A request counts when it is sent, so a process that is killed has counted what AWS has seen; one that found no
connection is taken back. boto3's retries are requests like others. With the reply come its bytes, and what
else AWS charges by.

    queues            each 64 KiB of a reply is a request (Amazon SQS pricing)
    GetMetricData     a metric with up to five statistics is one (Amazon CloudWatch pricing)
    StartQuery        what the query scans (Amazon CloudWatch pricing), which its results tell
    GetObject         of an object under a KMS key without bucket key, S3 asks KMS once
"""

import threading
from collections import Counter
from collections.abc import Mapping
from functools import partial
from math import ceil
from types import MappingProxyType
from typing import Any, NamedTuple

from botocore.exceptions import ConnectionError as NoConnection

from sources.aws.spending import telemetry
from sources.aws.spending.book import SpendingBook
from sources.threads import payer

BOOK = SpendingBook()
"""Of this process."""

FIFO = " fifo"
"""What the action of a call on a FIFO queue ends with: it has a price of its own."""

_NONE: Mapping[str, str] = MappingProxyType({})
_CHUNK_BYTES, _STATISTICS = 64 << 10, 5
_KMS, _BUCKET_KEY = "x-amz-server-side-encryption", "x-amz-server-side-encryption-bucket-key-enabled"
_ACTIONS = {
    "ListObjectsV2": "ListBucket",
    "ListObjects": "ListBucket",
    "HeadBucket": "ListBucket",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
"""Operations that IAM calls otherwise."""

_BY_RESULT = frozenset({"StartQuery"})
"""Operations whose units are known to who asks, when the result is there."""


class Sent(NamedTuple):
    """A request that has left. units: what AWS charges by."""

    action: str
    units: int


class _Call(threading.local):
    """The call that a thread makes at present. sent: its request, once that has left."""

    asked: Mapping[str, Any] = {}
    sent: Sent | None = None


def watch(client: Any, service: str) -> None:
    """Count all that a client asks from now on. service: as boto3 and IAM name it."""
    events, here = client.meta.events, _Call()
    events.register("provide-client-params", partial(_begins, here))
    events.register("before-send", partial(_sends, here, service))
    events.register("response-received", partial(_received, here))


def _begins(here: _Call, params: Mapping[str, Any], **_: Any) -> None:
    here.asked = params


def _sends(here: _Call, service: str, event_name: str, **_: Any) -> None:
    """Count a request; botocore calls this last of all, when what waits for its turn has had it."""
    here.sent = sends(service, event_name.rpartition(".")[2], here.asked)


def _received(here: _Call, response_dict: dict[str, Any] | None, exception: Any, **_: Any) -> None:
    sent, here.sent = here.sent, None
    if sent is None:
        return
    if response_dict is not None:
        headers, body = response_dict["headers"], response_dict["body"]
        told = headers.get("content-length", "")
        ended(sent, int(told) if told.isdigit() else len(body), headers)
    elif isinstance(exception, NoConnection):
        unsent(sent)
    else:
        ended(sent)


def sends(service: str, operation: str, asked: Mapping[str, Any]) -> Sent:
    """Count a request that leaves now."""
    action = f"{service}:{_ACTIONS.get(operation, operation)}"
    if service == "sqs" and str(asked.get("QueueUrl") or asked.get("QueueName")).endswith(".fifo"):
        action += FIFO
    units = _metrics(asked["MetricDataQueries"]) if "MetricDataQueries" in asked else 1
    units = 0 if operation in _BY_RESULT else units
    BOOK.add(payer(), action, 1, units)
    return Sent(action, units)


def unsent(sent: Sent) -> None:
    """Take back what was counted: no connection, no request."""
    BOOK.add(payer(), sent.action, -1, -sent.units)


def ended(sent: Sent, size: int = 0, headers: Mapping[str, str] = _NONE) -> None:
    """Count what came of a request: the bytes of a reply, none where it was lost."""
    chunks = max(size - 1, 0) // _CHUNK_BYTES if sent.action.startswith("sqs:") else 0
    BOOK.add(payer(), sent.action, units=chunks, size=size)
    telemetry.asked(payer(), sent.action, size)
    if headers.get(_KMS, "").startswith("aws:kms") and headers.get(_BUCKET_KEY) != "true":
        BOOK.add(payer(), "kms:Decrypt", 1, 1)


class Leaving:
    """A request that is sent without boto3: counted when it is called, right before it leaves.

    size: bytes of its reply, as soon as they are known.
    """

    def __init__(self, service: str, operation: str, asked: Mapping[str, Any]) -> None:
        self.size = 0
        self._asked = service, operation, asked
        self._sent: Sent | None = None

    def __call__(self) -> None:
        """Count it."""
        self._sent = sends(*self._asked)

    def ended(self, headers: Mapping[str, str] = _NONE) -> None:
        """Count what came of it, if it has left."""
        if self._sent:
            ended(self._sent, self.size, headers)


def _metrics(queries: list[Mapping[str, Any]]) -> int:
    """Return as how many metrics AWS counts what is asked."""
    found = Counter(repr(one.get("MetricStat", {}).get("Metric", one.get("Id"))) for one in queries)
    return sum(ceil(statistics / _STATISTICS) for statistics in found.values())
