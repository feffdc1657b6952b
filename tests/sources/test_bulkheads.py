"""Trouble of one bucket or region holds up nobody else, whatever the order in which messages come."""

import random
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sources.bulkheads import STUCK_SECONDS, Bulkheads
from sources.errors import BadCredentials, Denied, SlowBody, Throttled, Transient
from sources.queues.lease_life import Lease
from sources.queues.sqs import Message
from tests.fakes.process import wait_until
from tests.sources.queues.leasing import QUICK, Rig, WordOpener, idle

MANY = replace(QUICK, fetchers=32, receivers=4)
DENIED = Denied("denied", "s3://bad/key", "allow it")
A, B = ("region a", "bucket a"), ("region b", "bucket b")


def lease(name="m"):
    return Lease(Message(name, "r", ""), None, 0.0, 0.0)


def filled(fetchers, **counts):
    """Return bulkheads where so many wait of each bucket, all of one region."""
    made = Bulkheads(fetchers)
    for bucket, count in counts.items():
        for _ in range(count):
            made.add(lease(), ("region r", f"bucket {bucket}"))
    return made


def begun(bulkheads, now=0.0):
    """Begin all that may be."""
    return list(iter(lambda: bulkheads.begin(now), None))


@pytest.mark.parametrize("fetchers", [1, 2, 8, 32])
def test_one_cause_alone_gets_all_fetchers(fetchers):
    """With nothing else to do no fetcher is kept back; then one more is there for whoever comes."""
    bulkheads = filled(fetchers, a=100)
    assert len(begun(bulkheads)) == fetchers
    bulkheads.add(lease(), B)
    assert len(begun(bulkheads)) == 1


def test_causes_take_turns():
    """A thousand messages of one bucket do not stand before one of another."""
    bulkheads = filled(32, a=1000, b=2)
    names = [fetch.causes[-1].name for fetch in begun(bulkheads)]
    assert names[:4] == ["bucket a", "bucket b"] * 2


def test_what_is_stuck_no_longer_counts():
    """When all of a region hangs, others get as many fetchers as ever; beside them a few of it try."""
    bulkheads = Bulkheads(32)
    for _ in range(100):
        bulkheads.add(lease(), A)
    hanging = begun(bulkheads)
    later = STUCK_SECONDS + 1.5
    for _ in range(100):
        bulkheads.add(lease(), B)
    regions = [fetch.causes[0].name for fetch in begun(bulkheads, later)]
    assert (regions.count("region b"), regions.count("region a")) == (32, 8)
    assert bulkheads.unwanted(A)
    assert len(bulkheads.drop_overflow(later)) == 100 - 32 - 8 - 8
    hanging[0].moved = later + 1
    bulkheads.drop_overflow(later + 1)
    assert not bulkheads.unwanted(A)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 1.0, 2.9])
def test_s5_a_cause_that_hangs_keeps_to_its_share_however_slowly_it_starts(seconds):
    """Fetches that begin one after the other, none of which brings anything: a share, and a few that try."""
    bulkheads, now = Bulkheads(32), 0.0
    for _ in range(300):
        if not bulkheads.unwanted(A):
            bulkheads.add(lease(), A)
        bulkheads.begin(now)
        now += seconds
        bulkheads.drop_overflow(now)
    assert len(bulkheads) <= 40
    assert bulkheads.unwanted(A)
    assert bulkheads.waiting == 8
    bulkheads.add(lease(), B)
    assert bulkheads.begin(now)


def test_one_slow_object_does_not_make_its_bucket_troubled():
    """While others of a bucket come, one that hangs takes nobody's turn."""
    bulkheads, now = filled(8, a=100), 0.0
    bulkheads.begin(now)
    for _ in range(90):
        now += 1.0
        bulkheads.end(bulkheads.begin(now), now=now + 0.5)
    assert bulkheads.waiting == 9


def test_what_waits_for_the_dataflow_is_not_stuck():
    """A dataflow that stands still is nobody's fault."""
    bulkheads = filled(4, a=10)
    for fetch in begun(bulkheads):
        fetch.moved = float("inf")
    assert bulkheads.drop_overflow(1000.0) == []
    assert bulkheads.begin(1000.0) is None


