"""What the tests of the lease family share: a queue with a clock, a simple opener, a hand-driven lane."""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from sources.aws.signed.calls import SignedCalls
from sources.errors import SourceError
from sources.queues.lease import LeaseOptions, LeaseSource, ObjectBatch, Queue
from sources.queues.object_progress import ALL
from tests.fakes.process import wait_until
from transforms.block import Block, Origin

QUICK = LeaseOptions(wait_seconds=0, fetchers=2, receivers=1, drain_seconds=0.2)


class Account:
    """What is needed of an account: `clients` makes or finds a client for (service, region)."""

    where = "input test"

    def __init__(self, clients: Callable) -> None:
        self.client = clients
        self._calls = {}

    def calls(self, service: str, region: str) -> SignedCalls:
        client = self.client(service, region)
        return self._calls.setdefault(id(client), SignedCalls(client))


def aws_error(operation: str, code: str, status: int = 400, message: str = "", **more) -> ClientError:
    told = {
        "Error": {"Code": code, "Message": message, **more},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(told, operation)


@dataclass
class _Stored:
    body: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    receipt_handle: str = ""
    visible_at: float = 0.0
    receives: int = 0
    group: str = ""


def confirmed(lease, back: int | None = None):
    """Bring a received lease, of which nothing was emitted, to where its manager ends it."""
    with lease.manager.lock:
        lease.fetch()
        lease.end(back)
        lease.confirm()
    return lease


class FakeSqs:
    """A boto3-like client of one queue whose time runs by hand: `now` is moved by `advance`.

    faults: operation → function called first; it may raise, or return a reply to be given instead.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.messages: list[_Stored] = []
        self.calls: list[str] = []
        self.deleted: list[str] = []
        self.faults: dict[str, Callable] = {}
        self._lock = threading.RLock()

    def client(self, *_: str) -> "FakeSqs":
        return self

    @property
    def queue(self) -> Queue:
        fifo = ".fifo" if any(message.group for message in self.messages) else ""
        return Queue(Account(self.client), "us-east-1", f"fake{fifo}")

    def send(self, *bodies: str, group: str = "") -> None:
        """Let messages wait. group: of a FIFO queue, which gives none of it while others are in flight."""
        with self._lock:
            self.messages += [_Stored(body, group=group) for body in bodies]

    def advance(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds

    @property
    def visible(self) -> int:
        with self._lock:
            return sum(message.visible_at <= self.now for message in self.messages)

    def _called(self, operation: str, **parameters):
        self.calls.append(operation)
        fault = self.faults.get(operation)
        return fault(**parameters) if fault else None

    def get_queue_url(self, QueueName):  # noqa: N803 - boto3's spelling
        self._called("get_queue_url")
        return {"QueueUrl": f"http://sqs/123456789012/{QueueName}"}

    def receive_message(self, **asked):
        instead = self._called("receive_message", **asked)
        if instead is not None:
            return instead
        with self._lock:
            busy = {message.group for message in self.messages if message.visible_at > self.now} - {""}
            free = [one for one in self.messages if one.visible_at <= self.now and one.group not in busy]
            taken = free[: asked["MaxNumberOfMessages"]]
            for message in taken:
                message.receipt_handle = uuid.uuid4().hex
                message.visible_at = self.now + asked["VisibilityTimeout"]
                message.receives += 1
        if not taken:
            time.sleep(0.005)
            return {}
        return {
            "Messages": [
                {
                    "MessageId": message.id,
                    "ReceiptHandle": message.receipt_handle,
                    "Body": message.body,
                    "Attributes": {
                        "ApproximateReceiveCount": str(message.receives),
                        "SentTimestamp": "1",
                        **({"MessageGroupId": message.group} if message.group else {}),
                    },
                }
                for message in taken
            ]
        }

    def delete_message_batch(self, **asked):
        def delete(message, _entry):
            self.messages.remove(message)
            self.deleted.append(message.body)

        return self._each("delete_message_batch", asked, delete)

    def change_message_visibility_batch(self, **asked):
        def change(message, entry):
            message.visible_at = self.now + entry["VisibilityTimeout"]

        return self._each("change_message_visibility_batch", asked, change)

    def _each(self, operation, asked, act):
        instead = self._called(operation, **asked)
        if instead is not None:
            return instead
        done, failed = [], []
        with self._lock:
            for entry in asked["Entries"]:
                found = [m for m in self.messages if m.receipt_handle == entry["ReceiptHandle"]]
                if found:
                    act(found[0], entry)
                    done.append({"Id": entry["Id"]})
                else:
                    invalid = {"Code": "ReceiptHandleIsInvalid", "SenderFault": True, "Message": "unknown"}
                    failed.append({"Id": entry["Id"], **invalid})
        return {"Successful": done, "Failed": failed}


class WordOpener:
    """Opens a message of words: each word is a record and a cut, the whole body names the object.

    hold: word → event awaited before it is yielded. fail: word → error raised instead of it.
    """

    def __init__(self) -> None:
        self.hold: dict[str, threading.Event] = {}
        self.fail: dict[str, Exception] = {}
        self.opened: list[str] = []

    def causes(self, _message):
        return ()

    def open(self, message, resume):
        self.opened.append(message.body)
        words = message.body.split()
        done = resume(message.body)
        if done >= ALL:
            return
        for number, word in enumerate(words[done:], done + 1):
            if word in self.hold:
                self.hold[word].wait(120)
            if word in self.fail:
                raise self.fail[word]
            block = Block(f"{word}\n".encode(), 1, Origin("test"))
            yield ObjectBatch((block,), message.body, number)
        yield ObjectBatch((), message.body, len(words), last=True)


class Rig:
    """A source over a fake queue, and its lanes driven by hand as bytewax would."""

    def __init__(self, *bodies: str, options: LeaseOptions = QUICK, opener=None, sqs=None) -> None:
        self.sqs = sqs or FakeSqs()
        self.sqs.send(*bodies)
        self.opener = opener or WordOpener()
        self.drain = threading.Event()
        self.source = LeaseSource("test", [self.sqs.queue], self.opener, options, self.drain)
        self.lanes: dict[str, object] = {}

    def lane(self, name: str = "lane-0", state: dict | None = None, *, start: bool = True):
        """Build a lane. start: let the threads begin, as the first next_batch does."""
        self.lanes[name] = self.source.build_part("step", name, state)
        if start:
            self.feed.start()
        return self.lanes[name]

    @property
    def feed(self):
        return self.source._feed

    def close(self) -> None:
        for lane in self.lanes.values():
            lane.close()
        self.lanes.clear()


def take(lane, count: int, timeout: float = 10.0) -> list[str]:
    """Call `next_batch` until that many words have come; as bytewax, more may come with the last batch."""
    words: list[str] = []

    def enough() -> bool:
        words.extend(item.payload.decode().strip() for item in lane.next_batch())
        return len(words) >= count

    wait_until(enough, timeout, f"{count} words, got {words}", every=0.005)
    return words


def idle(lane, rounds: int = 10) -> list:
    """Call `next_batch` some times and return what came."""
    found = []
    for _ in range(rounds):
        found += lane.next_batch()
        time.sleep(0.005)
    return found


def run_out(lane, timeout: float = 10.0, every: int = 5) -> list[str]:
    """Drive a draining lane to its end, snapshots included; return the words that still came."""
    words: list[str] = []
    calls = 0

    def over() -> bool:
        nonlocal calls
        calls += 1
        try:
            batch = lane.next_batch()
        except StopIteration:
            return True
        words.extend(item.payload.decode().strip() for item in batch)
        if calls % every == 0:
            lane.snapshot()
        return False

    wait_until(over, timeout, "the lane ends", every=0.005)
    return words


def transient(_where: str = "test") -> SourceError:
    """Return what a fault raises."""
    return SourceError("failed on plan", _where, "nothing")


class Run:
    """All lanes of a source, driven in one thread with an epoch every few rounds; keeps what came."""

    def __init__(self, source: LeaseSource, states: dict | None = None) -> None:
        self.source = source
        self.items: list = []
        self.states: dict = dict(states or {})
        self.lanes = {
            key: source.build_part("step", key, self.states.get(key)) for key in source.list_parts()
        }
        self._rounds = 0

    @property
    def lines(self) -> list[str]:
        """Return the events that came, in order."""
        blocks = [item for item in self.items if isinstance(item, Block)]
        return [line for block in blocks for line in block.payload.decode().splitlines()]

    def round(self) -> None:
        """Call every lane once; every fifth round ends the epoch."""
        self._rounds += 1
        for key, lane in list(self.lanes.items()):
            try:
                self.items += lane.next_batch()
            except StopIteration:
                self.states[key] = lane.snapshot()
                lane.close()
                del self.lanes[key]
        if self._rounds % 5 == 0:
            self.states |= {key: lane.snapshot() for key, lane in self.lanes.items()}

    def until(self, true: Callable, what: str, timeout: float = 20.0) -> None:
        """Drive the lanes until something is true."""

        def driven() -> bool:
            self.round()
            return true()

        wait_until(driven, timeout, what, every=0.01)

    def close(self) -> None:
        for lane in self.lanes.values():
            lane.close()
        self.lanes.clear()
