"""A lane driven by hand, as bytewax drives it: what is emitted, sealed, settled, resumed and drained."""

import threading
import time
from unittest.mock import Mock

import pytest
from msgspec.structs import replace

from sources import lanes
from sources.errors import Denied, ObjectGone, SourceError
from sources.journal import JournalRow, digest
from sources.queues import lease
from sources.queues.lease import ObjectBatch
from sources.queues.object_progress import ALL
from tests.fakes.process import wait_until
from tests.sources.queues.leasing import QUICK, FakeSqs, Rig, WordOpener, aws_error, idle, run_out, take
from transforms.block import Block, Origin

ONE_CUT = replace(QUICK, batch_bytes=1, fetchers=1)
INLINE = replace(QUICK, fetchers=0, receivers=4)
"""Whoever receives a message opens it."""


@pytest.fixture
def rigs():
    """Return a maker of rigs that are closed afterwards."""
    made = []

    def make(*bodies, **more):
        made.append(Rig(*bodies, **more))
        return made[-1]

    yield make
    for rig in made:
        rig.close()


def settle(lane):
    """End the epoch and prove it, as the next call after a snapshot does."""
    lane.snapshot()
    return lane.next_batch()


def gone(sqs, *bodies):
    wait_until(lambda: sorted(sqs.deleted) == sorted(bodies), 10, f"{bodies} deleted, not {sqs.deleted}")


def test_lanes_are_the_same_for_ever(rigs):
    """A service lists eight lanes, whatever its queues are."""
    assert rigs().source.list_parts() == lanes.keys()


def test_deletes_only_after_snapshot_and_next_batch(rigs):
    """A message is deleted when the epoch that emitted its last event is proved, not a call earlier."""
    rig = rigs("a b")
    lane = rig.lane()
    assert take(lane, 2) == ["a", "b"]
    assert idle(lane) == []
    assert rig.sqs.deleted == []
    lane.snapshot()
    idle_before = list(rig.sqs.deleted)
    lane.next_batch()
    gone(rig.sqs, "a b")
    assert idle_before == []


def test_half_emitted_message_is_not_deleted(rigs):
    """An epoch that ends in the middle of a message settles nothing of it."""
    rig = rigs("a b c d", options=ONE_CUT)
    lane = rig.lane()
    take(lane, 2)
    settle(lane)
    assert rig.sqs.deleted == []
    take(lane, 1)
    wait_until(lambda: lane.next_batch() == [] and len(lane._ledger), 5, "the end of the message")
    settle(lane)
    gone(rig.sqs, "a b c d")


def test_receivers_open_what_they_receive(rigs):
    """Without fetchers, four receivers bring and open hundreds of messages; each comes once."""
    bodies = [f"w{number}" for number in range(300)]
    rig = rigs(*bodies, options=INLINE)
    lane = rig.lane()
    assert sorted(take(lane, 300)) == sorted(bodies)
    settle(lane)
    gone(rig.sqs, *bodies)
    assert sorted(rig.opener.opened) == sorted(bodies)


def test_a_receiver_survives_what_it_cannot_open(rigs):
    """A message that cannot be opened is given back; those received with it are emitted."""
    opener = WordOpener()
    opener.fail["b"] = SourceError("broken", "b", "mend it")
    rig = rigs("a", "b", "c", options=INLINE, opener=opener)
    lane = rig.lane()
    assert sorted(take(lane, 2)) == ["a", "c"]
    wait_until(lambda: "change_message_visibility_batch" in rig.sqs.calls, 10, "b is given back")
    settle(lane)
    gone(rig.sqs, "a", "c")
    assert [message.body for message in rig.sqs.messages] == ["b"]


