"""Digests verified as they come: with `prove: continuous` each one that a queue announces, and its log files.

A digest is verified as `flows prove` does, and so is each that it names before it, back to the last one that
is known: one that was deleted, or never announced, is seen when the next one comes. Of each log file the
content is held against its hash, and the journal must have it within an hour.

IAM: s3:GetObject, s3:ListBucket (else a deleted object looks like a forbidden one), ListPublicKeys.
Locks: `_lock` guards `_waiting`.
"""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from flows.catalogue.service import ConfiguredService
from flows.config.base import ObjectsSettings
from flows.journal.reader import Journal
from flows.process.money import payer_of
from flows.proof import telemetry
from flows.proof.digests import (
    DIGESTS,
    Digest,
    DigestInvalidError,
    Keys,
    end_of,
    generated,
    place_of,
    verified,
)
from flows.proof.journal_facts import journal_facts
from flows.proof.judge import Fate
from flows.proof.signed_facts import INTACT, Signer
from sources.bulkheads import common
from sources.listed.listing import Stretch
from sources.objects.object_ref import ObjectRef
from sources.threads import payer, works_for
from transforms.locks import Guard, guarded

_LOCKS = (Guard("_lock", ("_waiting",)),)

LOOK_SECONDS = 300.0
"""Between two looks at what has come; the journal is read once for all of it."""

DELIVERED_SECONDS = 3600.0
"""Within which the journal must have a log file, from when its digest came."""

MOST_DIGESTS, MOST_LOGS = 10_000, 500_000
"""That wait to be verified, and to be seen in the journal; beyond it they are not, which is counted."""

_BACK = 48
"""Digests before one that comes, at most, that are verified because nobody announced them."""

_THREADS = 4
_VALID, _UNVERIFIED = "valid", "unverified"
_AROUND = timedelta(hours=2)

_Place = tuple[str, str]
Noted = Callable[[ObjectRef], None]
Watching = Callable[[ConfiguredService[ObjectsSettings]], Noted | None]
"""A unit → what each of its objects is told to, None = nothing is."""


