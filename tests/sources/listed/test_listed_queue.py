"""A listing as a queue: late keys, restarts at any moment, what is bounded, what fails."""

import json
import random
import threading
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from sources.errors import Denied, ReceiptHandleInvalid, SourceError
from sources.listed import listed_queue, listing_position
from sources.listed.listed_queue import BucketListing, ListedQueue
from sources.listed.listing_position import ListingPosition, listed_object
from tests.fakes.listed_s3 import ListedBucket, Stored
from tests.sources.queues.leasing import Account
from transforms.telemetry import total

START = datetime(2026, 3, 4, 5, tzinfo=UTC)
HOUR = 3600


class World:
    """A bucket, the time of which is moved by hand, and the queue that a process makes of it."""

    def __init__(self, **options):
        self.now = START.timestamp()
        self.bucket = ListedBucket(lambda: self.now, page=20)
        self.drain = threading.Event()
        self.options = {"every_seconds": 0, "late_seconds": 2 * HOUR, **options}
        self.state = None
        self.queue = self.started()

    def started(self):
        listing = BucketListing(Account(lambda *_: self.bucket), "us-east-1", "b", "logs/", **self.options)
        queue = ListedQueue("test", listing, self.drain, clock=lambda: int(self.now * 1000))
        queue.load(self.state)
        return queue

    def put(self, *objects):
        self.bucket.put(objects)

    def receive(self, wait=0.0, most=10):
        """Return the messages of one whole listing."""
        found = []
        done = total("listings", service="test")
        while total("listings", service="test") == done:
            found += self.queue.receive(wait, 60, most)
        return found + self.queue.receive(wait, 60, most)


def keys(messages):
    return [json.loads(message.body)["object"]["key"] for message in messages]


def stored(key, written=START, appears=0.0, body=b"x"):
    return Stored(key, body, written, appears)


def named(moment, number=0):
    """Return a key as Umbrella writes it."""
    return f"logs/dnslogs/{moment:%Y-%m-%d}/{moment:%Y-%m-%d-%H-%M}-{number:05}.csv.gz"


def timetable(rng, count, hours=48):
    """Return objects over some days; 3 % appear up to two hours after what they say, in any order."""
    for number in range(count):
        moment = START + timedelta(seconds=rng.uniform(0, hours * HOUR))
        late = rng.uniform(0, 2 * HOUR - 60) if rng.random() < 0.03 else rng.uniform(0, 60)
        # what was uploaded in parts says when that began
        yield stored(named(moment, number), moment, moment.timestamp() + late, f"{number}".encode())


@pytest.mark.parametrize("seed", range(5))
def test_late_keys_are_found_through_restarts_at_any_moment(seed):
    """Each key comes once in a life, and again only if it was not done when the position was kept."""
    rng = random.Random(seed)
    world = World()
    world.put(*timetable(rng, 1_000))
    done, most = set(), 0
    while world.now < START.timestamp() + 52 * HOUR:
        world.now += rng.choice((60, 600, 600, 5_000))
        messages = world.receive()
        assert done.isdisjoint(keys(messages))
        settled = [one for one in messages if rng.random() < 0.9]
        assert world.queue.delete([one.receipt_handle for one in settled]) == [None] * len(settled)
        done.update(keys(settled))
        world.state = world.queue.state()
        most = max(most, sum(map(len, world.state["ids"].values())))
        if rng.random() < 0.2:
            world.queue = world.started()
    world.queue = world.started()
    last = world.receive()
    assert done.isdisjoint(keys(last))
    assert done | set(keys(last)) == set(world.bucket.stored)
    assert most < 8 * 300  # the ids of some hours, not those of two days


def test_folders_of_days_gone_by_are_listed_no_more():
    """A listing asks for the folders of its days, whatever lies beside them."""
    world = World(start_ms=int((START - timedelta(hours=1)).timestamp() * 1000))
    old = [named(START - timedelta(days=age)) for age in range(1, 30)]
    world.put(*map(stored, [named(START), *old]))
    assert keys(world.receive()) == [named(START)]
    assert world.bucket.listed.count("logs/dnslogs/2026-03-04/") == 1
    assert not [one for one in world.bucket.listed if "/2026-02" in one]


