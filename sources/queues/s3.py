"""Messages that announce S3 objects: each object is fetched once, in pieces, and emitted as untagged blocks.

Asks for s3:GetObjectVersion where a notice tells a version, else for s3:GetObject (and kms:Decrypt where
objects are encrypted so), and for nothing else: no listing, no HEAD, no bucket's location. One GET per
object; one more only after a broken connection or broken content.
"""

import math
import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import lru_cache
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from sources import telemetry
from sources.aws.account import Account
from sources.aws.partitions import beside
from sources.bulkheads import Turns
from sources.errors import Denied, ObjectBroken, ObjectChanged, ObjectError, ObjectTooLarge, SourceError
from sources.journal import JournalRow
from sources.objects import telemetry as object_telemetry
from sources.objects.body import Body
from sources.objects.bucket_reader import BucketReader
from sources.objects.decode import DecodedChunk, full, skip
from sources.objects.object_ref import ObjectRef, place_of
from sources.objects.opening_record import NoRecord, OpeningRecord
from sources.queues.bucket_trust import BucketTrust
from sources.queues.failure_policy import Action, Rules, Verdict, decide
from sources.queues.message_opener import ObjectBatch, Resume
from sources.queues.object_progress import ALL
from sources.queues.s3_notification import S3Notification, parse
from sources.queues.sqs import Message
from transforms.block import POISON_MARK, Block, Origin, Poison

_GONE, _DENIED = 100, 8
"""So many objects in a row that are not there, or may not be read, end the reading of their message."""

_NOT_THERE = f"{_GONE} objects in a row that it names are not there; the rest was not looked for"
_QUARANTINED = re.compile(r"(?:^|/)[a-z0-9_]+/[0-9a-f]{64}\.json$")
"""Keys of quarantine files, ours and other collectors'."""

NOTICE_UNKNOWN, BUCKET_UNEXPECTED = "notice_unknown", "bucket_unexpected"
"""Reasons of a Poison that holds a whole message."""

_WHAT = {NOTICE_UNKNOWN: "unknown notice", BUCKET_UNEXPECTED: "not a bucket of this service"}
_HINTS = {
    NOTICE_UNKNOWN: "send other messages elsewhere, or let it go to a dead letter queue",
    BUCKET_UNEXPECTED: "if it is to be read, add it to buckets of the service",
}
_TOLD = {NOTICE_UNKNOWN: telemetry.notice_unknown, BUCKET_UNEXPECTED: telemetry.bucket_unexpected}

__all__ = ["Body", "DecodedChunk", "ObjectRef", "Reader", "S3Opener"]

Reader: TypeAlias = Callable[[Body, ObjectRef], Iterator[DecodedChunk]]
"""Cuts an object's stored bytes into pieces of whole events; `decode.read` with the service's layout."""

_LARGE_BYTES = 64 << 10
_TURN_SECONDS = 1.0
_SHORT = 8 << 10
_LARGE_AT_ONCE = 16
"""Objects of more stored bytes that are read at once, beside those that are stuck. Each holds some 4 MiB on
its way, and more bring nothing: they keep the processor busy, where small ones are mostly waited for.
"""


class _InVain:
    """Counts, within one message, objects in a row that were not there, or might not be read."""

    def __init__(self) -> None:
        self.gone = self._denied = 0

    @property
    def enough(self) -> bool:
        """Tell that the rest of the message is not worth the time of others."""
        return self.gone >= _GONE or self._denied >= _DENIED

    def watched(self, batches: Iterator[ObjectBatch]) -> Iterator[ObjectBatch]:
        """Pass on what an object yields."""
        gone = False
        for batch in batches:
            gone = batch.gone
            yield batch
        self.gone, self._denied = self.gone + 1 if gone else 0, 0

    def refused(self, error: SourceError) -> None:
        """Note that an object could not be had."""
        self._denied = self._denied + 1 if isinstance(error, Denied) else 0


