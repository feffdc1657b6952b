"""The life of a lease on a queue message, and a lane's ledger of them: every state, every step, in one place.

    received ─▶ fetching ─▶ fetched ─▶ emitted ─▶ sealed ─▶ confirmed ─▶ leaving ─▶ settled | given back
        │          └── nothing of it was emitted: no receipt to wait for ──▲ ▲         │
        └── the process drains ──────────────────────────────────────────┘ └─ again ─┤
    until it leaves, it may be lost                                                     └─ refused ─▶ lost

Pure: a step changes its lease and nothing else; clocks are passed in, locks are the callers'. A step from
a state that does not allow it is a defect of ours: LeaseStepError, and nothing is acknowledged. Whoever takes
a step holds the lock of the lease's manager (`LeaseManager.lock`).
"""

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from sources.errors import SourceError
from sources.journal import JournalRow
from sources.queues.sqs import Message
from transforms.locks import Guard, guarded
from transforms.receipt_request import ReceiptRequest

if TYPE_CHECKING:
    from sources.queues.lease_manager import LeaseManager


_LOCKS = (
    Guard("manager.lock", ("state", "begun", "ended", "back", "expires", "failures"), read_freely=True),
)
"""`objects` is `ObjectProgress`'s, and under its lock."""


class LeaseState(Enum):
    """How far a lease has come.

    received: it waits for a fetcher. fetching: one opens it, and fills an inbox. fetched: nothing more of it
    will come; how it shall end is decided. emitted: its last event is in the epoch that runs. sealed: that
    epoch was closed, or a receipt asked for within it. confirmed: all that was emitted is receipted; it waits
    to be deleted or given back. leaving: that is asked of SQS just now. settled: deleted. given back: it
    comes again, to anybody. lost: it is somebody else's, or will be; nothing more of it is emitted, and it is
    never deleted.
    """

    RECEIVED = "received"
    FETCHING = "fetching"
    FETCHED = "fetched"
    EMITTED = "emitted"
    SEALED = "sealed"
    CONFIRMED = "confirmed"
    LEAVING = "leaving"
    SETTLED = "settled"
    GIVEN_BACK = "given back"
    LOST = "lost"


_LONGEST_REST_SECONDS = 1.0

_HELD = frozenset(LeaseState) - {
    LeaseState.LEAVING,
    LeaseState.SETTLED,
    LeaseState.GIVEN_BACK,
    LeaseState.LOST,
}


class LeaseStepError(SourceError):
    """A lease was to take a step that its state does not allow."""


@guarded(_LOCKS)
class Lease(Struct, eq=False):
    """A received message while it is ours, kept alive by its queue's manager. Times are `time.monotonic()`.

    received: bounds the lease to SQS's twelve hours. expires: when it becomes visible again if not extended.
    begun: something of it waits in, or went through, an inbox. ended: nothing more will be put there.
    back: None = delete it once its epoch is receipted, else give it back, visible after that many seconds.
    failures: of deleting it or giving it back. objects: ids that it asked for (`ObjectProgress` writes them).
    events, poisons: emitted of it. rows: for the journal, of its objects that were emitted to their end.

    A lost lease goes on through inbox and ledger, so that what it claimed is let go in time; it stays lost.
    """

    message: Message
    manager: "LeaseManager"
    received: float
    expires: float
    state: LeaseState = LeaseState.RECEIVED
    begun: bool = False
    ended: bool = False
    back: int | None = None
    failures: int = 0
    objects: list[str] = field(default_factory=list)
    events: int = 0
    poisons: int = 0
    rows: list[JournalRow] = field(default_factory=list)

    @property
    def lost(self) -> bool:
        """Tell whether it has been lost."""
        return self.state is LeaseState.LOST

    @property
    def held(self) -> bool:
        """Tell whether this process has it, and is not asking SQS for its end at the moment."""
        return self.state in _HELD

    @property
    def kept(self) -> bool:
        """Tell that it is to be extended: one that waits to be given back would be hidden again."""
        return self.state in _HELD and not (self.state is LeaseState.CONFIRMED and self.back is not None)

    # steps on the dataflow's side

    def fetch(self) -> None:
        """Note that a fetcher begins to open it."""
        self._step(LeaseState.FETCHING, LeaseState.RECEIVED)

    def begin(self) -> None:
        """Note that something of it is put into an inbox: it needs a receipt from now on."""
        if self.ended:
            raise self._wrong("begin")
        self._step(LeaseState.FETCHING, LeaseState.FETCHING)
        self.begun = True

    def end(self, back: int | None) -> bool:
        """Decide how it shall end, since nothing more of it will come; False when that was decided before."""
        if self.ended:
            return False
        self._step(LeaseState.FETCHED, LeaseState.RECEIVED, LeaseState.FETCHING)
        self.ended, self.back = True, back
        return True

    def emit(self) -> None:
        """Note that its last event was handed to the dataflow, in the epoch that runs."""
        self._step(LeaseState.EMITTED, LeaseState.FETCHED)

    def seal(self) -> None:
        """Note that this epoch was closed, or its receipt asked for; nothing is known yet."""
        self._step(LeaseState.SEALED, LeaseState.EMITTED)

    def confirm(self) -> None:
        """Note that all that was emitted of it is receipted; if nothing was, that is true at once."""
        self._step(LeaseState.CONFIRMED, LeaseState.SEALED if self.begun else LeaseState.FETCHED)

    # steps on the queue's side

    def extend(self, until: float) -> None:
        """Note that SQS hides it until then."""
        if not self.kept:
            raise self._wrong("extend")
        self.expires = until

    def lose(self) -> None:
        """Note that SQS no longer knows it."""
        if self.state not in _HELD:
            raise self._wrong("lose")
        self.state = LeaseState.LOST

    def leave(self) -> None:
        """Ask SQS to delete it, or to give it back."""
        if self.lost:
            raise self._wrong("leave")
        self._step(LeaseState.LEAVING, LeaseState.CONFIRMED)

    def stay(self) -> None:
        """Note that it failed in passing, and will be asked again."""
        self._step(LeaseState.CONFIRMED, LeaseState.LEAVING)
        self.failures += 1

    def refuse(self) -> None:
        """Note that it failed for good: the message comes again by itself."""
        self._step(LeaseState.LOST, LeaseState.LEAVING)

    def leave_done(self) -> None:
        """Note that it is deleted, or given back."""
        self._step(LeaseState.SETTLED if self.back is None else LeaseState.GIVEN_BACK, LeaseState.LEAVING)

    def _step(self, to: LeaseState, *allowed: LeaseState) -> None:
        if self.state in allowed:
            self.state = to
        elif self.state is not LeaseState.LOST:
            raise self._wrong(to.value)

    def _wrong(self, step: str) -> LeaseStepError:
        how = f"a lease that is {self.state.value} cannot become or do: {step}"
        where = f"message {self.message.id} of queue {self.message.queue}"
        return LeaseStepError(how, where, "a defect of the collector: nothing was acknowledged; report it")


