"""Messages that are the events themselves: EventBridge envelopes and Security Hub findings in SQS.

A message becomes one block. Its bytes stay as they came; only JSON that spans lines is made compact. The
message's id stands for an object's: what comes again after its events were receipted emits nothing.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from sources import telemetry
from sources.errors import SourceError
from sources.queues.failure_policy import Rules
from sources.queues.message_opener import ObjectBatch, Resume
from sources.queues.object_progress import ALL
from sources.queues.s3_notification import label
from sources.queues.sqs import Message
from transforms.block import Block, Origin, Poison

_ENVELOPES = 4
_NO_EVENT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_T = TypeVar("_T")


class NotAnEventError(ValueError):
    """A body that is not what the service's queue should hold; its text says why."""


class Events(Struct, frozen=True):
    """What a body holds: events as compact JSON, and the account and region they tell, "" = none."""

    events: tuple[bytes, ...]
    account: str = ""
    region: str = ""


Split: TypeAlias = Callable[[bytes], Events]
"""Body → events; raises NotAnEventError."""


class _Sns(msgspec.Struct):
    kind: str = msgspec.field(name="Type")
    message: str = msgspec.field(name="Message")


class _Envelope(msgspec.Struct, kw_only=True):
    source: str
    account: Any = ""
    region: Any = ""


class _Detail(msgspec.Struct):
    findings: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    insight: msgspec.Raw = msgspec.field(default=msgspec.Raw(b""), name="insightResults")


class _Finding(msgspec.Struct):
    """What AWS's finding format tells of where a finding belongs; `Region` may be absent."""

    account: Any = msgspec.field(default="", name="AwsAccountId")
    region: Any = msgspec.field(default="", name="Region")


class _SecurityHub(_Envelope, kw_only=True):
    detail: msgspec.Raw


_SNS = msgspec.json.Decoder(_Sns)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_SECURITY_HUB = msgspec.json.Decoder(_SecurityHub)
_DETAIL = msgspec.json.Decoder(_Detail)
_FINDING = msgspec.json.Decoder(_Finding)


def eventbridge(body: bytes) -> Events:
    """Return the whole EventBridge envelope as one event."""
    body = _compact(_unwrapped(body))
    envelope = _read(_ENVELOPE, body)
    return Events((body,), label(envelope.account), label(envelope.region))


def securityhub(body: bytes) -> Events:
    """Return each finding of a Security Hub event as one event, an insight's results as one of their own.

    An administrator, and an aggregation region, send events of findings of others: where a finding belongs
    stands in itself, and the envelope's place is taken where it does not, or where several differ.
    """
    found = _read(_SECURITY_HUB, _compact(_unwrapped(body)))
    detail = _read(_DETAIL, bytes(found.detail))
    if detail.findings is msgspec.UNSET and not bytes(detail.insight):
        raise NotAnEventError("it has neither findings nor insightResults")
    findings = [found.detail] if detail.findings is msgspec.UNSET else detail.findings
    events = tuple(map(bytes, findings))
    places = set(map(_place, events))
    account, region = places.pop() if len(places) == 1 else ("", "")
    return Events(events, account or label(found.account), region or label(found.region))


def _place(finding: bytes) -> tuple[str, str]:
    try:
        told = _FINDING.decode(finding)
    except _NO_EVENT:
        return "", ""
    return label(told.account), label(told.region)


def _read(decoder: "msgspec.json.Decoder[_T]", body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except _NO_EVENT as error:
        raise NotAnEventError(str(error)) from error


def _compact(body: bytes) -> bytes:
    """Return JSON on one line; what is on one line already stays as it is."""
    body = body.strip()
    if b"\n" not in body and b"\r" not in body:
        return body
    try:
        return msgspec.json.format(body, indent=-1)
    except _NO_EVENT as error:
        raise NotAnEventError(str(error)) from error


def _unwrapped(body: bytes) -> bytes:
    """Return what SNS carried, if SNS did."""
    for _ in range(_ENVELOPES):
        if b'"TopicArn"' not in body:
            break
        try:
            envelope = _SNS.decode(body)
        except _NO_EVENT:
            break  # not SNS's: an event may well hold a topic's ARN
        body = envelope.message.encode("utf-8", "surrogatepass")
    return body


class EventOpener:
    """Opens messages that hold events, of one service. split: knows the service's form."""

    def __init__(self, service: str, split: Split, rules: Rules | None = None) -> None:
        self._service, self._split, self._rules = service, split, rules or Rules()

    def causes(self, message: Message) -> tuple[str, ...]:  # noqa: ARG002 - of the protocol
        """Return nothing: all is in the message."""
        return ()

    def open(self, message: Message, resume: Resume) -> Generator[ObjectBatch, None, None]:
        """Yield the message's events as one cut; a body of another kind goes to quarantine."""
        identity = f"sqs/{message.queue}/{message.id}"
        if resume(identity) >= ALL:
            telemetry.object_repeated(self._service)
            return
        body = message.body.encode("utf-8", "surrogatepass")
        try:
            found = self._split(body)
        except NotAnEventError as error:
            yield ObjectBatch((self._not_understood(message, body, str(error)),), identity, 1, last=True)
            return
        origin = Origin(
            self._service, found.account or message.account, found.region or message.region, message.queue
        )
        count = len(found.events)
        payload = b"\n".join((*found.events, b""))
        yield ObjectBatch((Block(payload, count, origin),) if count else (), identity, count, last=True)

    def _not_understood(self, message: Message, body: bytes, why: str) -> Poison:
        where = f"message {message.id} of queue {message.queue}"
        if self._rules.keeps:
            hint = "send other messages elsewhere, or let it go to a dead letter queue"
            raise SourceError(f"not an event of this service ({why})", where, hint)
        telemetry.notice_unknown(self._service, where, why)
        origin = Origin(self._service, message.account, message.region, message.queue)
        return Poison("message_unknown", f"{where}: {why}", origin, body)