def test_a_failing_cause_tries_a_few_at_a_time_until_one_succeeds():
    """Eight refusals in a row of a bucket shrink its share to half; others of the region keep theirs."""
    bulkheads = filled(8, a=100)
    told = []
    for _ in range(8):
        told += bulkheads.end(bulkheads.begin(0.0), DENIED)
    assert [(cause.name, cause.failing) for cause in told] == [("bucket a", True)]
    trying, *others = begun(bulkheads)
    assert len(others) == 3
    assert bulkheads.unwanted(("region r", "bucket a"))
    assert not bulkheads.unwanted(("region r", "bucket b"))
    assert [cause.failing for cause in bulkheads.end(trying)] == [False]
    assert len(begun(bulkheads)) == 8


def test_a4_a_bucket_that_gave_something_lately_is_not_failing():
    """Whoever writes notices of keys that are not there, between good ones, changes nothing for the good."""
    bulkheads = filled(8, a=100)
    bulkheads.end(bulkheads.begin(0.0), now=0.0)
    told = [bulkheads.end(bulkheads.begin(second / 10), DENIED, now=second / 10) for second in range(99)]
    assert not any(told)
    assert not bulkheads.unwanted(("region r", "bucket a"))


def test_a4_what_is_failing_for_a_short_time_goes_back_for_a_short_time():
    """A message that is given back unopened stays away for as long as its bucket has been failing."""
    bulkheads, names = filled(8, a=100), ("region r", "bucket a")
    for _ in range(8):
        bulkheads.end(bulkheads.begin(100.0), DENIED, now=100.0)
    assert [bulkheads.away(names, now) for now in (101.0, 112.0, 1000.0)] == [5.0, 12.0, 30.0]


@pytest.mark.parametrize(
    ("error", "blamed"),
    [
        (DENIED, "bucket a"),
        (Throttled("slow down", "s3://a", ""), "bucket a"),
        (Transient("connection lost", "s3://a", ""), "region a"),
        (BadCredentials("who are you", "input", ""), None),
        (ValueError("a defect"), None),
    ],
)
def test_who_is_blamed(error, blamed):
    """A lost connection may be its region's; a refusal is its bucket's; our identity is nobody's."""
    bulkheads = Bulkheads(4)
    told = []
    for _ in range(8):
        bulkheads.add(lease(), A)
        told += bulkheads.end(bulkheads.begin(0.0), error)
    assert (told[0].name if told else None) == blamed


@given(st.data())
def test_however_many_causes_hang_the_next_is_served(data):
    """In any order of arrivals, ends and hangs: who is well waits no longer than it takes to see a hang."""
    fetchers = data.draw(st.integers(4, 40))
    bulkheads, now = Bulkheads(fetchers), 0.0
    running = []
    for step in range(data.draw(st.integers(1, 40))):
        kind = data.draw(st.sampled_from("abcdefgh"))
        for _ in range(data.draw(st.integers(1, 60))):
            bulkheads.add(lease(), (f"region {kind}", f"bucket {kind}"))
        running += begun(bulkheads, now)
        if running and step % 3 == 0:
            bulkheads.end(running.pop(data.draw(st.integers(0, len(running) - 1))))
        now += data.draw(st.sampled_from([0.0, 1.0, STUCK_SECONDS]))
        assert len(bulkheads) <= bulkheads.threads
    if len(bulkheads) < bulkheads.threads - 1:
        new = ("region new", "bucket new")
        bulkheads.add(lease(), new)
        found = begun(bulkheads, now + STUCK_SECONDS + 1)
        assert "bucket new" in {fetch.causes[-1].name for fetch in found}


class Buckets(WordOpener):
    """Words are `bucket/number`; what a bucket does is set by hand: fail, or hang until it is let go."""

    def __init__(self):
        super().__init__()
        self.failing: dict[str, Exception] = {}
        self.hanging: dict[str, threading.Event] = {}
        self.denied = "none"
        self.seconds = 0.0

    def causes(self, message):
        bucket = message.body.split("/")[0]
        return (f"region of {bucket}", f"bucket {bucket}")

    def open(self, message, resume):
        bucket = message.body.split("/")[0]
        for name, ended in self.hanging.items():
            if message.body.startswith(name):
                ended.wait(600)
        time.sleep(self.seconds)
        if message.body.startswith(self.denied):
            self.opened.append(message.body)
            raise DENIED
        if bucket in self.failing:
            self.opened.append(message.body)
            raise self.failing[bucket]
        yield from super().open(message, resume)