def test_h22_receivers_before_a_full_inbox_give_back_what_they_hold(rigs):
    """Nobody takes what was fetched and the process drains: the rest is visible again, nothing is deleted."""
    bodies = [f"w{number}" for number in range(60)]
    rig = rigs(*bodies, options=replace(INLINE, prefetch_bytes=2048, drain_seconds=0.1))
    lane = rig.lane()
    wait_until(lambda: rig.feed._inboxes["lane-0"].bytes > 1024, 10, "the inbox is full")
    rig.drain.set()
    emitted = run_out(lane)
    gone(rig.sqs, *emitted)
    assert rig.sqs.visible == len(rig.sqs.messages) == 60 - len(emitted)


def test_never_waits_and_is_never_far_away(rigs):
    """An empty lane answers at once and comes back within a tenth of a second; a full one at once."""
    rig = rigs()
    lane = rig.lane()
    idle(lane)
    ahead = (lane.next_awake() - lane.next_awake().now(lane.next_awake().tzinfo)).total_seconds()
    assert 0 < ahead <= 0.1
    rig.sqs.send("a")
    take(lane, 1)
    assert lane.next_awake() is None


def test_first_call_starts_one_thread(rigs, monkeypatch):
    """Starting dozens of threads takes its time on a busy machine: all but one are started by a thread."""
    here, started, start = threading.current_thread(), [], threading.Thread.start

    def counted(thread):
        started.append((threading.current_thread() is here, thread.name))
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", counted)
    assert take(rigs("a").lane(start=False), 1) == ["a"]
    assert [name for ours, name in started if ours] == ["test-start"]
    assert len(started) > 1


def test_fetchers_start_as_they_are_needed(rigs, monkeypatch):
    """One object needs one fetcher, many need all, and no more than all are ever started."""
    started, start = [], threading.Thread.start

    def counted(thread):
        started.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", counted)
    rig = rigs("a")
    lane = rig.lane()
    assert take(lane, 1) == ["a"]
    assert sum("fetch" in name for name in started) == 1
    words = [f"w{number}" for number in range(60)]
    rig.sqs.send(*words)
    assert sorted(take(lane, len(words))) == sorted(words)
    fetchers = [name for name in started if "fetch" in name]
    assert 1 < len(fetchers) == len(set(fetchers)) <= QUICK.fetchers


def test_resumes_as_bytewax_does(rigs):
    """Two batches, snapshot, two more, rebuilt from the snapshot: the same two come again."""
    first = rigs("a b c d e f", options=ONE_CUT)
    lane = first.lane()
    take(lane, 2)
    state = lane.snapshot()
    again = take(lane, 2)
    first.close()
    first.sqs.advance(1000)
    second = rigs(options=ONE_CUT, sqs=first.sqs)
    assert take(second.lane(state=state), 2) == again == ["c", "d"]


def test_resumes_on_another_lane(rigs):
    """A message that comes again to another lane of the process goes on all the same."""
    first = rigs("a b c d", options=ONE_CUT)
    lane = first.lane("lane-0")
    take(lane, 3)
    state = lane.snapshot()
    first.close()
    first.sqs.advance(1000)
    second = rigs(options=ONE_CUT, sqs=first.sqs)
    other = second.lane("lane-5", start=False)
    second.lane("lane-0", state)
    assert take(other, 1) == ["d"]


def test_restart_knows_what_was_receipted_but_not_deleted(rigs):
    """A crash between receipt and deletion: the message comes again, is deleted, and emits nothing."""
    first = rigs("a b")
    lane = first.lane()
    take(lane, 2)
    wait_until(lambda: lane.next_batch() == [] and len(lane._ledger), 5, "the end of the message")
    state = lane.snapshot()
    first.close()
    first.sqs.advance(1000)
    second = rigs(sqs=first.sqs)
    lane = second.lane(state=state)
    wait_until(lambda: lane.next_batch() == [] and second.sqs.deleted, 5, "the deletion")
    assert second.opener.opened == ["a b"]
    assert lane.snapshot()["done"] == []