class Access(Struct, frozen=True):
    """trust: decides which buckets are read; what messages name besides goes to quarantine unread.

    requester_pays: agree to be charged where a bucket asks for it. kept: where our own quarantine and journal
    are, as s3://…; what is there is settled unread.
    """

    trust: BucketTrust
    requester_pays: bool = False
    kept: tuple[str, ...] = ()

    @property
    def own(self) -> tuple[str, ...]:
        """Return how names of objects begin that we have written ourselves."""
        named = (one.removeprefix("s3://").rstrip("/") for one in self.kept if one.startswith("s3://"))
        return tuple(f"{one}/" for one in named)


class S3Opener:
    """Opens S3 notices of one service.

    account: reads the objects. reader: knows the service's layout. left_out: tells of each key why its
    object is settled unread, "" = it is read. rules: see `failure_policy.py`.

    openings: where objects that end the process are noted.
    noted: is told of each object that was read.
    journaled: objects are hashed, and also those that are left out have rows for the journal.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each is a strategy of its own
        self,
        service: str,
        account: Account,
        reader: Reader,
        left_out: Callable[[str], str] = lambda _key: "",
        rules: Rules | None = None,
        access: Access | None = None,
    ) -> None:
        self.journaled = False
        self.noted: Callable[[ObjectRef], None] | None = None
        self.openings: OpeningRecord | NoRecord = NoRecord()
        self._service, self._reader, self._left_out = service, reader, left_out
        self._rules = rules or Rules()
        access = access or Access(BucketTrust(service))
        self._trust, self._own = access.trust, access.own
        self._objects = BucketReader(service, account, requester_pays=access.requester_pays, follows=beside)
        self._large = Turns(_LARGE_AT_ONCE)

    def causes(self, message: Message) -> tuple[str, ...]:
        """Return the region and the bucket that a notice names; of several, only that they are several."""
        found = {(ref.region, ref.bucket) for ref in _parsed(message.body).objects}
        if len(found) > 1:
            return ("notices of several buckets",)
        return tuple(
            f"{kind} {name}"
            for both in found
            for kind, name in zip(("region", "bucket"), both, strict=True)
            if name
        )

    def open(self, message: Message, resume: Resume) -> Generator[ObjectBatch, None, None]:
        """Yield all objects of a notice; one that fails does not keep the others, but the message stays."""
        notice = _parsed(message.body)
        for reason in notice.ignored:
            telemetry.notice_ignored(self._service, reason)
        failed: SourceError | None = None
        outside: list[str] = []
        vain = _InVain()
        for ref in notice.objects:
            if self._is_left_out(ref):
                yield from self._noted(ref, message, "filtered")
                continue
            try:
                if why := self._trust.refusal(ref, message):
                    outside.append(f"bucket {ref.bucket}: {why}")
                    continue
                yield from vain.watched(self._told(ref, message, resume))
            except SourceError as error:
                failed = failed or error
                vain.refused(error)
            if vain.enough:
                break
        if outside:
            yield self._not_read(BUCKET_UNEXPECTED, "; ".join([*dict.fromkeys(outside)][:3]), message)
        if notice.unknown or vain.gone >= _GONE:
            yield self._not_read(NOTICE_UNKNOWN, notice.unknown or _NOT_THERE, message)
        if failed:
            raise failed

    def _is_left_out(self, ref: ObjectRef) -> bool:
        """Tell whether an object is settled unread: by the key filter, or since we have written it."""
        ours = f"{ref.bucket}/{ref.key}".startswith(self._own)
        why = "own_quarantine" if ours else self._left_out(ref.key)
        if why:
            telemetry.notice_ignored(self._service, why)
        return bool(why)

    def one(self, ref: ObjectRef, records: int = 0) -> Generator[ObjectBatch, None, None]:
        """Yield one object that no message announced, behind the records of it that are done."""
        yield from self._told(ref, Message("", "", "", region=ref.region), lambda _id: records)

    def _not_read(self, reason: str, why: str, message: Message) -> ObjectBatch:
        """Return what stands for a message, or a part of it, of which nothing is read: the message itself."""
        where = f"message {message.id} of queue {message.queue}"
        if self._rules.keeps:
            raise SourceError(f"{_WHAT[reason]} ({why})", where, _HINTS[reason])
        origin = Origin(self._service, message.account, message.region, message.queue)
        _TOLD[reason](self._service, where, why)
        return ObjectBatch(
            (Poison(reason, f"{where}: {why}", origin, message.body.encode("utf-8", "surrogatepass")),)
        )

    def _told(self, ref: ObjectRef, message: Message, resume: Resume) -> Iterator[ObjectBatch]:
        """Yield an object, and tell of it."""
        yield from self._object(ref, message, resume)
        if self.noted:
            self.noted(ref)

    def _object(self, ref: ObjectRef, message: Message, resume: Resume) -> Iterator[ObjectBatch]:
        """Yield one object behind what is emitted already, or what stands for it when it cannot be had."""
        told = bool(ref.version_id or ref.etag)
        done = resume(ref.id) if told else 0
        if done >= ALL:
            yield from self._repeated(ref, message)
            return
        try:
            body = self._open(ref, message)
            read = _read(ref, body)
            if read.id != ref.id:
                # Not told, or overwritten since: what is read is another object, with a notice of its own.
                ref = read
                done = self._resume_opened(body, ref, resume)
            if done < ALL and _QUARANTINED.search(ref.key):
                if _is_quarantine(body):
                    telemetry.notice_ignored(self._service, "other_quarantine")
                    yield ObjectBatch((), ref.id, 0, last=True)
                    return
                body = self._again(ref, message, body.etag)
            if done >= ALL:
                yield from self._repeated(ref, message)
            else:
                yield from self._in_turn(ref, message, body, done)
        except ObjectError as error:
            verdict = decide(error, self._rules)
            if verdict.action is Action.GIVE_BACK:
                raise
            yield self._given_up(ref, message, error, verdict)

    def _repeated(self, ref: ObjectRef, message: Message) -> Iterator[ObjectBatch]:
        """Tell that an object is done already; its row may not have been written before the process ended."""
        telemetry.object_repeated(self._service)
        yield from self._noted(ref, message, "delivered", repeated=True)

    def _noted(
        self, ref: ObjectRef, message: Message, outcome: str, *, repeated: bool = False
    ) -> Iterator[ObjectBatch]:
        """Have the journal note an object of which nothing is read now."""
        if self.journaled:
            row = self._row(ref, self._origin(ref, message), outcome, 0)
            yield ObjectBatch((), row=replace(row, repeated=repeated))

    def _resume_opened(self, body: Body, ref: ObjectRef, resume: Resume) -> int:
        try:
            done = resume(ref.id)
        except SourceError:
            body.close()
            raise
        if done >= ALL:
            body.close()
        return done

    def _in_turn(self, ref: ObjectRef, message: Message, body: Body, done: int) -> Iterator[ObjectBatch]:
        """Yield pieces; of a large object when it is its turn. The size is S3's word, not a notice's."""
        if body.size <= _LARGE_BYTES:
            yield from self._pieces(ref, message, body, done)
            return
        while not (turn := self._large.begin(_TURN_SECONDS)):
            yield ObjectBatch(())
        try:
            for piece in self._pieces(ref, message, body, done):
                turn.moved = math.inf  # what it waits for now is the dataflow
                yield piece
                turn.moved = time.monotonic()
        finally:
            self._large.end(turn)

    def _pieces(self, ref: ObjectRef, message: Message, body: Body, done: int) -> Iterator[ObjectBatch]:
        """Yield pieces; content that breaks is fetched once more, it may have broken on the way."""
        origin = self._origin(ref, message)
        started, records, broken_at = time.monotonic(), done, -1
        while True:
            try:
                with closing(body):
                    pieces = skip(self._reader(body, ref), records)
                    for piece in self.openings.reading(ref.id, records, ref.uri, pieces):
                        yield _cut(piece, ref, replace(origin, record=records))
                        records = piece.records
            except ObjectBroken as error:
                if broken_at == records or isinstance(error, ObjectTooLarge):
                    raise type(error)(
                        error.what,
                        f"{ref.uri} {error.where}",
                        error.hint,
                        reason=error.reason,
                        record=records,
                    ) from error
                broken_at = records
                body = self._again(ref, message, body.etag)
            else:
                seconds = time.monotonic() - started
                object_telemetry.object_collected(self._service, ref.uri, records - done, body.size, seconds)
                row = self._row(ref, origin, "delivered", records, body)
                yield ObjectBatch((), ref.id, records, last=True, row=replace(row, resumed=done > 0))
                return

    def _given_up(
        self, ref: ObjectRef, message: Message, error: ObjectError, verdict: Verdict
    ) -> ObjectBatch:
        """Return what ends an object that cannot be had: nothing when it is gone, else a pointer to it."""
        records = error.record if isinstance(error, ObjectBroken) else 0
        if verdict.action is Action.SETTLE:
            object_telemetry.object_missing(self._service, error)
            row = self._row(ref, self._origin(ref, message), "missing", records)
            return ObjectBatch((), ref.id, records, last=True, gone=True, row=row)
        reason = error.reason if isinstance(error, ObjectBroken) else verdict.reason
        object_telemetry.object_unreadable(self._service, reason, error)
        origin = replace(self._origin(ref, message), record=records)
        row = replace(self._row(ref, origin, "quarantined", records), quarantined=1)
        return ObjectBatch((Poison(reason, str(error), origin),), ref.id, records, last=True, row=row)

    def _row(
        self, ref: ObjectRef, origin: Origin, outcome: str, records: int, body: Body | None = None
    ) -> JournalRow:
        """Return what the journal says of an object; the journal adds what became of its records."""
        return JournalRow(
            time=0,
            kind="object",
            outcome=outcome,
            service=self._service,
            account=origin.account,
            region=origin.region,
            container=origin.container,
            object=origin.object,
            version=ref.version_id,
            etag=body.etag.strip('"') if body else ref.etag,
            stored_bytes=body.size if body else max(ref.size, 0),
            sha256=body.sha256 if body else b"",
            records=records,
        )

    def _open(self, ref: ObjectRef, message: Message) -> Body:
        owner = self._trust.owner(ref, message)
        body = self._objects.open(ref, ref.region or message.region, owner)
        return body.hashed() if self.journaled else body

    def _again(self, ref: ObjectRef, message: Message, etag: str) -> Body:
        body = self._open(ref, message)
        if body.etag != etag:
            body.close()
            raise ObjectChanged("it was overwritten while it was read", ref.uri, "it is read again")
        return body

    def _origin(self, ref: ObjectRef, message: Message) -> Origin:
        """Tell where events are from: by the key's layout where AWS writes one, else by the notice."""
        account, region = place_of(ref.key)
        return Origin(
            self._service,
            account=account or ref.account or message.account,
            region=region or ref.region or message.region,
            container=message.queue,
            object=ref.uri,
            version=ref.version_id or ref.etag,
        )


def _read(ref: ObjectRef, body: Body) -> ObjectRef:
    """Return what was opened, which may not be what was announced."""
    if ref.version_id:
        return replace(ref, version_id=body.version or ref.version_id)
    return replace(ref, etag=body.etag.strip('"'))


def _is_quarantine(body: Body) -> bool:
    """Tell whether an object is a quarantine file; what was read of it is then gone, so it is closed."""
    with closing(body):
        return full(body, len(POISON_MARK)) == POISON_MARK


def _parsed(body: str) -> S3Notification:
    """Return what a body announces: it is asked for when a message comes, and when it is opened."""
    return parse(body) if len(body) > _SHORT else _parsed_short(body)


_parsed_short = lru_cache(maxsize=256)(parse)


def _cut(piece: DecodedChunk, ref: ObjectRef, origin: Origin) -> ObjectBatch:
    if piece.reason:
        detail = f"{piece.detail}: {ref.uri} record {origin.record}"
        return ObjectBatch((Poison(piece.reason, detail, origin, piece.payload),), ref.id, piece.records)
    block = Block(piece.payload, piece.count, origin, header=piece.header)
    return ObjectBatch((block,) if piece.count else (), ref.id, piece.records)