@pytest.fixture
def opener():
    made = Buckets()
    yield made
    for event in made.hanging.values():
        event.set()


@pytest.fixture
def rigs(opener):
    made = []

    def make(*bodies):
        made.append(Rig(*bodies, options=MANY, opener=opener))
        return made[-1], made[-1].lane()

    yield make
    for rig in made:
        rig.close()


def all_of(lane, bucket, count, timeout=20.0):
    """Drive a lane until so many events of a bucket came."""
    words = set()

    def enough():
        words.update(item.payload.decode().strip() for item in lane.next_batch())
        return sum(word.startswith(f"{bucket}/") for word in words) >= count

    wait_until(enough, timeout, f"{count} of {bucket}", every=0.005)


@pytest.mark.parametrize("before", [360, 3000])
def test_r2_denied_objects_before_others(rigs, opener, before):
    """However many objects of a denied bucket come first, those of another bucket are not held up."""
    opener.failing["bad"] = DENIED
    _, lane = rigs(*(f"bad/{n}" for n in range(before)), *(f"good/{n}" for n in range(20)))
    all_of(lane, "good", 20)


def test_r2_what_is_known_bad_goes_back_later_each_time(rigs, opener):
    """Messages of a failing bucket are mostly given back unopened, spread in time, and come again."""
    opener.failing["bad"] = DENIED
    opener.seconds = 0.02
    rig, lane = rigs(*(f"bad/{n}" for n in range(500)))
    wait_until(lambda: lane.next_batch() == [] and not rig.sqs.visible, 20, "all were received")
    wait_until(lambda: lane.next_batch() == [] and rig.feed._bulkheads.waiting <= 8, 20, "they went back")
    assert len(opener.opened) < 250
    assert len({round(message.visible_at) for message in rig.sqs.messages}) > 3
    opener.failing.clear()
    for _ in range(3):  # what comes before the first success goes back once more
        rig.sqs.advance(100)
        all_of(lane, "bad", 1)
    rig.sqs.advance(1000)
    all_of(lane, "bad", 100)


def test_s5_a_region_that_hangs_holds_up_no_other(rigs, opener):
    """A hundred objects of a region that answers nothing, before and between: the healthy one flows."""
    opener.hanging["far"] = threading.Event()
    bodies = [f"far/{n}" for n in range(100)]
    bodies += [f"{'far' if n % 2 else 'near'}/{1000 + n}" for n in range(400)]
    rig, lane = rigs(*bodies)
    all_of(lane, "near", 200, timeout=40)
    assert not any(body.startswith("near") for body in rig.sqs.deleted)
    opener.hanging["far"].set()
    all_of(lane, "far", 20)


def test_s5_threads_that_start_slowly(rigs, opener):
    """On a machine that takes long to start each thread, a region that hangs still leaves room for others."""
    opener.hanging["far"] = threading.Event()
    rig, lane = rigs()
    spawn, one = rig.feed.spawn, threading.Lock()

    def slowly(name, job):
        with one:
            time.sleep(0.12)
            spawn(name, job)

    rig.feed.spawn = slowly
    rig.sqs.send(*(f"far/{n}" for n in range(400)), *(f"near/{n}" for n in range(100)))
    all_of(lane, "near", 100, timeout=60)
    assert len(rig.feed._bulkheads) <= 40


def test_a4_notices_of_a_denying_bucket_do_not_stop_receiving(rigs, opener):
    """Sixty refusals in a row are one bucket's: receivers do not rest, what comes then comes at once."""
    opener.failing["evil"] = DENIED
    rig, lane = rigs(*(f"evil/{n}" for n in range(60)))
    wait_until(lambda: lane.next_batch() == [] and len(opener.opened) >= 8, 10, "refused")
    assert not rig.feed.troubled
    rig.sqs.send("good/1")
    all_of(lane, "good", 1, timeout=5)


