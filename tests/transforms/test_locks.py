"""A touch without the lock is found: on a small class, and on real modules with a `with` taken out."""

import ast
import sys
import threading
from importlib import import_module
from pathlib import Path
from types import ModuleType
from unittest.mock import Mock

import pytest
from msgspec import Struct

from sources.errors import ObjectBusy
from sources.queues.lease_life import Lease
from sources.queues.message_opener import ObjectBatch
from sources.queues.sqs import Message
from tests.fakes.lock_watch import UNGUARDED, UnguardedError
from tests.sources.queues.leasing import confirmed
from transforms.block import Block, Origin
from transforms.locks import Guard, guarded


@pytest.fixture(autouse=True)
def _found_here_is_wanted():
    yield
    UNGUARDED.clear()


def ours(source: str) -> ModuleType:
    """Run source as if it were a module of the collector."""
    module = ModuleType("sources.sample")
    module.__dict__.update(threading=threading, Struct=Struct, Guard=Guard, guarded=guarded)
    sys.modules[module.__name__] = module
    exec(compile(source, "sample", "exec"), module.__dict__)  # noqa: S102 - a sample
    return module


SAMPLE = """
@guarded((Guard("_lock", ("things",)), Guard("_lock", ("count",), read_freely=True)))
class Sample:
    def __init__(self):
        self._lock = threading.RLock()
        self.things, self.count = [], 0
    def good(self):
        with self._lock:
            self.things.append(1)
            self.count += 1
        return self.count
    def reads(self):
        return len(self.things)
    def writes(self):
        self.count = 2

@guarded((Guard("owner._lock", ("state",), read_freely=True),))
class Slots(Struct):
    owner: object
    state: int = 0
    def good(self):
        with self.owner._lock:
            self.state = 1
        return self.state
    def writes(self):
        self.state = 2
"""


def test_a_touch_without_the_lock_is_found():
    """Reads of what is never read freely, and writes; also of slots, and in somebody else's lock."""
    module = ours(SAMPLE)
    sample = module.Sample()
    slots = module.Slots(sample)
    assert (sample.good(), slots.good()) == (1, 1)
    for wrong in (sample.reads, sample.writes, slots.writes):
        with pytest.raises(UnguardedError, match=r"without .*_lock: sources.sample, line \d+"):
            wrong()
    assert len(UNGUARDED) == 3
    assert (sample.things, sample.count, slots.state) == ([1], 1, 1)  # a test looks without a lock


def test_another_threads_lock_does_not_count():
    """It is the thread that touches the field which has to hold the lock."""
    sample = ours(SAMPLE).Sample()
    held, done = threading.Event(), threading.Event()

    def hold():
        with sample._lock:
            held.set()
            done.wait(120)

    threading.Thread(target=hold, daemon=True).start()
    held.wait(120)
    with pytest.raises(UnguardedError):
        sample.reads()
    done.set()


class Without(ast.NodeTransformer):
    """Takes the n-th `with` of a module out, and leaves its body."""

    def __init__(self, number: int) -> None:
        self.number, self.seen = number, 0

    def visit_With(self, node):
        self.generic_visit(node)
        self.seen += 1
        return node.body if self.seen == self.number else node


def without(name: str, number: int) -> ModuleType | None:
    """Return a module of the collector without its n-th `with`; None = it has fewer."""
    tree, taken = ast.parse(Path(str(import_module(name).__file__)).read_text()), Without(number)
    tree = ast.fix_missing_locations(taken.visit(tree))
    if taken.seen < number:
        return None
    module = ModuleType(name)
    exec(compile(tree, name, "exec"), module.__dict__)  # noqa: S102 - our own module
    return module


class Manager:
    lock = threading.RLock()


def lease() -> Lease:
    return Lease(Message("m", "r", ""), Manager, 0.0, 0.0)


CUT = ObjectBatch((Block(b"x\n", 1, Origin("test")),), "o", 1)


def use_inbox(module):
    inbox = module.BatchInbox(1 << 20)
    inbox.resize(1 << 20)
    one = lease()
    with Manager.lock:
        one.fetch()
    inbox.put(one, CUT, lambda: False)
    inbox.end(one, None)
    len(inbox)
    inbox.take(1)


def use_progress(module):
    progress, holder = module.ObjectProgress(), lease()
    progress.load("lane-0", {"partial": {"p": 1}, "done": ["d"]})
    progress.recall([b"d" * 16])
    progress.claim("o", holder)
    with pytest.raises(ObjectBusy):
        progress.claim("o", lease())
    progress.emitted("lane-0", [CUT])
    progress.state("lane-0")
    progress.release(holder, whole=True)
    progress.settled(holder)


class Calls:
    """A queue that says yes."""

    queue = Mock(short="q", region="us-east-1", where="queue q")

    def change(self, handles, _seconds):
        return [None for _ in handles]

    delete = lambda self, handles: self.change(handles, ())  # noqa: E731


def use_manager(module):
    manager = module.LeaseManager("test", Calls(), 30, lambda _lease: None)
    manager.start(lambda _name, _job: None)
    one, other = (Lease(Message("m", "r", ""), manager, 0.0, 0.0) for _ in range(2))
    manager.hold([one, other])
    assert manager.held == 2
    manager.extend_due(1.0)
    manager._lose([other], "for a test")
    manager._show()
    manager._pause(0.01)
    manager.settle([confirmed(one)])
    manager._stopped = True
    manager._finish(manager._next_lot())
    manager.stop()


USES = {
    "sources.queues.inbox": use_inbox,
    "sources.queues.object_progress": use_progress,
    "sources.queues.lease_manager": use_manager,
}


@pytest.mark.parametrize("name", USES)
def test_taking_a_lock_out_of_a_module_is_found(name):
    """Each `with` of the module, taken out alone, makes its use fail; as it is, nothing is found."""
    USES[name](without(name, 0))
    number = 1
    while (module := without(name, number)) is not None:
        # A Condition refuses to wake anybody without its lock: that is found without us.
        with pytest.raises((UnguardedError, RuntimeError)):
            USES[name](module)
        number += 1
    assert number > 3
