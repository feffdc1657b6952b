"""What decoding yields and what bounds it: pieces, limits, the budget of an object."""

import tempfile
import threading
import time
from typing import Protocol

from msgspec import Struct, field

from sources.errors import ObjectBroken, ObjectTooLarge, Transient
from transforms.locks import Guard, guarded

CHUNK_BYTES = 1 << 20
"""Step of reading and inflating: one block of about this size stays in the processor's cache."""

_RATIO_FLOOR = 64 << 20

_LOCKS = (Guard("_lock", ("_held",)),)


class Readable(Protocol):
    """A stream of stored bytes, read once from front to back; reads may be short, b"" is the end."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        ...


@guarded(_LOCKS)
class SpoolRoom:
    """What objects that are held as a whole may take in the temporary folder, all of a process together.

    Thread-safe. limit: bytes. Whoever finds no room is tried again later: the others give theirs back.
    """

    def __init__(self, limit: int = 4 << 30) -> None:
        self._limit, self._held = limit, 0
        self._lock = threading.RLock()

    def take(self, size: int) -> None:
        """Take `size` bytes more. Raises Transient when there is no room for them."""
        with self._lock:
            if self._held + size > self._limit:
                raise no_room(f"{self._held} bytes are held of {self._limit}")
            self._held += size

    def never(self, size: int) -> bool:
        """Tell that an object of `size` bytes cannot have room, though nobody else had any."""
        return size > self._limit

    def give(self, size: int) -> None:
        """Give bytes back."""
        with self._lock:
            self._held -= size


def no_room(what: str) -> Transient:
    """Return the error for an object that must wait until the temporary folder has room for it."""
    hint = "it is tried again later; raise globals.spool_max_bytes as far as its disk goes, or set TMPDIR"
    return Transient(f"no room to hold the object: {what}", f"temporary folder {tempfile.gettempdir()}", hint)


class DecodeLimits(Struct, frozen=True):
    """What one object may cost.

    max_bytes: uncompressed size. max_ratio: inflation allowed beyond the first 64 MiB.
    max_event_bytes: largest event that outputs take. Larger ones still come out, for quarantine.
    max_record_bytes: of a line or record that is held, or max_event_bytes when that is more. Of a larger one
        the beginning goes to quarantine, and what stands behind it is read.
    max_spool_bytes: of an object that must be held as a whole (Parquet, zip), in a temporary file.
    room: of such files, all together.
    max_window_bytes: of what was inflated that a decoder may hold to refer to (the window of zstd and xz).
    max_cpu_seconds: processor time of the thread that reads it.
    """

    max_bytes: int = 64 << 30
    max_ratio: float = 500.0
    max_event_bytes: int = 1 << 20
    max_spool_bytes: int = 1 << 30
    max_window_bytes: int = 8 << 20
    room: SpoolRoom = field(default_factory=SpoolRoom)
    max_record_bytes: int = 16 << 20
    max_cpu_seconds: float = 600.0

    @property
    def record_bytes(self) -> int:
        """Largest line or record that is held in memory."""
        return max(self.max_record_bytes, self.max_event_bytes)


class DecodedChunk(Struct, frozen=True):
    """Whole events of an object.

    payload, count: events as newline-terminated lines, and how many.
    records: how many events of the object have come out with this piece and those before it.
    header: the column line that the events are rows of, without newline; b"" = none known.
    reason, detail: set when the payload is no event but one damaged record, its bytes as they are: why it
        goes to quarantine, and where it stood. It counts as one record, so that a resume goes on behind it.
    """

    payload: bytes
    count: int
    records: int
    header: bytes = b""
    reason: str = ""
    detail: str = ""


class Budget(Struct):
    """How much an object has been read and inflated so far. chunk: bytes that are inflated at a time.

    thread, began: who reads it, and the processor time that it had when it began.
    """

    limits: DecodeLimits
    stored: int = 0
    inflated: int = 0
    chunk: int = CHUNK_BYTES
    thread: int = 0
    began: float = 0.0

    def work(self) -> None:
        """Raise ObjectTooLarge when too much was computed for the object; called about once a MiB."""
        thread, now = threading.get_ident(), time.thread_time()
        if thread != self.thread:  # processor time is a thread's own
            self.thread, self.began = thread, now
        elif now - self.began > (most := self.limits.max_cpu_seconds):
            raise too_large(f"more than {most:g} s of processor time", "max_object_cpu_seconds")

    def spool(self, size: int) -> None:
        """Raise ObjectTooLarge when an object that is held as a whole has more than `size` bytes so far."""
        if size > self.limits.max_spool_bytes:
            raise too_large(f"more than {self.limits.max_spool_bytes} bytes stored", "max_spool_bytes")

    def passing(self, chunk: bytes) -> bytes:
        """Count a chunk that is as it was stored."""
        self.spend(len(chunk))
        return chunk

    def spend(self, size: int) -> None:
        """Count `size` bytes that decoding made. Raises ObjectTooLarge beyond the limits."""
        self.inflated += size
        limits = self.limits
        if self.inflated > limits.max_bytes:
            raise too_large(f"more than {limits.max_bytes} bytes uncompressed", "max_object_bytes")
        if self.inflated > max(_RATIO_FLOOR, limits.max_ratio * self.stored):
            raise too_large(
                f"{self.stored} bytes inflate to more than {self.inflated}", "max_inflation_ratio"
            )


def too_large(what: str, key: str) -> ObjectTooLarge:
    """Return the error for an object beyond a limit. key: its setting."""
    return ObjectTooLarge(what, "object", f"raise {key} if this object is genuine", reason="object_bomb")


_LOOK = "look at the object; what came before was sent"


def broken(reason: str, what: str, hint: str = _LOOK) -> ObjectBroken:
    """Return the error for content that cannot be cut; `decode.read` adds the record number."""
    return ObjectBroken(what, "object", hint, reason=reason)
