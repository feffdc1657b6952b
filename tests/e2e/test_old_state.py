"""A state that an older release left behind goes on in this one: nothing lost, nothing sent again."""

import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections import Counter

import pytest

from tests.e2e.make_state import checked_out
from tests.e2e.oldworld import COMMIT, FACTS, OBJECTS, STORED, api_name, large, put_api_events, world
from tests.fakes.collector import ROOT, Launch, wait_while_moving
from tests.fakes.corpus import Sample
from tests.fakes.strict import STRICT

_STALL = 60.0


def api_events(receiver) -> set[str]:
    """Return the names of the events of APIs that have arrived."""
    return {name for line in receiver.tail().lines() if (name := api_name(line))}


@pytest.mark.skipif(STRICT, reason="the old state is of a bucket without versions")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "launch", [Launch("bytewax", processes=2), Launch("bytewax"), Launch("flows")], ids=str
)
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


@pytest.mark.full
@pytest.mark.skipif(STRICT, reason="the old state is of a bucket without versions")
@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="no history here")
@pytest.mark.timeout(600)
def test_the_guides_way_back(aws, rsyslog, certs, tmp_path):
    """A copy made before an upgrade takes the older release back, and nothing is lost on the way."""
    with world(aws) as old:
        state, kept = tmp_path / "collector/state", tmp_path / "before"
        with tarfile.open(STORED) as packed:
            packed.extractall(state, filter="data")
        state.chmod(0o700)
        command = [sys.executable, "-m", "flows", "state", "--state"]
        archive = tmp_path / "before.tar.gz"
        subprocess.run([*command, state, "backup", archive], cwd=ROOT, check=True)
        base = json.loads((state / FACTS).read_text())["base"]
        due = set(put_api_events("old", base)) | set(put_api_events("new", int(time.time()) - 1))
        collector = old.collector(tmp_path, rsyslog.port, certs, base)
        objects = {service: large(service) for service in OBJECTS}
        partial = json.loads((state / FACTS).read_text())["partial"]
        old.site.put(objects.values())
        lines = Counter(
            (event.tag_on, event.line)
            for sample in objects.values()
            for event in sample.expected[partial[sample.key] :]
        )

        def arrived(names: set[str]) -> bool:
            return rsyslog.size() >= lines.total() and not old.waiting() and api_events(rsyslog) >= names

        try:
            fresh = {name for name in due if "new" in name}
            collector.start(Launch("bytewax"))
            wait_while_moving(collector, lambda: arrived(fresh), lambda: f"{rsyslog.size()} lines", _STALL)
            collector.drain()
            state.rename(kept)
            subprocess.run([*command, state, "restore", archive], cwd=ROOT, check=True)
            collector.environment["PYTHONPATH"] = str(checked_out(COMMIT, tmp_path / "release"))
            more = set(put_api_events("back", int(time.time()) - 1))
            extra = large("flowlogs")
            old.site.put([Sample(extra.service, f"back/{extra.key}", extra.body, extra.expected)])
            collector.start(Launch("bytewax"))
            total = rsyslog.size() + len(extra.expected)
            wait_while_moving(
                collector,
                lambda: rsyslog.size() >= total and arrived(fresh | more),
                lambda: f"{rsyslog.size()} of {total} lines",
                _STALL,
            )
            collector.drain()
        finally:
            collector.kill()
    rsyslog.stop()
    found = Counter((line.tag, line.message) for line in rsyslog.tail().lines() if not api_name(line))
    back = Counter((event.tag_on, event.line) for event in extra.expected)
    assert (lines + back - found).total() == 0
