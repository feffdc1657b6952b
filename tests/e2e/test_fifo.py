"""FIFO queues through the whole collector: as fast as receipts come, in order, also under kills."""

import json
import os
import signal
import time
from collections import defaultdict

import pytest

from tests.e2e.test_cluster import members
from tests.fakes.collector import Launch, configuration, output, wait_while_moving
from tests.fakes.fifo_queue import FifoQueue
from tests.fakes.process import wait_until

_TIMEOUT = 60.0
_VISIBILITY_SECONDS = 6
SERVICES = {
    "service-events-all": {
        "regions": ["us-east-1"],
        "cloudwatch_sqs_queue_name": FifoQueue.name,
        "visibility_timeout_seconds": _VISIBILITY_SECONDS,
    }
}


def event(group: str, number: int) -> str:
    """Return an event of EventBridge that tells its place in its group."""
    return json.dumps({"source": "aws.test", "account": "1", "detail": {"group": group, "number": number}})


def numbers(receiver) -> dict[str, list[int]]:
    """Return what arrived of each group, in the order of its arrival, repeats left out."""
    found = defaultdict(dict)
    for lines in receiver.lines().values():
        for line in lines:
            told = json.loads(line[line.index(b"{") :])["detail"]
            found[told["group"]][told["number"]] = None
    return {group: list(one) for group, one in found.items()}


def collector_of(queue, stage, receiver, launch):
    """Return a collector that reads the queue; an address is all that it has of AWS."""
    settings = configuration(SERVICES, output(receiver.port, stage.certs), stage.folder)
    stage.aws.url, before = queue.url, stage.aws.url
    try:
        collector = stage.collector(settings, launch)
    finally:
        stage.aws.url = before
    collector.environment["AWS_ENDPOINT_URL"] = queue.url
    return collector


def kill_often(collector, queue, kills: int, total: int) -> int:
    """Kill a member each time that another part of all has gone; return how many."""
    done = 0
    while queue.waiting() and done < kills:
        if total - queue.waiting() >= total * (done + 1) // (kills + 2):
            living = members(collector.children[0].pid) or [collector.children[0].pid]
            os.kill(living[done % len(living)], signal.SIGKILL)
            done += 1
        time.sleep(0.02)
    return done


def test_s1_one_group_at_the_default_interval(stage, rsyslog, figures):
    """One message group brings a hundred events a second and more, each once and in order."""
    sent = 600
    with FifoQueue() as queue:
        collector = collector_of(queue, stage, rsyslog, Launch("flows", interval=3))
        try:
            collector.start()
            queue.sqs.send(event("a", 0), group="devo")
            rsyslog.wait_for(1, _TIMEOUT)
            queue.sqs.send(*(event("a", number) for number in range(1, sent)), group="devo")
            started = time.monotonic()
            wait_while_moving(collector, lambda: not queue.waiting(), lambda: str(queue.waiting()), _TIMEOUT)
            rate = sent / (time.monotonic() - started)
            collector.drain()
        finally:
            collector.kill()
    figures(f"one FIFO group, interval 3 s, receipts over TLS: {rate:.0f} events/s")
    assert numbers(rsyslog) == {"a": list(range(sent))}
    assert rsyslog.size() == sent


@pytest.mark.parametrize(
    ("events", "groups", "processes", "kills"),
    [
        pytest.param(300, 1, 2, 3),
        pytest.param(3000, 1, 2, 10, marks=pytest.mark.full),
        pytest.param(10_000, 50, 6, 10, marks=pytest.mark.full),
    ],
)
def test_s1_order_within_groups_under_kills(stage, rsyslog, figures, events, groups, processes, kills):
    """Replicas that are killed lose nothing and keep the order within each group, repeats apart."""
    with FifoQueue() as queue:
        launch = Launch("replicas", processes=processes, interval=3)
        collector = collector_of(queue, stage, rsyslog, launch)
        try:
            collector.start()
            for number in range(events // groups):
                for group in range(groups):
                    queue.sqs.send(event(f"g{group}", number), group=f"g{group}")
            started = time.monotonic()
            done = kill_often(collector, queue, kills, events)
            wait_while_moving(collector, lambda: not queue.waiting(), lambda: str(queue.waiting()), _TIMEOUT)
            wait_until(lambda: rsyslog.size() >= events, _TIMEOUT, "all lines are written")
            seconds = time.monotonic() - started
        finally:
            collector.kill()
    again = rsyslog.size() - events
    what = f"FIFO: {events} events in {groups} groups, {processes} replicas, {done} kills"
    figures(f"{what}: {seconds:.0f} s, {again} twice")
    assert done == kills
    assert numbers(rsyslog) == {f"g{group}": list(range(events // groups)) for group in range(groups)}