@pytest.mark.parametrize("quiet", [True, False], ids=["a quiet bucket", "good ones between"])
def test_a4_denied_keys_beside_good_ones_of_one_bucket(rigs, opener, quiet):
    """Hundreds of refusals, of keys that anybody may name, hold up no good object of the same bucket."""
    opener.denied, opener.seconds = "one/bad", 0.1
    bad, good = [f"one/bad{n}" for n in range(200)], [f"one/good{n}" for n in range(10)]
    rig, lane = rigs(*(bad if quiet else [one for pair in zip(good, bad, strict=False) for one in pair]))
    if quiet:
        wait_until(lambda: lane.next_batch() == [] and len(opener.opened) >= 16, 10, "some were tried")
    rig.sqs.send(*(good if quiet else bad[10:]))
    rig.sqs.faults["receive_message"] = lambda **_: rig.sqs.advance(0.05)
    all_of(lane, "one", 10, timeout=20)


def test_a14_bodies_that_hang_beside_good_ones_of_one_bucket(rigs, opener):
    """As many objects as there are fetchers hang: others of their bucket come when that has shown."""
    opener.hanging["one/bad"] = threading.Event()
    rig, lane = rigs(*(f"one/bad{n}" for n in range(32)))
    wait_until(lambda: lane.next_batch() == [] and len(rig.feed._bulkheads) == 32, 10, "all are held")
    rig.sqs.send(*(f"one/good{n}" for n in range(20)))
    all_of(lane, "one", 20, timeout=10)


def test_a14_what_comes_again_has_a_turn_of_its_own(rigs, opener):
    """Messages that failed before do not stand before those that are new."""
    rig, _ = rigs()
    feed = rig.feed
    again = Message("m", "r", "a/1", receives=2)
    assert feed._causes(again) == ("region of a", "bucket a, again")
    assert feed._causes(replace(again, receives=1)) == ("region of a", "bucket a")


def test_a14_bodies_that_drip_are_their_own_trouble(rigs, opener):
    """Sixty objects whose bytes come too slowly leave their bucket as it is: others of it come at once."""
    opener.failing["slow"] = SlowBody("704 bytes came in 10 s", "s3://slow", "")
    rig, lane = rigs(*(f"slow/{n}" for n in range(60)))
    wait_until(lambda: lane.next_batch() == [] and len(opener.opened) >= 16, 10, "tried")
    del opener.failing["slow"]
    rig.sqs.send("slow/good")
    all_of(lane, "slow", 1, timeout=5)


def test_h07_a_refused_identity_slows_receiving_down(rigs, opener):
    """What is refused to ourselves is refused for every bucket: then fewer messages are tried."""
    opener.failing |= {name: BadCredentials("unknown key", "input", "") for name in "abcdefghij"}
    rig, lane = rigs(*(f"{'abcdefghij'[n % 10]}/{n}" for n in range(300)))
    wait_until(lambda: lane.next_batch() == [] and rig.feed.troubled, 10, "it is told as ours")
    idle(lane)
    assert rig.sqs.visible > 100


def test_r2_two_good_buckets_keep_their_rate(rigs, opener, figures):
    """One bad bucket with 95 % of the messages: the rate of two others beside it, by the same sender."""

    def rate(bad):
        rig, lane = rigs()
        ended, words, mix = threading.Event(), [], random.Random(7)

        def send():
            for n in range(100):
                bodies = [f"good{k}/{n}" for k in (1, 2)] + [f"bad/{n}-{k}" for k in range(bad)]
                rig.sqs.send(*mix.sample(bodies, len(bodies)))
                time.sleep(0.02)
            ended.set()

        threading.Thread(target=send, daemon=True).start()
        started = time.monotonic()
        while len(words) < 200 and time.monotonic() - started < 60:
            words += [item for item in lane.next_batch() if b"good" in item.payload]
            time.sleep(0.002)
        seconds = time.monotonic() - started
        rig.close()
        assert ended.is_set()
        assert len(words) == 200
        return len(words) / seconds

    opener.seconds = 0.02
    opener.failing["bad"] = DENIED
    alone, beside = rate(0), rate(38)
    figures(f"two good buckets alone {alone:.0f}/s, beside a bad one {beside:.0f}/s: {beside / alone:.2f}")
    assert beside > alone / 4  # a busy machine is no failure; the figure is printed
