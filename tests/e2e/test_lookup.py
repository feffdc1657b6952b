"""LookupEvents with two processes: a backlog over three regions while new events arrive, at AWS's pace.

`make e2e` runs the acceptance on 30,000 events.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from flows.demo.wire import caller
from tests.e2e.test_cluster import members
from tests.fakes.collector import Collector, Launch, configuration, output, wait_while_moving
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import FakeAws
from tests.fakes.process import Background, wait_until

REGIONS = ("us-east-1", "eu-west-1", "ap-south-1")
RATE = 2
"""Requests a second that AWS allows in a region."""

_ARRIVAL = 1
"""What the scheduling of a busy machine may add between the request's turn and its arrival."""

_FEW, _SETTLE = 600, 2
_STALL = 120.0


class Asked(NamedTuple):
    """A LookupEvents request. at: monotonic seconds. process: its id, 0 when it could not be found."""

    at: float
    region: str
    process: int


@dataclass
class Watched:
    """The served APIs, with a note of each LookupEvents. head: whose children ask."""

    app: object
    head: int = 0
    asked: list[Asked] = field(default_factory=list)

    def __call__(self, environ, start_response):
        if environ.get("HTTP_X_AMZ_TARGET", "").endswith(".LookupEvents"):
            at, region = time.monotonic(), caller(environ["HTTP_AUTHORIZATION"]).region
            # the server closes each connection after its reply: only now is it anybody's
            self.asked.append(Asked(at, region, holder(members(self.head), environ["REMOTE_PORT"])))
        return self.app(environ, start_response)


def holder(pids: Iterable[int], port: int) -> int:
    """Return which of some processes has a connection from this port of this machine; 0 when none has."""
    rows = (row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:])
    sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}")}
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                if link.readlink().name in sockets:
                    return pid
    return 0


@pytest.fixture
def apis():
    fake_aws.reset()
    with FakeAws() as running:
        running.watched = running._server.app = Watched(running._server.app)
        yield running


class Trail(Background):
    """Puts events: a backlog at once, then new ones over `seconds`, in a thread while the block runs.

    late: how many seconds after its time one in five of the new ones may be shown.
    """

    def __init__(self, backlog: int, live: int, seconds: float, late: float) -> None:
        self.due: Counter[str] = Counter()
        self._live, self._seconds, self._late = live, seconds, late
        super().__init__()
        self._rng = random.Random(backlog)
        now = int(time.time())
        for place, region in enumerate(REGIONS):
            numbers = range(place, backlog, len(REGIONS))
            times = [now - self._rng.randrange(120, 6_900) for _ in numbers]
            kinds = ["insight" if number % 20 == 0 else "management" for number in numbers]
            old = [{"EventTime": at, "category": kind} for at, kind in zip(times, kinds, strict=True)]
            self._put(region, zip(numbers, old, strict=True))

    @property
    def whole(self) -> bool:
        """Tell whether everything has been put."""
        return not self._thread.is_alive()

    def _put(self, region: str, numbered: Iterable[tuple[int, dict]]) -> None:
        events = []
        for number, more in numbered:
            text = json.dumps({"eventID": f"{number:07}", "awsRegion": region})
            events.append({"EventName": "Op", "CloudTrailEvent": text, **more})
            self.due[text] += 1
        fake_aws.put_cloudtrail_events(events, region=region)

    def _run(self) -> None:
        for number in range(self._live):
            if self._ended.wait(self._seconds / self._live):
                return
            late = self._rng.uniform(0, self._late) if number % 5 == 0 else 0
            new = {"EventTime": time.time(), "delay_s": late}
            self._put(REGIONS[number % len(REGIONS)], [(1_000_000 + number, new)])


def settings(receiver, certs, folder, overlap: int) -> dict:
    service = {
        "types": ["audits_api"],
        "regions": list(REGIONS),
        "start_time": datetime.fromtimestamp(int(time.time()) - 7_200, UTC).isoformat(),
        "request_period_in_seconds": 2,
        "settle_seconds": _SETTLE,
        "overlap_seconds": overlap,
        "collect_insights": True,
    }
    return configuration({"audit-events-all": service}, output(receiver.port, certs), folder)


