"""The journal's rows: what was settled, written down before it is deleted.

The order is the guarantee: emitted → receipted → journal durable → deleted, or the cursor moved. A row says
that everything which came from one object, message or window of an API has its receipt.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Protocol

from msgspec import Struct, field


class JournalRow(Struct, frozen=True, array_like=True):
    """One thing that was settled. Times are epoch milliseconds; 0 and "" stand for what is not known.

    The fields stand in the log in this order: new ones go to the end, with a default.

    kind: `object`, `message` or `window`. outcome: `delivered`, `filtered` (nothing of it was wanted),
        `quarantined` (all of it, or its rest), `missing` (it was gone), `ignored` (known, and without data).
    container: queue, log group or other target. object: `s3://bucket/key`. sha256: of the stored bytes, raw.
    records: events that it held. events: of them sent. tags: events by tag. first, last: event times.
    outputs: each with the strength of its receipt, `devo:receipt`. resumed: it went on behind a former run.
    start, end: of an API's window, whose target is `object`; the target's next row begins where it ends.
    """

    time: int
    kind: str
    outcome: str
    service: str
    input: str = ""
    account: str = ""
    region: str = ""
    container: str = ""
    object: str = ""
    version: str = ""
    etag: str = ""
    stored_bytes: int = 0
    sha256: bytes = b""
    records: int = 0
    events: int = 0
    filtered: int = 0
    quarantined: int = 0
    tags: Mapping[str, int] = field(default_factory=dict)
    first: int = 0
    last: int = 0
    outputs: tuple[str, ...] = ()
    resumed: bool = False
    repeated: bool = False
    process: str = ""
    start: int = 0
    end: int = 0

    @property
    def id(self) -> str:
        """Return what makes a repeat recognisable: an object's and a message's id are those of its source."""
        match self.kind:
            case "object":
                return f"{self.object.removeprefix('s3://')}@{self.version or self.etag}"
            case "message":
                return f"sqs/{self.container}/{self.object}"
        return f"{self.object} {self.start}-{self.end}"


def digest(identity: str) -> bytes:
    """Return 16 bytes that stand for an id: keys may be a kilobyte long."""
    return blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Journal(Protocol):
    """Where rows are kept."""

    def write(self, rows: Sequence[JournalRow]) -> None:
        """Return once the rows survive a power cut. Raises SourceError: then nothing may be deleted."""

    def complete(self, rows: Sequence[JournalRow]) -> Sequence[JournalRow]:
        """Return rows with what became of all that was emitted since the last rows of the same origin.

        For rows that are written later, when more of that origin may have been emitted.
        """

    def recent(self, service: str, owner: str) -> Iterable[bytes]:
        """Return digests of the ids that former lives had receipts for last. owner: the input."""
