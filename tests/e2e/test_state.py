"""One state over many lives: any number of processes, regions and services that come and go."""

from contextlib import contextmanager

import pytest

from tests.fakes.collector import (
    SERVICES,
    Collector,
    Launch,
    Site,
    configuration,
    first_difference,
    output,
    services,
    settle,
    verdict,
)
from tests.fakes.corpus import FULL, corpus, expected

OTHER_REGION = "eu-west-1"
_TIMEOUT = 45.0
_VISIBILITY_SECONDS = 6


def life(number):
    """Return the objects of one life of a collector."""
    return corpus({kind: max(1, count // 20) for kind, count in FULL.items()}, seed=number)


def check(receiver, samples):
    """Every line of these objects has arrived exactly once."""
    due, arrived = expected(samples, auto=True), receiver.events()
    assert verdict(due, arrived).exactly_once, first_difference(due, arrived)


@contextmanager
def started(collector: Collector, launch: Launch):
    """Run one life; it is killed if the test fails within."""
    try:
        yield collector.start(launch)
    finally:
        collector.kill()


@pytest.mark.parametrize(
    "lives",
    [
        tuple(Launch("bytewax", processes=size) for size in (2, 1, 3)),
        (Launch("flows"), Launch("bytewax", processes=2), Launch("flows")),
        pytest.param((Launch("flows", 2), Launch("flows"), Launch("bytewax")), marks=pytest.mark.full),
    ],
    ids=lambda lives: "-".join(map(str, lives)),
)
def test_h22_a_state_resumes_in_any_number_of_processes(stage, rsyslog, lives):
    """Objects of each life arrive once, whatever and how many processes wrote the state before."""
    site = stage.site()
    settings = configuration(services([site], auto=True), output(rsyslog.port, stage.certs), stage.folder)
    collector = stage.collector(settings)
    sent = []
    for number, launch in enumerate(lives):
        with started(collector, launch):
            sent += life(number)
            site.put(life(number))
            settle(collector, rsyslog, [site], expected(sent, auto=True).total(), _TIMEOUT)
            collector.drain()
    check(rsyslog, sent)


@pytest.mark.full
def test_h22_a_killed_cluster_resumes_in_one_process(stage, rsyslog):
    """What two killed processes held comes back and is delivered by one: nothing is lost."""
    site = stage.site(visibility=_VISIBILITY_SECONDS)
    chosen = services([site], auto=True, visibility_timeout_seconds=_VISIBILITY_SECONDS)
    settings = configuration(chosen, output(rsyslog.port, stage.certs), stage.folder)
    collector = stage.collector(settings)
    sent = corpus({kind: count // 8 for kind, count in FULL.items()}, seed=9)
    site.put(sent)
    with started(collector, Launch("bytewax", processes=2)):
        rsyslog.wait_for(1, _TIMEOUT)
    due = expected(sent, auto=True)
    with started(collector, Launch("bytewax")):
        settle(collector, rsyslog, [site], due.total(), _TIMEOUT)
        collector.drain()
    assert verdict(due, rsyslog.events()).lost == 0


def test_h22_regions_and_services_come_and_go(stage, rsyslog):
    """A region or a service that is removed, and added again later, disturbs no other; it goes on itself."""
    sites = [stage.site()]
    sites.append(Site(stage.aws, renamed(sites[0]), region=OTHER_REGION))
    fewer = [name for name in SERVICES if name != "flowlogs"]
    lives = (
        (sites, SERVICES, Launch("bytewax", processes=2)),
        (sites[:1], SERVICES, Launch("bytewax")),
        (sites[:1], fewer, Launch("bytewax", processes=2)),
        (sites, SERVICES, Launch("bytewax", workers=2)),
    )
    outputs = output(rsyslog.port, stage.certs)
    collector = stage.collector({})
    sent = []
    for number, (regions, kinds, launch) in enumerate(lives):
        collector.configure(configuration(services(regions, auto=True, only=kinds), outputs, stage.folder))
        for place, site in enumerate(regions):
            fresh = [one for one in life(10 * number + place) if one.service in kinds]
            site.put(fresh)
            sent += fresh
        with started(collector, launch):
            settle(collector, rsyslog, regions, expected(sent, auto=True).total(), _TIMEOUT)
            collector.drain()
    check(rsyslog, sent)


def renamed(site):
    """Return a maker of the names that a site's queues have, for another region."""
    names = iter(queue.name for queue in site.queues.values())
    return lambda _: next(names)