@guarded(_LOCKS)
class DigestWatch:
    """Verifies the digests of one service. `note` is thread-safe and quick; `look` does the work.

    journal: of what was delivered, None = that is not looked at. clock: epoch seconds.
    """

    def __init__(
        self,
        unit: ConfiguredService[ObjectsSettings],
        journal: Journal | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._unit, self._journal, self._clock = unit, journal, clock
        self._lock = threading.Lock()
        self._waiting: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._chains: dict[str, str] = {}  # → end of the first digest that was looked at
        self._keys: dict[tuple[str, str], Keys] = {}
        self._awaited: dict[str, tuple[float, float, _Place]] = {}

    def note(self, ref: ObjectRef) -> None:
        """Take an object that a queue announced, if it is a digest."""
        if DIGESTS not in ref.key or place_of(ref.key) is None:
            return
        with self._lock:
            self._waiting[ref.bucket, ref.key] = None
            if len(self._waiting) <= MOST_DIGESTS:
                return
            bucket, key = self._waiting.popitem(last=False)[0]
        self._tell(bucket, key, _UNVERIFIED, "too many wait to be verified")

    def _tell(self, bucket: str, key: str, result: str, why: str) -> None:
        telemetry.digest(self._unit.service.name, _place(key), _name(bucket, key), result, why)

    def look(self) -> None:
        """Verify what has come. What AWS does not let be read stays for the next look."""
        with self._lock:
            waiting = list(self._waiting)
        done: set[tuple[str, str]] = set()
        for bucket, key in waiting:
            error = self._one(bucket, key, done)
            if error and common(error):
                break
        self._delivered()

    def run(self, drain: threading.Event) -> None:
        """Look again and again until `drain`; what it reads is on its unit's bill."""
        works_for(payer_of(self._unit))
        while not drain.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - told; one look that fails must not end all others
                telemetry.digests_not_looked_at(self._unit.service.name, error)

    def _one(self, bucket: str, key: str, done: set[tuple[str, str]]) -> Exception | None:
        """Verify a digest, and those that are named before it and nobody announced.

        done: what this look has verified; each is, once, in whatever order they came. Returns why one of them
        cannot be verified now: that one waits, behind all others.
        """
        failed: Exception | None = None
        reached = bucket, key
        try:
            for _ in range(_BACK):
                if reached in done:
                    break
                before = self._step(*reached)
                done.add(reached)
                if before is None or _name(*before) in self._known:
                    break
                reached = before
        except Exception as error:  # noqa: BLE001 - told; a digest that makes trouble must not stop all others
            failed = error
            telemetry.digest_failed(self._unit.service.name, _name(*reached), error)
        with self._lock:
            if (bucket, key) in self._waiting:
                del self._waiting[bucket, key]
                self._waiting |= {reached: None} if failed else {}
        return failed

    def _step(self, bucket: str, key: str) -> tuple[str, str] | None:
        """Verify one digest; return bucket and key of the one that it names before it, if it tells."""
        digest = self._digest(bucket, key)
        self._remember(_name(bucket, key))
        place = place_of(key) or {}
        chain = " ".join((bucket, *(part for name, part in place.items() if name != "end")))
        ended = place.get("end", "")
        begins = self._chains.get(chain, ended)
        self._chains[chain] = min(begins, ended)
        if len(self._chains) > MOST_DIGESTS:
            del self._chains[next(iter(self._chains))]
        if digest is None or ended <= begins:
            return None
        if not digest.previous_bucket or not digest.previous_key:
            self._tell(bucket, key, Fate.CHAIN_GAP, "it names no digest before it")
            return None
        return digest.previous_bucket, digest.previous_key

    def _digest(self, bucket: str, key: str) -> Digest | None:
        """Verify one digest and its log files; None when it is not valid."""
        signer, place = self._signer(), _place(key)
        backfill = key.endswith("_backfill.json.gz")
        stored = signer.fetch(bucket, key)
        if stored is None:
            self._tell(bucket, key, Fate.DIGEST_DELETED, "another one names it, and it is not there")
            return None
        try:
            moment = generated(stored.metadata) if backfill else end_of(key)
            digest = verified(bucket, key, stored, self._public_keys(signer, place[1], moment))
        except DigestInvalidError as error:
            self._tell(bucket, key, Fate.DIGEST_INVALID, str(error))
            return None
        with ThreadPoolExecutor(_THREADS, initializer=works_for, initargs=(payer(),)) as pool:
            facts = list(pool.map(signer.check, digest.logs or ()))
        self._tell(bucket, key, _VALID, "")
        for fact in facts:
            if fact.state != INTACT:
                telemetry.log_file(self._unit.service.name, place, fact.object, fact.state, fact.place)
            elif not backfill and len(self._awaited) < MOST_LOGS:
                due = self._clock() + DELIVERED_SECONDS
                self._awaited[fact.object] = due, digest.start.timestamp(), place
        found = Counter(fact.state for fact in facts)
        telemetry.log_files(self._unit.service.name, place, found[INTACT])
        return digest

    def _delivered(self) -> None:
        """Look for log files in the journal; tell those that are not there in time."""
        if not self._awaited or self._journal is None:
            return
        since = min(start for _, start, _ in self._awaited.values())
        stretch = Stretch(datetime.fromtimestamp(since, UTC) - _AROUND, datetime.max.replace(tzinfo=UTC))
        for fact in journal_facts([self._journal], self._unit.service.name, stretch, int(since * 1000)):
            self._awaited.pop(fact.object, None)
        late = [name for name, (due, _, _) in self._awaited.items() if due <= self._clock()]
        for name in late:
            place = self._awaited.pop(name)[2]
            telemetry.log_file(
                self._unit.service.name, place, name, "not_delivered", "the journal has no row"
            )

    def _public_keys(self, signer: Signer, region: str, moment: datetime | None) -> Keys:
        at = moment or signer.now
        day = f"{at:%Y-%m-%d}"
        if (region, day) not in self._keys:
            start = at.replace(hour=0, minute=0, second=0) - _AROUND
            self._keys = {one: keys for one, keys in self._keys.items() if one[1] >= day}
            self._keys[region, day] = signer.keys(region, start, start + timedelta(days=1) + 2 * _AROUND)
        return self._keys[region, day]

    def _signer(self) -> Signer:
        unit, now = self._unit, datetime.fromtimestamp(self._clock(), UTC)
        most, region = unit.options.max_object_bytes, unit.regions[0]
        return Signer(unit.account.client, region, unit.service.digests, most, now)

    def _remember(self, name: str) -> None:
        self._known[name] = None
        if len(self._known) > MOST_DIGESTS:
            self._known.popitem(last=False)


def _name(bucket: str, key: str) -> str:
    return f"s3://{bucket}/{key}"


def _place(key: str) -> _Place:
    place = place_of(key) or {"account": "", "region": ""}
    return place["account"], place["region"]


def begin(journal: Journal | None, drain: threading.Event) -> Watching:
    """Return what begins a watch for a unit that wants one; it ends with `drain`."""

    def watch(unit: ConfiguredService[ObjectsSettings]) -> Noted | None:
        if not unit.service.digests or unit.options.prove != "continuous":
            return None
        made = DigestWatch(unit, journal)
        telemetry.watched(unit.service.name)
        threading.Thread(target=made.run, args=(drain,), name="digests", daemon=True).start()
        return made.note

    return watch