def journal_rows(service: str, owner: str, lease: Lease) -> Sequence[JournalRow]:
    """Return a row for each object of a message, or one for a message that had none. owner: the input."""
    rows = [replace(row, input=owner) for row in lease.rows]
    own = lease.poisons - sum(row.quarantined for row in rows)
    if lease.back is not None or lease.lost or (rows and own <= 0):
        return rows
    message = lease.message
    read = "quarantined" if own > 0 else "ignored"
    return [
        *rows,
        JournalRow(
            time=0,
            kind="message",
            outcome="delivered" if lease.events and not rows else read,
            service=service,
            input=owner,
            account=message.account,
            region=message.region,
            container=message.queue,
            object=message.id,
            records=0 if rows else lease.events,
            events=0 if rows else lease.events,
            quarantined=max(own, 0),
        ),
    ]


class Ledger:
    """What one lane has emitted, and how far each of it has come. Not thread-safe: one worker owns it.

    The delivery contract as bookkeeping (see `sources/__init__.py`): bytewax calls a partition for the next
    epoch only when every output has finished the last one. So what was emitted before a `snapshot` is
    delivered as soon as `next_batch` is called after it; and before that, what a receipt was asked for.
    """

    def __init__(self) -> None:
        self._open: list[Lease] = []
        self._sealed: list[Lease] = []
        self._asked: tuple[ReceiptRequest, list[Lease]] | None = None
        self._rest_until = 0.0

    def __len__(self) -> int:
        return len(self._open) + len(self._sealed) + len(self._asked[1] if self._asked else ())

    @property
    def ordered(self) -> bool:
        """Tell that a FIFO queue waits for what is here: it gives no more of a group until that is gone."""
        last = self._open or self._sealed or (self._asked[1] if self._asked else [])
        return any(lease.message.group for lease in last[-1:])

    def emitted(self, lease: Lease) -> None:
        """Note that the last of a lease was handed to the dataflow, in the epoch that is running."""
        with lease.manager.lock:
            lease.emit()
        self._open.append(lease)

    def seal(self) -> None:
        """Note the end of the epoch (`snapshot`): nothing is known yet of what it holds."""
        for lease in self._open:
            with lease.manager.lock:
                lease.seal()
        self._sealed += self._open
        self._open = []

    def ask(self, now: float) -> ReceiptRequest | None:
        """Return a request for the receipt of what is open, when a FIFO queue waits for it; to be emitted.

        One at a time, and as long a rest after it as it took: receipts make others wait.
        """
        if self._asked or now < self._rest_until or not (self._open and self.ordered):
            return None
        asked, self._open = self._open, []
        for lease in asked:
            with lease.manager.lock:
                lease.seal()
        self._asked = ReceiptRequest(), asked
        return self._asked[0]

    def confirm(self, now: float = 0.0) -> list[Lease]:
        """Note that `next_batch` was called; return what is delivered by that, each lease once."""
        delivered, self._sealed = self._sealed, []
        if self._asked and self._asked[0].complete:
            (request, asked), self._asked = self._asked, None
            self._rest_until = now + min(request.seconds, _LONGEST_REST_SECONDS)
            delivered += asked
        for lease in delivered:
            with lease.manager.lock:
                lease.confirm()
        return delivered
