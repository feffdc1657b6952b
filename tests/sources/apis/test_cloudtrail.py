"""LookupEvents: newest first, late arrivals, 90 days, two requests a second: nothing lost, nothing twice."""

import json
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.apis.cloudtrail import LookupEvents, LookupOptions, compact
from sources.apis.cursor import CursorOptions, CursorSource, Target
from sources.apis.window import now_ms, to_datetime, to_ms
from sources.aws.account import Account
from sources.aws.limiter import Bucket, Limiters
from sources.errors import SourceError, Transient
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.process import wait_until
from transforms.block import Poison

ROOT = Path(__file__).parents[3]
TARGET = Target("eu-west-1", "123456789012", "eu-west-1")
UNLIMITED = Limiters(lambda *_: Bucket(0))
START = 1_700_000_000_000
DAY = 86_400_000


class Simulated:
    """A LookupEvents with a clock: seconds of resolution, inclusive bounds, late arrivals, offset tokens.

    events: (id, epoch ms, ms from when it is visible).
    """

    def __init__(self, events=(), page=50, now=START, takes=400):
        self.events, self.page, self.now, self.takes = list(events), page, now, takes
        self.asked = []
        self.meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_, **__: None))

    def lookup_events(self, MaxResults, StartTime, EndTime, NextToken="0", EventCategory=""):  # noqa: N803
        assert MaxResults == 50
        self.asked.append((StartTime, EndTime, NextToken, EventCategory))
        assert self.now - to_ms(StartTime) <= 90 * DAY
        low, high = to_ms(StartTime), to_ms(EndTime) + 999
        found = [(t, key) for key, t, visible in self.events if low <= t <= high and visible <= self.now]
        found.sort(reverse=True)
        end = int(NextToken) + self.page
        events = [event(key, t) for t, key in found[int(NextToken) : end]]
        self.now += self.takes
        return {"Events": events, **({"NextToken": str(end)} if end < len(found) else {})}


def event(key, ms, text=None):
    text = json.dumps({"eventID": key}) if text is None else text
    return {"EventId": key, "EventTime": to_datetime(ms // 1000 * 1000), "CloudTrailEvent": text}


def poll_of(api, **options):
    account = SimpleNamespace(
        name="main", where="input main", account_id="123456789012", client=lambda _service, _region: api
    )
    chosen = LookupOptions(**{"regions": ("eu-west-1",), "start": START, **options})
    return LookupEvents(account, chosen, UNLIMITED, threading.Event(), clock=lambda: api.now)


def ids_of(page):
    return [json.loads(line)["eventID"] for item in page.items for line in item.payload.splitlines()]


def poll_once(poll, state, stop_after=None):
    """Return the ids emitted by one poll, and the state after its last (or `stop_after`-th) page."""
    emitted, again = [], False
    for number, page in enumerate(poll.pages(TARGET, json.loads(json.dumps(state))), 1):
        emitted += ids_of(page)
        state, again = page.state, page.again
        if number == stop_after:
            break
    return emitted, state, again


arrivals = st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 70_000)), max_size=60)
steps = st.lists(
    st.tuples(st.integers(1_000, 90_000), st.one_of(st.none(), st.integers(1, 4))), min_size=1, max_size=12
)


@settings(deadline=None, max_examples=80)
@given(arrivals, steps, st.integers(1, 120))
def test_h14_late_arrivals_newest_first_with_crashes(arriving, polled, span):
    """h14: late events, pages, repeats at window borders, crashes between pages: each event exactly once."""
    events = [(f"e{n}", START + t, START + t + late) for n, (t, late) in enumerate(arriving)]
    api = Simulated(events, page=3)
    poll = poll_of(api, settle_seconds=10, overlap_seconds=61, span_seconds=span)
    state, emitted = {}, []
    for pause, stop_after in polled:
        api.now += pause
        new, state, _ = poll_once(poll, state, stop_after)
        emitted += new
    api.now = max(api.now, START + 500_000)
    again = True
    while again or api.now < START + 700_000:
        new, state, again = poll_once(poll, state)
        emitted += new
        api.now += 0 if again else 30_000
    assert sorted(emitted) == sorted(key for key, _, _ in events)


