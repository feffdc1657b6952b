"""A local cluster as an operator runs it: work is shared, a killed member is replaced, its size changes."""

import json
import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from tests.fakes.collector import Launch, configuration, first_difference, output, services, settle, verdict
from tests.fakes.corpus import corpus, expected
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.process import wait_until

_TIMEOUT = 90.0
REGIONS = ("us-east-1", "eu-west-1", "ap-south-1")
_VISIBILITY_SECONDS = 12


def members(head):
    """Return the process ids of a supervisor's children, by their place in the cluster."""
    return [int(pid) for pid in Path(f"/proc/{head}/task/{head}/children").read_text().split()]


def renewed(collector, old):
    """Tell whether three processes run and none of them is an old one."""
    now = set(members(collector.children[0].pid))
    return len(now) == len(old) and not now & set(old)


def shares(collector):
    """Return how many events each process of the cluster has read, of every life so far."""
    found = Counter()
    for log in collector.folder.glob("log-*"):
        for line in log.read_text().splitlines():
            if '"event":"object_collected"' in line:
                told = json.loads(line)
                found[told["process"]] += told["events"]
    return found


@pytest.fixture
def cluster(stage, rsyslog):
    """Return (collector of three processes, its site); it is killed at the end."""
    site = stage.site(visibility=_VISIBILITY_SECONDS)
    chosen = services([site], auto=True, visibility_timeout_seconds=_VISIBILITY_SECONDS)
    made = configuration(chosen, output(rsyslog.port, stage.certs), stage.folder, debug=True)
    collector = stage.collector(made, Launch("flows", processes=3))
    collector.environment["COLLECTOR_LOG"] = "json"
    yield collector, site
    collector.kill()


@pytest.mark.slow
def test_h22_three_processes_share_a_queue_and_survive_one_of_them(cluster, rsyslog, figures):
    """One queue of 2,000 objects, one of three processes killed on the way: each has its share, 0 lost."""
    collector, site = cluster
    samples = corpus({"vpc": 2000}, seed=70)
    due = expected(samples, auto=True)
    site.put(samples)
    collector.start()
    rsyslog.wait_for(due.total() // 10, _TIMEOUT)
    os.kill(members(collector.children[0].pid)[1], signal.SIGKILL)
    settle(collector, rsyslog, [site], due.total(), _TIMEOUT)
    wait_until(lambda: site.waiting() == 0, _TIMEOUT, "the queue is empty")
    collector.drain()
    found, share = verdict(due, rsyslog.events()), shares(collector)
    figures(f"3 processes, 2,000 objects, one kill: {found}")
    for process, events in sorted(share.items()):
        figures(f"  process {process}: {events} events read, {events / share.total():.0%}")
    assert found.lost == 0
    assert found.torn <= 1  # the kill may cut the line that is being written; it comes again, whole
    assert sorted(share) == [0, 1, 2]
    assert min(share.values()) > share.total() / 10


@pytest.fixture
def trail():
    """Return CloudTrail's API, empty."""
    fake_aws.reset()
    with fake_aws.FakeAws() as api:
        yield api


def put_trail(life):
    """Put events of the last minutes into each region; return how often each (tag, line) must arrive."""
    due = Counter()
    for region in REGIONS:
        texts = [f'{{"eventID":"{life}-{region}-{number}"}}' for number in range(40)]
        fake_aws.put_cloudtrail_events(
            [
                {"EventName": "Op", "EventTime": time.time() - 5 - n, "CloudTrailEvent": text}
                for n, text in enumerate(texts)
            ],
            region=region,
        )
        due.update(("cloud.aws.cloudtrail.events", text.encode()) for text in texts)
    return due


@pytest.mark.slow
def test_h22_a_cluster_is_resized_with_its_state(cluster, trail, rsyslog, figures):
    """3, then 2, then 4 processes on one state: every object and every API event of every life once."""
    collector, site = cluster
    collector.environment |= {"AWS_ENDPOINT_URL_CLOUDTRAIL": trail.url, "AWS_ENDPOINT_URL_STS": trail.url}
    settings = yaml.safe_load((collector.folder / "config.yaml").read_text())
    services_ = settings["inputs"]["aws"]["services"]
    services_["audit-events-all"] = {
        "types": ["audits_api"],
        "regions": list(REGIONS),
        "start_time": datetime.fromtimestamp(int(time.time()) - 600, UTC).isoformat(),
        "request_period_in_seconds": 1,
        "settle_seconds": 2,
    }
    site.queues.pop("audits_s3")
    collector.configure(settings)
    due = Counter()
    for life, size in enumerate((3, 2, 4)):
        samples = corpus({"vpc": 100}, seed=80 + life)
        due += put_trail(life) + expected(samples, auto=True)
        site.put(samples)
        collector.start(Launch("flows", processes=size))
        settle(collector, rsyslog, [site], due.total(), _TIMEOUT)
        collector.drain()
    arrived = rsyslog.events()
    figures(f"3, 2 and 4 processes on one state: {verdict(due, arrived)}")
    assert verdict(due, arrived).exactly_once, first_difference(due, arrived)


@pytest.mark.slow
def test_h22_one_process_is_restarted_while_the_others_go_on(cluster, rsyslog):
    """SIGTERM to one of three: it delivers what it holds and ends, the cluster begins again, 0 lost."""
    collector, site = cluster
    collector.start()
    first = corpus({"vpc": 100}, seed=95)
    site.put(first)
    settle(collector, rsyslog, [site], expected(first, auto=True).total(), _TIMEOUT)
    old = members(collector.children[0].pid)
    os.kill(old[1], signal.SIGTERM)
    more = corpus({"vpc": 100}, seed=96)
    site.put(more)
    due = expected([*first, *more], auto=True)
    settle(collector, rsyslog, [site], due.total(), _TIMEOUT)
    wait_until(lambda: renewed(collector, old), 120, "a new cluster")
    last = corpus({"vpc": 20}, seed=97)
    site.put(last)
    due += expected(last, auto=True)
    settle(collector, rsyslog, [site], due.total(), _TIMEOUT)
    collector.drain()
    assert verdict(due, rsyslog.events()).lost == 0