def test_state_of_another_release_is_left_aside(rigs):
    """An unknown snapshot makes objects come from their start, and stops nothing."""
    rig = rigs("a b")
    assert take(rig.lane(state={"v": 99, "what": "ever"}), 2) == ["a", "b"]


def test_snapshot_is_plain_data(rigs):
    """What is stored holds text and numbers only, with its version."""
    rig = rigs("a b c", options=ONE_CUT)
    lane = rig.lane()
    take(lane, 1)
    assert lane.snapshot() == {"v": 1, "partial": {"a b c": 1}, "done": []}


def test_lanes_share_the_work(rigs):
    """Messages go to the lane that has the least waiting, idle ones take turns: no worker is left out."""
    rig = rigs(*(f"m{number}" for number in range(40)))
    built = [rig.lane(name, start=False) for name in ("lane-0", "lane-1", "lane-2")]
    counts = dict.fromkeys(range(3), 0)

    def all_came():
        for number, lane in enumerate(built):
            counts[number] += len(lane.next_batch())
        return sum(counts.values()) == 40

    wait_until(all_came, 10, "forty words")
    assert min(counts.values()) >= 10


def test_h03_message_with_a_failing_part_stays(rigs):
    """What came before the failure is emitted once; the message goes back, and goes on behind it."""
    opener = WordOpener()
    opener.fail["c"] = Denied("denied", "there", "allow it")
    rig = rigs("a b c d", opener=opener)
    lane = rig.lane()
    assert take(lane, 2) == ["a", "b"]
    wait_until(lambda: lane.next_batch() == [] and len(lane._ledger), 5, "the end of the attempt")
    assert rig.sqs.visible == 0
    settle(lane)
    wait_until(lambda: "change_message_visibility_batch" in rig.sqs.calls, 5, "the message goes back")
    assert rig.sqs.deleted == []
    assert rig.sqs.visible == 0, "not at once: the delay of a denied object"
    opener.fail.clear()
    rig.sqs.advance(60)
    assert take(lane, 2) == ["c", "d"]
    lane.next_batch()
    settle(lane)
    gone(rig.sqs, "a b c d")


def test_failing_message_that_emitted_nothing_goes_back_at_once(rigs):
    """Without anything to be receipted there is no epoch to wait for."""
    opener = WordOpener()
    opener.fail["a"] = Denied("denied", "there", "allow it")
    rig = rigs("a", opener=opener)
    rig.lane()
    wait_until(lambda: "change_message_visibility_batch" in rig.sqs.calls, 5, "the message goes back")
    assert rig.sqs.deleted == []


def test_defect_of_ours_leaves_the_message(rigs):
    """An exception that nobody foresaw loses no data: the message goes back, others go on."""
    opener = WordOpener()
    opener.fail["a"] = ZeroDivisionError()
    rig = rigs("a", "b", opener=opener)
    lane = rig.lane()
    assert take(lane, 1) == ["b"]
    lane.next_batch()
    settle(lane)
    gone(rig.sqs, "b")


def test_gone_object_settles_its_message(rigs):
    """An opener that says "gone" lets the message be deleted without an epoch."""
    opener = WordOpener()
    opener.fail["a"] = ObjectGone("gone", "there", "nothing")
    rig = rigs("a", opener=opener)
    rig.lane()
    gone(rig.sqs, "a")


def test_h05_repeat_emits_nothing_and_is_deleted(rigs):
    """A second notice of a collected object is settled without its events."""
    rig = rigs("a b")
    lane = rig.lane()
    take(lane, 2)
    lane.next_batch()
    settle(lane)
    gone(rig.sqs, "a b")
    rig.sqs.send("a b")
    wait_until(lambda: lane.next_batch() == [] and len(rig.sqs.deleted) == 2, 5, "the repeat deleted")