def test_without_a_start_only_what_is_new_is_collected():
    """The first start begins now: by what a key says, or by when it was written."""
    world = World()
    before, after = START - timedelta(minutes=5), START + timedelta(minutes=5)
    world.put(
        stored(named(before, 1), before),
        stored(named(before, 2), after),
        stored(named(after, 3), after),
        stored("logs/plain.log", before),
        stored("logs/new.log", after),
    )
    assert sorted(keys(world.receive())) == sorted([named(before, 2), named(after, 3), "logs/new.log"])


def test_a_position_from_long_ago_is_caught_up_with_day_by_day():
    """A month is listed in steps of a day, each key once; ids are of few days at a time."""
    begin = START - timedelta(days=30)
    world = World(start_ms=int(begin.timestamp() * 1000))
    due = [named(begin + timedelta(hours=hour), hour) for hour in range(30 * 24)]
    world.put(*(stored(key, begin + timedelta(hours=hour)) for hour, key in enumerate(due)))
    found, most = [], 0
    while messages := world.queue.receive(0, 60) or world.receive():
        found += keys(messages)
        world.queue.delete([one.receipt_handle for one in messages])
        most = max(most, sum(map(len, world.queue.state()["ids"].values())) // 8)
    assert sorted(found) == sorted(due)
    assert most < 4 * 24


@pytest.mark.parametrize("days", [1, 20])
def test_folders_of_days_to_come_are_entered(days):
    """A vendor ahead of UTC, or with a wrong clock, is collected all the same."""
    world = World()
    ahead = START + timedelta(days=days)
    world.put(stored(f"logs/{ahead:%Y/%m/%d}/x.log", START))
    assert len(world.receive()) == 1


def test_an_object_that_was_overwritten_comes_again():
    """The same key with other content is another object."""
    world = World()
    world.put(stored("logs/a.log"))
    first = world.receive()
    world.queue.delete([one.receipt_handle for one in first])
    assert not world.receive()
    world.put(stored("logs/a.log", body=b"y"))
    assert keys(world.receive()) == ["logs/a.log"]


def test_what_is_given_back_comes_again_and_outlives_its_time():
    """An object that cannot be had stays open, in the state too, when later ones are long final."""
    world = World()
    world.put(stored("logs/stuck.log"))
    assert len(world.receive()) == 1
    for _ in range(6):
        world.now += HOUR
        world.receive()
    world.state = world.queue.state()
    assert world.state["final"] > int(START.timestamp() * 1000)
    world.queue = world.started()
    (message,) = world.queue.receive(0, 60)
    assert keys([message]) == ["logs/stuck.log"]
    assert world.queue.change([message.receipt_handle], [0]) == [None]
    (again,) = world.queue.receive(0, 60)
    assert (again.receives, again.id) == (2, message.id)
    world.queue.delete([again.receipt_handle])
    assert isinstance(world.queue.delete([again.receipt_handle])[0], ReceiptHandleInvalid)
    assert isinstance(world.queue.change([again.receipt_handle], [0])[0], ReceiptHandleInvalid)
    assert world.queue.state()["left"] == []


def test_nothing_more_is_listed_while_much_is_open(monkeypatch):
    """What was found and is not done is bounded; the listing goes on when there is room."""
    monkeypatch.setattr(listed_queue, "_MOST_OPEN", 10)
    world = World()
    world.put(*(stored(f"logs/{number:03}.log") for number in range(100)))
    first = [one for _ in range(20) for one in world.queue.receive(0.01, 60)]
    assert 10 <= len(first) <= 30
    found, waiting = set(keys(first)), first
    while waiting:
        world.queue.delete([one.receipt_handle for one in waiting])
        waiting = world.queue.receive(0.1, 60)
        found.update(keys(waiting))
    assert len(found) == 100


def test_more_ids_than_are_kept_stop_the_listing_and_say_so(monkeypatch):
    """Rather than to forget ids, and miss or repeat, it stands still and tells the cure."""
    monkeypatch.setattr(listed_queue, "MOST_IDS", 5)
    monkeypatch.setattr(listing_position, "MOST_IDS", 5)
    world = World()
    world.put(*(stored(f"logs/{number}.log") for number in range(9)))
    world.queue.delete([one.receipt_handle for one in world.receive()])
    with pytest.raises(SourceError, match="late_seconds"):
        world.receive()
    world.put(stored("logs/new.log", START + timedelta(hours=2)))
    world.now += 3 * HOUR
    with pytest.raises(SourceError, match="late_seconds"):
        world.receive()
    world.state = world.queue.state()
    world.options["late_seconds"] = -HOUR  # as if all that was found were an hour old
    world.queue = world.started()
    assert keys(world.receive()) == ["logs/new.log"]


def test_a_listing_that_fails_is_begun_anew():
    """What was found before stays; the error names the permission, and the next listing finds the rest."""
    world = World()
    world.put(*(stored(f"logs/{number:02}.log") for number in range(40)))
    answer, asked = world.bucket.list_objects_v2, []

    def second_page_is_denied(**parameters):
        asked.append(parameters)
        if len(asked) == 2:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "ListObjectsV2")
        return answer(**parameters)

    world.bucket.list_objects_v2 = second_page_is_denied
    found = world.queue.receive(0, 60) + world.queue.receive(0, 60)
    with pytest.raises(Denied, match=r"s3://b/logs/.*s3:ListBucket"):
        world.queue.receive(0, 60)
    found += world.receive()
    assert sorted(keys(found)) == sorted(world.bucket.stored)