@pytest.mark.parametrize("grown", [0, 6 * 3_600_000])
def test_h14_ids_have_a_bound(grown, monkeypatch, caplog):
    """Of more events than ids are remembered of none is lost within the configured reach, which is told once.

    grown: what the reach has come to by itself, in ms.
    """
    monkeypatch.setattr("sources.apis.cloudtrail._MOST_IDS", 500)
    rng, events = random.Random(7), []
    for n in range(12_000):
        ms = START + rng.randrange(3_600_000)
        events.append((f"e{n}", ms, ms + (959_000 if n % 10 == 0 else 60_000)))
    api, got, most, state = (
        Simulated(events, takes=100_000),
        Counter(),
        0,
        {},
    )  # 500 take as long as the reach
    poll = poll_of(api)
    while api.now < START + 24 * 3_600_000:
        began, again = api.now, True
        while again:
            again = False
            for page in poll.pages(TARGET, json.loads(json.dumps(state))):
                got.update(ids_of(page))
                most, state, again = max(most, len(page.state["seen"])), page.state, page.again
        if grown:
            state["late"] = {"reach": grown, "most": grown // 3, "since": api.now}
        api.now = max(api.now, began + 300_000)
    assert set(got) == {key for key, _, _ in events}
    assert most <= 2 * 500 + 50
    assert len(got) < got.total() < 2 * len(got)
    told = [record.event for record in caplog.records if record.event == "ids_forgotten"]
    assert told == ["ids_forgotten"]


def test_first_poll_without_start_time_keeps_the_moment():
    """From now on means from the first poll on, also when the process ends before anything happened."""
    api = Simulated([("before", START - 5_000, 0), ("after", START + 5_000, 0)])
    poll = poll_of(api, start=None)
    emitted, state, again = poll_once(poll, {})
    assert (emitted, again, len(api.asked)) == ([], False, 1)  # what time it is by AWS's clock
    assert state == {"v": 2, "from": START, "done": START, "final": START, "seen": {}}
    api.now = START + 300_000
    emitted, state, _ = poll_once(poll, state)
    assert emitted == ["after"]
    assert state["done"] == START + 240_000


def test_start_time_to_come_is_waited_for():
    """A start_time in the future asks nothing until then."""
    api = Simulated()
    state = poll_once(poll_of(api, start=START + DAY), {})[1]
    assert state["done"] == START + DAY
    assert api.asked == []


def test_h14_older_than_90_days_is_clamped_and_said(caplog):
    """h14: start_time older than 90 days is clamped with one warning that says what is lost."""
    api = Simulated()
    poll = poll_of(api, start=START - 200 * DAY)
    with caplog.at_level("WARNING", "collector"):
        _, state, again = poll_once(poll, {})
        poll_once(poll, {})
    assert again
    assert START - state["from"] < 90 * DAY
    (record,) = caplog.records
    assert record.event == "start_clamped"
    assert "90 days" in record.getMessage()
    assert to_datetime(START - 200 * DAY).isoformat() in record.getMessage()


def test_h14_state_older_than_90_days_is_clamped_too(caplog):
    """h14: a collector that was off for months says what it cannot catch up."""
    api = Simulated()
    old = {"v": 2, "from": START - 300 * DAY, "done": START - 120 * DAY, "seen": {"x": START - 120 * DAY}}
    with caplog.at_level("WARNING", "collector"):
        _, state, _ = poll_once(poll_of(api), old)
    assert [record.event for record in caplog.records] == ["start_clamped"]
    assert state["done"] > START - 90 * DAY
    assert state["seen"] == {}


def test_catching_up_uses_large_windows_and_asks_to_go_on():
    """A backlog is read in windows of the span, one per poll, so that other targets have their turn."""
    api = Simulated(now=START + DAY)
    poll = poll_of(api)
    _, state, again = poll_once(poll, {})
    assert again
    assert state["done"] == START + 3_600_000
    polls = 1
    while again:
        _, state, again = poll_once(poll, state)
        polls += 1
    assert polls <= 25
    assert len(api.asked) == polls


def test_state_stays_small_within_a_window():
    """Only ids that may be read again are kept: those of the next overlap and those not passed yet."""
    events = [(f"e{n}", START + n * 1_000, 0) for n in range(3_000)]
    api = Simulated(events, now=START + 3_600_000)
    sizes = [len(page.state["seen"]) for page in poll_of(api, overlap_seconds=60).pages(TARGET, {})]
    assert len(sizes) == 60
    assert max(sizes) < 130


def test_crash_within_a_window_goes_on_below():
    """h14: what was emitted of a window is not asked for again, so a long window comes to its end."""
    events = [(f"e{n}", START + n * 1_000, 0) for n in range(1_000)]
    api = Simulated(events, now=START + 3_600_000)
    poll = poll_of(api)
    first, state, _ = poll_once(poll, {}, stop_after=15)
    asked = len(api.asked)
    rest, state, _ = poll_once(poll, state)
    assert len(api.asked) - asked <= 6
    assert Counter(first + rest) == Counter(f"e{n}" for n in range(1_000))
    assert "window" not in state


def test_insight_events_are_a_target_of_their_own():
    """Insight events are asked for under their own category and position, only when wanted."""
    api = Simulated(now=START + 300_000)
    assert [t.key for t in poll_of(api).targets()] == ["eu-west-1"]
    poll = poll_of(api, insights=True)
    plain, insight = poll.targets()
    assert insight.key == "eu-west-1/insight"
    list(poll.pages(plain, {}))
    list(poll.pages(insight, {}))
    assert [asked[3] for asked in api.asked] == ["", "insight"]


def test_half_a_surrogate_pair_is_its_own_escape_again():
    """What JSON can say and UTF-8 cannot does not stop a region, and stays what it was."""
    api = Simulated(now=START + 300_000)
    api.lookup_events = lambda **_: {"Events": [event("a", START, '{"name":"\ud83d"}'), event("b", START)]}
    (page,) = poll_of(api).pages(TARGET, {})
    lines = b"".join(item.payload for item in page.items).splitlines()
    assert lines[0] == b'{"name":"\\ud83d"}'
    assert len(lines) == 2


def test_event_that_is_no_json_goes_to_quarantine():
    """One unreadable event is poison, with its wrapper; its neighbours are events."""
    api = Simulated(now=START + 300_000)
    wrappers = [
        event("a", START),
        event("b", START, '{"x":\n'),
        {k: v for k, v in event("c", START).items() if k != "CloudTrailEvent"},
        event("d", START, " "),
    ]
    api.lookup_events = lambda **_: {"Events": wrappers}
    (page,) = poll_of(api).pages(TARGET, {})
    poisons = [item for item in page.items if isinstance(item, Poison)]
    assert [poison.reason for poison in poisons] == ["event_broken"] * 3
    assert b'"EventId":"b"' in poisons[0].body
    assert [item.payload for item in page.items if item not in poisons] == [b'{"eventID": "a"}\n']


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a":"naïve"}', '{"a":"naïve"}\n'),
        ('{"a": 1.50, "b":\t"x"}', '{"a": 1.50, "b":\t"x"}\n'),
        ('{\n  "a": 1.50,\r\n  "b": "x\\ny"\n}', '{"a":1.50,"b":"x\\ny"}\n'),
    ],
)
def test_compact(text, line):
    """An event's own bytes, unless they were printed over several lines."""
    assert compact(text) == line.encode()


