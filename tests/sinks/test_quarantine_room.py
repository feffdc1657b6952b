"""A quarantine folder has a bound: full, it takes pointers, and what cannot be read stays in its queue."""

import logging
import math

import pytest

from sinks.devo import Process
from sinks.quarantine import QuarantineSink, from_json
from sinks.quarantine_room import MOST_OF_AN_OBJECT, QuarantineRoom
from sources.errors import ObjectBroken, SourceError
from sources.queues.events import EventOpener, eventbridge
from sources.queues.failure_policy import Action, Rules, decide
from sources.queues.object_progress import ALL
from sources.queues.sqs import Message
from transforms.block import Origin, Poison


def broken(number, name="s3://b/k", body=b"x" * 100):
    return Poison("row_width", "no", Origin("flowlogs", object=name, record=number), body)


def written(folder, poisons, **more):
    sink = QuarantineSink(folder, Process(), **more)
    partition = sink.build_part("quarantine", "p0", None)
    partition.write_batch(poisons)
    partition.snapshot()
    return sink, [from_json(path.read_bytes()) for path in sorted(folder.rglob("*.json"))]


def test_a7_one_object_takes_so_much(tmp_path):
    """Of the broken events of one object a thousand are kept, then a pointer; others have their own."""
    count = MOST_OF_AN_OBJECT + 500
    _, kept = written(tmp_path, [*map(broken, range(count)), broken(0, "s3://b/other")])
    assert sum(bool(one.body) for one in kept) == MOST_OF_AN_OBJECT + 1
    (pointer,) = [one for one in kept if not one.body]
    assert (pointer.origin.object, pointer.origin.record) == ("s3://b/k", 0)
    assert "whose bytes stay in S3" in pointer.detail


def test_a7_what_exists_nowhere_else_is_kept_whole(tmp_path):
    """Events that came in messages keep their bytes, however many there are."""
    _, kept = written(tmp_path, [broken(n, "") for n in range(MOST_OF_AN_OBJECT + 10)])
    assert len(kept) == MOST_OF_AN_OBJECT + 10
    assert all(one.body for one in kept)


def test_a7_full_is_told_once_and_looked_at_again(tmp_path, caplog):
    """A full folder is told once; when it was emptied it takes again, within a minute."""
    clock = [0.0]
    (tmp_path / "row_width").mkdir()
    path = tmp_path / "row_width" / "a.json"
    path.write_bytes(b"x" * 100_000)
    room = QuarantineRoom(tmp_path, 50_000, lambda: clock[0])
    assert [room.full() for _ in range(3)] == [True] * 3
    assert len([one for one in caplog.records if one.levelno == logging.WARNING]) == 1
    path.unlink()
    assert room.full()
    clock[0] = 61.0
    assert not room.full()
    room.took(60_000)
    assert room.full()


def test_a7_full_keeps_pointers_only(tmp_path):
    """In a full folder broken events of objects become one pointer for each object."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.bin").write_bytes(b"x" * (1 << 20))
    sink, kept = written(tmp_path, [broken(n, f"s3://b/{n % 3}") for n in range(300)], most_bytes=1 << 20)
    assert sink.room.full()
    assert sorted(one.origin.object for one in kept) == ["s3://b/0", "s3://b/1", "s3://b/2"]
    assert not any(one.body for one in kept)


@pytest.mark.parametrize(("target", "limit"), [("s3://b/q", 1), ("/nowhere", 0)])
def test_a7_no_bound(target, limit):
    """A prefix in S3 and a folder without a limit are never full."""
    room = QuarantineRoom(target, limit)
    room.took(math.factorial(20))
    assert not room.full()


def test_a7_while_it_is_full_messages_stay():
    """What would go to quarantine is given back, objects and messages alike."""
    full = Rules(full=lambda: True)
    assert decide(ObjectBroken("no", "s3://b/k", "mend it"), full).action is Action.GIVE_BACK
    opener = EventOpener("service-events-all", eventbridge, full)
    with pytest.raises(SourceError):
        list(opener.open(Message("m", "r", "no event"), lambda _id: 0))
    assert list(opener.open(Message("m", "r", "no event"), lambda _id: ALL)) == []