def test_h05_repeat_meanwhile_waits(rigs):
    """A notice of an object that is being collected goes back for half a minute, and is settled then."""
    opener = WordOpener()
    opener.hold["b"] = threading.Event()
    rig = rigs("a b", "a b", opener=opener)
    lane = rig.lane()
    assert take(lane, 1) == ["a"]
    wait_until(lambda: "change_message_visibility_batch" in rig.sqs.calls, 5, "the repeat goes back")
    opener.hold["b"].set()
    assert take(lane, 1) == ["b"]
    lane.next_batch()
    settle(lane)
    gone(rig.sqs, "a b")
    rig.sqs.advance(30)
    wait_until(lambda: lane.next_batch() == [] and len(rig.sqs.deleted) == 2, 5, "the repeat deleted")


def test_h04_lost_lease_is_dropped_and_goes_on_when_it_comes_again(rigs):
    """A lease that SQS gave to somebody else emits no more and is not deleted; here it goes on at its cut."""
    rig = rigs("a b c d", options=replace(ONE_CUT, visibility_timeout_seconds=1))
    lane = rig.lane()
    assert take(lane, 2) == ["a", "b"]
    with rig.sqs._lock:
        rig.sqs.messages[0].receipt_handle = "somebody else's"
    wait_until(lambda: rig.feed._managers[0].held == 0, 10, "the lease is lost")
    wait_until(lambda: lane.next_batch() == [] and len(lane._ledger), 5, "the end of the lease")
    settle(lane)
    assert rig.sqs.deleted == []
    rig.sqs.advance(1000)
    assert take(lane, 2) == ["c", "d"]
    wait_until(lambda: lane.next_batch() == [] and len(lane._ledger), 5, "the end of the message")
    settle(lane)
    gone(rig.sqs, "a b c d")


def test_h04_kept_alive_while_the_dataflow_is_blocked(rigs):
    """Nobody calls the lane; its messages are extended again and again, and stay ours."""
    rig = rigs("a", "b", options=replace(QUICK, visibility_timeout_seconds=6))
    rig.lane()
    wait_until(lambda: rig.sqs.calls.count("change_message_visibility_batch") >= 3, 10, "three extensions")
    rig.sqs.advance(5.9)
    assert rig.sqs.visible == 0


def test_blocked_dataflow_stops_receiving(rigs):
    """What waits in memory is bounded in bytes and in messages; the rest stays in the queue."""

    class Fat:
        def causes(self, _message):
            return ()

        def open(self, message, resume):
            resume(message.body)
            for number in range(4):
                yield ObjectBatch(
                    (Block(b"x" * 50_000 + b"\n", 1, Origin("test")),), message.body, number + 1
                )
            yield ObjectBatch((), message.body, 4, last=True)

    options = replace(QUICK, prefetch_bytes=400_000)
    rig = rigs(*(f"m{number}" for number in range(100)), options=options, opener=Fat())
    lanes_built = [rig.lane("lane-0", start=False), rig.lane("lane-1")]
    wait_until(lambda: sum(lane._inbox.bytes for lane in lanes_built) > 300_000, 5, "full inboxes")
    held = []
    wait_until(lambda: held.append(rig.sqs.visible) or held[-5:] == held[-1:] * 5, 5, "no more receives", 0.1)
    assert sum(lane._inbox.bytes for lane in lanes_built) <= 400_000
    assert rig.sqs.visible >= 100 - 30


