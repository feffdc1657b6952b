"""A day in which each hour's events come twice as late as the hour's before: in every API, none is lost."""

import json
import threading
from collections import Counter
from types import SimpleNamespace

import pytest

from sources.apis.poll import Target
from sources.apis.window import to_datetime
from tests.sources.listed.test_recheck import HOUR, POLLS, START, UNLIMITED, World

MINUTE = 60_000
MOST = {"audits_api": 6 * HOUR, "logs": 24 * HOUR, "metrics-all": 3 * HOUR, "aws-guardduty": 24 * HOUR}
"""Service → how far its reach may grow, by default."""


class Counted(World):
    """The APIs, counting calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> object:
        if name.startswith(("lookup_", "filter_", "list_", "get_")):
            object.__getattribute__(self, "calls")[name] += 1
        return object.__getattribute__(self, name)


def live(service: str, lateness: list[int], hours: int) -> tuple[Counted, Counter[str], set[str], dict]:
    """Return a service's world, what it got, what it should have, its last state. lateness: by hour, ms."""
    make, id_of, key = POLLS[service]
    aws, state, got = Counted(), {}, Counter[str]()
    account = SimpleNamespace(
        name="main", where="input main", account_id="123456789012", client=lambda *_: aws
    )
    poll = make(account, UNLIMITED, threading.Event(), lambda: aws.now)
    target = Target(key, "123456789012", "eu-west-1", key.partition("/")[2])
    for n in range(12 * len(lateness)):
        ms = START + n * 5 * MINUTE
        aws.events.append(
            (f"e{n}", ms, ms + lateness[n // 12] + (5 * MINUTE if service == "metrics-all" else 0))
        )
    due = {
        f"{to_datetime(ms):%Y-%m-%dT%H:%M:%SZ}" if service == "metrics-all" else name
        for name, ms, _ in aws.events
    }
    while aws.now < START + hours * HOUR:
        again = True
        while again:
            again = False
            for page in poll.pages(target, json.loads(json.dumps(state))):
                state, again = page.state, page.again
                got.update(
                    id_of(json.loads(one)) for block in page.items for one in block.payload.splitlines()
                )
        aws.now += 5 * MINUTE
    return aws, got, due, state


@pytest.mark.parametrize("service", POLLS)
def test_r20_lateness_that_doubles_each_hour(service, figures):
    """From five seconds on, up to half of the reach's bound: 0 lost, 0 twice, calls counted."""
    lateness = [min(5_000 << hour, MOST[service] // 2) for hour in range(24)]
    aws, got, due, state = live(service, lateness, 40)
    on_time, _, _, _ = live(service, [5_000] * 24, 40)
    calls, quiet = aws.calls.total(), on_time.calls.total()
    reach = state["late"]["reach"] / HOUR
    figures(
        f"{service:14} lateness 5 s to {lateness[-1] / HOUR:4.1f} h: {len(due)} events, "
        f"{len(due - set(got))} lost, {got.total() - len(got)} twice, "
        f"reach {reach:4.1f} h of {MOST[service] // HOUR}, {calls} calls in 40 h ({quiet} when none is late)"
    )
    assert got == Counter(due)
    assert lateness[-1] < state["late"]["reach"] <= MOST[service]
    assert calls <= quiet * 1.6