@pytest.mark.parametrize(
    ("backlog", "live", "seconds", "late"),
    [
        pytest.param(_FEW, 60, 4, 3, id="600 events", marks=pytest.mark.timeout(600)),
        pytest.param(
            30_000, 900, 100, 30, id="30,000 events", marks=[pytest.mark.full, pytest.mark.timeout(1800)]
        ),
    ],
)
def test_h14_two_processes_keep_to_two_requests_a_second(
    apis, rsyslog, certs, tmp_path, figures, backlog, live, seconds, late
):
    """A backlog and new events, newest first: each arrives once, and AWS is never asked too fast."""
    asked = apis.watched.asked
    with Trail(backlog, live, seconds, late) as trail:
        chosen = settings(rsyslog, certs, tmp_path, 2 * late)
        collector = Collector(apis, tmp_path / "collector", chosen, Launch("flows", processes=2))
        try:
            collector.start()
            apis.watched.head = collector.children[0].pid
            wait_while_moving(
                collector,
                lambda: trail.whole and rsyslog.size() >= trail.due.total(),
                lambda: f"{rsyslog.size()} of {trail.due.total()} lines, {len(asked)} requests",
                _STALL,
            )
            before = len(asked)
            wait_until(lambda: len(asked) > before + 6 * len(REGIONS), _STALL, "more polls", 0.1)
            collector.drain()
        finally:
            collector.kill()
    rsyslog.stop()
    arrived = Counter(message.decode() for _, message in rsyslog.events().elements())
    lost, again = trail.due - arrived, arrived - trail.due
    figures(table(asked, trail.due.total(), lost.total(), again.total()))
    assert (lost, again) == (Counter(), Counter())
    for region in REGIONS:
        moments = moments_of(asked, region)
        assert most_within(moments, 30) <= 30 * RATE, region
        if backlog > _FEW:  # a busy machine's delays are most of what a few requests show of a second
            assert most_within(moments, 1) <= RATE + _ARRIVAL, region
            assert fullest(moments) <= RATE + _ARRIVAL, region
    # bytewax deals the lanes out as it likes: that one region has two askers is chance, that both ask is not.
    assert len({one.process for one in asked} - {0}) == 2


def moments_of(asked: Iterable[Asked], region: str) -> list[float]:
    """Return when a region was asked for, monotonic seconds."""
    return [one.at for one in asked if one.region == region]


def fullest(moments: list[float]) -> float:
    """Return the most requests that ever stood in a bucket from which RATE flow out each second."""
    most, level, before = 0.0, 0.0, 0.0
    for moment in moments:
        level = max(0.0, level - (moment - before) * RATE) + 1
        most, before = max(most, level), moment
    return most


def table(asked: Sequence[Asked], total: int, lost: int, again: int) -> str:
    """Return a line per region: requests, and how fast they came."""
    rows = [f"{total} events over {len(REGIONS)} regions, {lost} lost, {again} came twice"]
    rows.append("region      requests  processes  seconds  mean/s  most in 1 s  in 10 s  in 30 s")
    for region in REGIONS:
        moments = moments_of(asked, region)
        processes = {one.process for one in asked if one.region == region}
        passed = moments[-1] - moments[0]
        rows.append(
            f"{region:10} {len(moments):9} {len(processes):10} {passed:8.1f} "
            f"{(len(moments) - 1) / passed:7.2f} {most_within(moments, 1):12} {most_within(moments, 10):8} "
            f"{most_within(moments, 30):8}"
        )
    return "\n".join(rows)


def most_within(moments: list[float], seconds: float) -> int:
    """Return the most requests that any such stretch of time had."""
    return max(sum(first <= one < first + seconds for one in moments[n:]) for n, first in enumerate(moments))