def test_thread_that_ends_ends_the_service(rigs):
    """A source whose thread died does not stand still in silence: the next batch raises."""
    rig = rigs()
    lane = rig.lane()
    rig.feed.spawn("broken", lambda: 1 // 0)
    with pytest.raises(SourceError) as caught:
        idle(lane, 200)
    assert "ZeroDivisionError" in str(caught.value)


def test_h06_one_queue_of_two_is_missing(rigs):
    """A queue that does not exist rests; the other one is collected, and the first as soon as it is there."""
    rig = rigs("a")
    missing = FakeSqs()

    def no_queue(**_):
        raise aws_error("GetQueueUrl", "QueueDoesNotExist")

    missing.faults["get_queue_url"] = no_queue
    rig.source.queues = [missing.queue, rig.sqs.queue]
    lane = rig.lane()
    assert take(lane, 1) == ["a"]
    wait_until(lambda: missing.calls, 5, "the missing queue is asked")
    assert len(missing.calls) <= 2, "no storm"


def test_h22_drain_of_an_idle_lane_ends_at_once(rigs):
    """With nothing emitted there is nothing to prove."""
    rig = rigs()
    lane = rig.lane()
    rig.drain.set()
    assert run_out(lane) == []


def test_h22_drain_emits_then_proves_then_ends(rigs):
    """After SIGTERM what was begun comes, is receipted and deleted; the end comes alone, after all that."""
    rig = rigs("a b", "c", options=replace(QUICK, drain_seconds=60.0))
    lane = rig.lane()
    wait_until(lambda: len(lane._inbox) == 7, 5, "both messages fetched")
    rig.drain.set()
    words = []
    for _ in range(30):
        words += [item.payload.decode().strip() for item in lane.next_batch()]
    assert sorted(words) == ["a", "b", "c"]
    assert rig.sqs.deleted == []
    assert run_out(lane) == []
    assert sorted(rig.sqs.deleted) == ["a b", "c"]
    assert lane.snapshot() == {"v": 1, "partial": {}, "done": []}


def test_h22_drain_never_ends_before_the_proof(rigs):
    """Without a snapshot a draining lane goes on answering with nothing."""
    rig = rigs("a")
    lane = rig.lane()
    take(lane, 1)
    wait_until(lambda: lane.next_batch() == [] and len(lane._ledger), 5, "the end of the message")
    rig.drain.set()
    assert idle(lane, 30) == []
    assert rig.sqs.deleted == []


def test_h22_drain_waits_for_deletions_but_not_for_ever(rigs, monkeypatch):
    """A deletion that takes its time is waited for, fifteen seconds at most: AWS may be away."""
    deleting, slow = threading.Event(), threading.Event()

    def delete(**_):
        deleting.set()
        slow.wait(120)

    rig = rigs("a")
    rig.sqs.faults["delete_message_batch"] = delete
    lane = rig.lane()
    take(lane, 1)
    wait_until(lambda: lane.next_batch() == [] and len(lane._ledger), 5, "the end of the message")
    rig.drain.set()
    settle(lane)
    assert deleting.wait(120)
    wait_until(lambda: not any(one.asking for one in rig.feed._receivers), 5, "nobody asks any more")
    began = time.monotonic()
    lane._over_at = began
    monkeypatch.setattr(lease, "time", Mock(monotonic=lambda: began + 14))
    assert idle(lane) == []
    monkeypatch.setattr(lease, "time", Mock(monotonic=lambda: began + 16))
    with pytest.raises(StopIteration):
        lane.next_batch()
    slow.set()


def test_h22_drain_gives_back_what_has_not_begun(rigs):
    """Messages that wait for a fetcher are visible again at once; what has begun goes on and then stops."""
    opener = WordOpener()
    opener.hold["b"] = threading.Event()
    rig = rigs("a b c", *"vwxyz", opener=opener, options=replace(ONE_CUT, drain_seconds=0.1))
    lane = rig.lane()
    assert take(lane, 1) == ["a"]
    rig.drain.set()
    assert run_out(lane) == []
    assert rig.sqs.deleted == []
    assert rig.sqs.visible == 6
    assert lane.snapshot()["partial"] == {"a b c": 1}
    opener.hold["b"].set()


def test_h22_drain_lets_begun_objects_finish_in_time(rigs):
    """An object that ends within the drain time is emitted to its end and deleted."""
    opener = WordOpener()
    opener.hold["b"] = threading.Event()
    rig = rigs("a b", opener=opener, options=replace(ONE_CUT, drain_seconds=60))
    lane = rig.lane()
    assert take(lane, 1) == ["a"]
    rig.drain.set()
    threading.Timer(0.2, opener.hold["b"].set).start()
    assert run_out(lane) == ["b"]
    assert rig.sqs.deleted == ["a b"]


def test_h22_drain_stops_in_the_middle_of_an_endless_object(rigs):
    """A large object stops at a cut when the drain time is over, though its lane never runs empty."""

    class Endless:
        def causes(self, _message):
            return ()

        def open(self, message, resume):
            resume(message.body)
            for number in range(1, 1_000_000):
                yield ObjectBatch((Block(b"x\n", 1, Origin("test")),), message.body, number)

    rig = rigs("big", opener=Endless(), options=replace(QUICK, batch_bytes=2000, prefetch_bytes=1 << 17))
    lane = rig.lane()
    take(lane, 10)
    rig.drain.set()
    run_out(lane, timeout=20)
    assert rig.sqs.visible == 1
    assert lane.snapshot()["partial"]["big"] > 10


def test_h22_second_run_goes_on_after_a_drain(rigs):
    """What stopped at a cut goes on behind it in the next run."""
    opener = WordOpener()
    opener.hold["c"] = threading.Event()
    first = rigs("a b c d", opener=opener, options=ONE_CUT)
    lane = first.lane()
    take(lane, 2)
    first.drain.set()
    run_out(lane)
    state = lane.snapshot()
    opener.hold["c"].set()
    second = rigs(sqs=first.sqs)
    assert take(second.lane(state=state), 2) == ["c", "d"]


def test_h22_dataflow_that_dies_lets_its_leases_go(rigs):
    """Partitions dropped without a word end the threads: nothing is extended, nothing deleted."""
    rig = rigs("a", options=replace(QUICK, visibility_timeout_seconds=1))
    take(rig.lane(), 1)
    feed = rig.feed
    rig.lanes.clear()
    assert feed.stopped
    calls = len(rig.sqs.calls)
    rig.sqs.advance(1)
    assert rig.sqs.visible == 1
    assert rig.sqs.deleted == []
    assert len(rig.sqs.calls) <= calls + 2


def test_source_serves_a_second_dataflow(rigs):
    """After its dataflow has ended a source starts threads of its own again."""
    rig = rigs("a")
    take(rig.lane(), 1)
    rig.close()
    rig.sqs.advance(1000)
    assert take(rig.lane(), 1) == ["a"]


class _Former:
    """A journal with rows of a former life; keeps what is written, and how much was deleted by then."""

    def __init__(self, rig, *ids):
        self.rig, self.ids, self.rows, self.deleted = rig, ids, [], []

    def recent(self, service, owner):
        return [digest(one) for one in self.ids if (service, owner) == ("test", "")]

    def write(self, rows):
        self.rows += rows
        self.deleted.append(len(self.rig.sqs.deleted))


def test_s1_what_a_former_life_had_a_row_of_is_not_sent_again(rigs):
    """An object that the journal knows is deleted behind another row of it, and brings no event."""
    journal = _Former(None, "a b")
    opener = WordOpener()
    words = opener.open

    def noted(message, resume):
        known = resume(message.body) >= ALL
        row = JournalRow(0, "object", "delivered", "test", object=message.body, repeated=True)
        yield from [ObjectBatch((), row=row)] if known else words(message, resume)

    opener.open = noted
    rig = journal.rig = rigs("a b", "c d", opener=opener, options=replace(QUICK, journal=journal))
    lane = rig.lane()
    assert take(lane, 2) == ["c", "d"]
    lane.snapshot()
    idle(lane)
    wait_until(lambda: len(rig.sqs.deleted) == 2, 10, "both are deleted")
    assert {row.object for row in journal.rows if row.repeated} == {"a b"}
    assert journal.deleted[0] == 0