def test_h19_hollow_reply_moves_nothing():
    """h19: a 200 that boto3 turns into {} is tried again; the cursor stays."""
    api = Simulated(now=START + 300_000)
    api.lookup_events = lambda **_: {}
    with pytest.raises(Transient, match="without Events"):
        list(poll_of(api).pages(TARGET, {}))


def test_state_of_another_version_is_refused():
    """A state that this release cannot read is an error, not a fresh start."""
    with pytest.raises(SourceError, match="version 3"):
        list(poll_of(Simulated()).pages(TARGET, {"v": 3}))


def collect_all(poll, wanted, drain, seconds=60, meanwhile=lambda _lines: None):
    """Run a whole source over all lanes until the wanted number of events has come; returns their lines."""
    source = CursorSource(poll, CursorOptions(backoff_seconds=0.02), drain)
    parts = [source.build_part("step", key, None) for key in source.list_parts()]
    lines = []

    def come():
        lines.extend(line for p in parts for item in p.next_batch() for line in item.payload.splitlines())
        meanwhile(lines)
        return len(lines) >= wanted()

    try:
        wait_until(come, seconds, f"{wanted()} events")
        for _ in range(10):
            come()
    finally:
        drain.set()
        for part in parts:
            part.close()
    return lines


REGIONS = ("us-east-1", "eu-west-1", "ap-south-1")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [1_200, pytest.param(30_000, marks=pytest.mark.slow)])
def test_h14_three_regions_while_new_events_arrive(served, count):
    """h14, h18, h19: a backlog over three regions, late and live events, faults: 0 lost, 0 repeated."""
    now = now_ms() // 1000
    texts = set()

    def event(region, number, **more):
        text = json.dumps({"eventID": f"{region}-{number}", "awsRegion": region}, separators=(",", ":"))
        texts.add(text.encode())
        return {"EventName": "Op", "EventId": f"{region}-{number}", "CloudTrailEvent": text, **more}

    def put(region, number, **more):
        fake_aws.put_cloudtrail_events([event(region, number, **more)], region=region)

    for region in REGIONS:
        times = ((n, now - 10_000 + n * 10_000 * 3 // count) for n in range(count // 3))
        backlog = [event(region, n, EventTime=at) for n, at in times]
        fake_aws.put_cloudtrail_events(backlog, region=region)
    live = iter([(region, f"live{n}") for n in range(30) for region in REGIONS])

    def arrive(lines):
        if len(lines) > count // 4 and (one := next(live, None)):
            late = int(one[1][4:]) % 4
            put(*one, EventTime=now_ms() / 1000 - late, delay_s=late / 4)

    with FaultProxy(served.url) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.add(op="cloudtrail.LookupEvents", do="error", code="ThrottlingException", after=5, times=3)
        proxy.add(op="cloudtrail.LookupEvents", do="junk", size=200, after=20, times=2)
        proxy.add(op="cloudtrail.LookupEvents", do="short", after=25, times=2)
        proxy.add(
            op="cloudtrail.LookupEvents", do="error", code="InvalidNextTokenException", after=30, times=1
        )
        drain = threading.Event()
        options = LookupOptions(
            REGIONS, (now - 20_000) * 1000, period_seconds=0.2, settle_seconds=1, overlap_seconds=6
        )
        poll = LookupEvents(Account("main"), options, UNLIMITED, drain)
        lines = collect_all(poll, lambda: max(len(texts), count + 90), drain, 500, arrive)
        assert all(rule.fired for rule in proxy.rules)
    assert set(lines) == texts
    assert len(lines) == len(texts)


ASK = """
import sys, threading
from sources.aws.account import Account
from sources.apis.cloudtrail import RATES, LookupEvents, LookupOptions
from sources.aws.limiter import shared
options = LookupOptions(("us-east-1", "eu-west-1"), 0)
poll = LookupEvents(Account("main"), options, shared(RATES), threading.Event())
def ask(target):
    list(poll.pages(target, {}))
threads = [threading.Thread(target=ask, args=(target,)) for target in poll.targets() for _ in range(2)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


@pytest.mark.usefixtures("served")
def test_h14_two_processes_share_two_requests_a_second(monkeypatch, tmp_path):
    """h14: never more than two requests within any second per region, over threads, processes and retries."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    fake_aws.limit_rate("cloudtrail.LookupEvents", 1.5)
    running = [subprocess.Popen([sys.executable, "-c", ASK], cwd=ROOT) for _ in range(2)]
    assert [one.wait(60) for one in running] == [0, 0]
    for region in ("us-east-1", "eu-west-1"):
        times = [one.at for one in fake_aws.served("cloudtrail.LookupEvents") if one.region == region]
        assert len(times) > 4, "nothing was throttled and tried again"
        assert (len(times) - 1) / (times[-1] - times[0]) <= 2
        # three within one second would be too many; a tenth is left to a busy machine's scheduling
        assert all(third - first > 0.9 for first, third in zip(times, times[2:], strict=False))


@pytest.mark.usefixtures("served")
def test_drain_does_not_wait_for_the_limiter():
    """A process that drains does not ask any more, and says why."""
    poll = LookupEvents(
        Account("main"),
        LookupOptions(("us-east-1",), now_ms() - DAY),
        Limiters(lambda *_: Bucket(0.001)),
        threading.Event(),
    )
    (target,) = poll.targets()
    list(poll.pages(target, {}))
    threading.Timer(0.05, poll._api._drain.set).start()
    with pytest.raises(Transient, match="drain"):
        list(poll.pages(target, {}))
    assert len(fake_aws.served("cloudtrail.LookupEvents")) == 1
