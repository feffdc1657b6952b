"""A state that an older release left behind goes on in this one: nothing lost, nothing sent again."""

import json
import tarfile
import time
from collections import Counter

import pytest

from tests.e2e.oldworld import FACTS, OBJECTS, STORED, api_name, large, put_api_events, world
from tests.fakes.collector import Launch, wait_while_moving
from tests.fakes.strict import STRICT

_STALL = 60.0


def api_events(receiver) -> set[str]:
    """Return the names of the events of APIs that have arrived."""
    return {name for line in receiver.tail().lines() if (name := api_name(line))}


@pytest.mark.skipif(STRICT, reason="the old state is of a bucket without versions")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("launch", [Launch("bytewax", processes=2), Launch("bytewax")], ids=str)
def test_state_of_the_release_before_resumes(aws, rsyslog, certs, tmp_path, launch):
    """Objects go on behind the record that was snapshotted, cursors behind the last event; 0 lost.

    In a cluster a message may come to the process that has not its lane's state: that object begins anew.
    """
    with world(aws) as old:
        state = tmp_path / "collector/state"
        with tarfile.open(STORED) as packed:
            packed.extractall(state, filter="data")
        facts = json.loads((state / FACTS).read_text())
        collector = old.collector(tmp_path, rsyslog.port, certs, facts["base"])
        put_api_events("old", facts["base"])
        fresh = put_api_events("new", int(time.time()) - 1)
        objects = [large(service) for service in OBJECTS]
        old.site.put(objects)
        due = Counter(
            (event.tag_on, event.line)
            for sample in objects
            for event in sample.expected[facts["partial"][sample.key] :]
        )
        total = due.total() + len(fresh)
        try:
            collector.start(launch)
            wait_while_moving(
                collector,
                lambda: rsyslog.size() >= total and not old.waiting() and api_events(rsyslog) >= set(fresh),
                lambda: f"{rsyslog.size()} of {total} lines, {old.waiting()} messages",
                _STALL,
            )
            collector.drain()
        finally:
            collector.kill()
    rsyslog.stop()
    lines = list(rsyslog.tail().lines())
    names = Counter(name for line in lines if (name := api_name(line)))
    assert names == Counter(fresh)
    arrived = Counter((line.tag, line.message) for line in lines if not api_name(line))
    assert (due - arrived).total() == 0
    again = arrived - due
    if launch.processes == 1:
        assert again.total() == 0
    assert (
        again - Counter((event.tag_on, event.line) for one in objects for event in one.expected) == Counter()
    )