def test_nothing_is_listed_without_a_position_or_while_draining():
    """In a cluster another process has it; and who drains asks for nothing more."""
    world = World()
    world.put(stored("logs/a.log"))
    alone = ListedQueue("test", world.queue.queue, world.drain)
    assert alone.receive(0, 60) == []
    assert alone.state() is None
    world.drain.set()
    assert world.queue.receive(5, 60) == []
    assert world.bucket.listed == []


def test_requests_of_buckets_whose_requester_pays_say_so():
    """Who agreed to be charged says it with each request."""
    world = World(requester_pays=True)
    asked = []
    world.bucket.list_objects_v2 = lambda **parameters: asked.append(parameters) or {}
    world.receive()
    assert asked[0]["RequestPayer"] == "requester"


def test_another_start_begins_anew_and_none_goes_on():
    """A changed start_time resets the position; one that was taken away keeps it."""
    hour = timedelta(hours=1)
    begun = int((START - hour).timestamp() * 1000)
    world = World(start_ms=begun)
    world.put(stored(named(START - hour / 2), START - hour / 2))
    world.queue.delete([one.receipt_handle for one in world.receive()])
    world.state = world.queue.state()
    for start, due in ((begun, 0), (None, 0), (begun - 1, 1)):
        world.options["start_ms"] = start
        world.queue = world.started()
        assert len(world.receive()) == due


def test_a_state_of_another_release_is_not_guessed_at():
    """Starting anew instead would leave a hole."""
    with pytest.raises(SourceError, match="version 9"):
        ListingPosition(0, 0).restore({"v": 9}, "here")


@pytest.mark.parametrize(
    ("key", "written", "moment"),
    [
        (named(START), START - timedelta(hours=1), START),
        (named(START), START + timedelta(hours=1), START + timedelta(hours=1)),
        ("2026/03/04/x", START, datetime(2026, 3, 5, tzinfo=UTC)),
        ("dt=20260304/x", START, datetime(2026, 3, 5, tzinfo=UTC)),
        ("x", START, START),
        ("2099/01/02/x", START, START),
    ],
)
def test_a_keys_moment_is_the_later_one_of_what_it_says_and_when_it_was_written(key, written, moment):
    """A folder's day is not over before its end; a time far ahead is none."""
    one = listed_object({"Key": key, "LastModified": written, "ETag": '"e"', "Size": 1})
    assert one.moment == int(moment.timestamp() * 1000)


def test_a_tenant_that_is_called_like_a_year_is_listed():
    """Folders 2010 and 2015 that hold no months are entered by each listing; real years are not."""
    world = World()
    world.put(stored("logs/real/2010/01/01/old.gz", START - timedelta(days=5_000)))
    for number in range(3):
        moment = START + timedelta(minutes=number)
        tenants = [f"logs/tenant/{one}/app/{number}.gz" for one in (2010, 2015)]
        world.put(*(stored(key, moment) for key in (*tenants, f"logs/real/2026/03/04/{number}.gz")))
        world.now = moment.timestamp() + 1
        found = world.receive()
        world.queue.delete([one.receipt_handle for one in found])
        assert sorted(keys(found)) == [f"logs/real/2026/03/04/{number}.gz", *tenants]
    assert world.bucket.listed.count("logs/real/2010/") == 1
