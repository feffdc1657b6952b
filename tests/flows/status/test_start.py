"""Where the status port is, what it knows from the start, and the statistics that are told without it."""

import socket
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml

from flows.catalogue.services import units
from flows.config.load import SettingsError, load
from flows.demo.configuration import configuration
from flows.demo.receiver import Certificates
from flows.process.runtime import Launch
from flows.status.start import address, places, serve, tell_statistics
from sinks.devo import Process
from sources import metric_scopes as events
from sources.metric_scopes import MetricScope, ScopeOwner
from tests.fakes.process import HOST
from tests.flows.status.acting import watch

ALONE = Launch(Process(), 1, None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3030", ("127.0.0.1", 3030)),
        (":3030", ("127.0.0.1", 3030)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("0.0.0.0:3030", ("0.0.0.0", 3030)),  # noqa: S104 - an address to be parsed
        ("localhost:3030", ("localhost", 3030)),
        ("[::1]:3030", ("::1", 3030)),
    ],
)
def test_addresses(text, found):
    """A port alone is loopback's; everybody is reached only when it is said."""
    assert address(text, ALONE) == found


@pytest.mark.parametrize(
    "text", ["", "x", "1.2.3.4", "host.example:80", "127.0.0.1:70000", "127.0.0.1:-1", "::"]
)
def test_addresses_that_cannot_be(text):
    """What is no address and port is a configuration error that says how to write one."""
    with pytest.raises(SettingsError, match="write an address of this machine and a port"):
        address(text, ALONE)


@pytest.mark.parametrize(
    ("hosts", "ports"),
    [
        (["127.0.0.1", "127.0.0.1", "127.0.0.1"], [3030, 3031, 3032]),
        (["pod-0.collector", "pod-1.collector"], [3030, 3030]),
        (["a", "b", "a", "b"], [3030, 3030, 3031, 3031]),
    ],
)
def test_processes_on_one_machine_have_ports_of_their_own(hosts, ports):
    """Processes that share a host take following ports; pods of a cluster all keep the same one."""
    addresses = tuple(f"{host}:{7000 + number}" for number, host in enumerate(hosts))
    found = [
        address("0.0.0.0:3030", Launch(Process(number, len(hosts)), 1, None, addresses))[1]
        for number in range(len(hosts))
    ]
    assert found == ports


def test_places_are_known_before_anything_happens(tmp_path):
    """Each service of the demo is one place in its region, with its input and its configuration key."""
    files = [tmp_path / name for name in ("chain", "server", "cert", "key")]
    for file in files:
        file.touch()
    path = Path(tmp_path) / "config.yaml"
    path.write_text(yaml.safe_dump(configuration(4433, Certificates(*files), 1e9)))
    found = places(units(load(path)))
    assert len(found) == 10
    assert MetricScope("flowlogs", "aws", "non-cloudwatch-logs", "us-east-1") in found
    assert MetricScope("logs", "aws", "application-logs", "us-east-1") in found


def test_a_port_that_is_taken_ends_nothing(caplog):
    """When somebody else listens there it is told with a hint, and the collector goes on."""
    with socket.create_server((HOST, 0)) as taken:
        assert serve(watch(), HOST, taken.getsockname()[1], [], threading.Event(), {}) is None
    assert "status_unavailable" in caplog.text
    assert "choose a free port" in caplog.text


def test_statistics_are_told_for_each_place(caplog):
    """One line for each place and period in Devo's terms; at the drain the rest, and nothing twice."""
    caplog.set_level("INFO", "collector")
    owner = ScopeOwner("told", "s")
    here = events.place("statistics-test", owner, "eu-west-1")
    for _ in range(3):
        events.asked(here)
    events.repeated(here, 2)
    drain = threading.Event()
    drain.set()
    tell_statistics(drain)
    mine = [one.fields for one in caplog.records if getattr(one, "fields", {}).get("input") == "told"]
    assert len(mine) == 1
    figures = {
        name: mine[0][name] for name in ("service", "region", "requests", "received", "repeated", "sent")
    }
    assert figures == {
        "service": "statistics-test",
        "region": "eu-west-1",
        "requests": 3,
        "received": 2,
        "repeated": 2,
        "sent": 0,
    }


def test_statistics_tell_what_has_come_since(caplog):
    """Each period counts from the one before it, and a quiet one is not told."""
    caplog.set_level("INFO", "collector")
    here = events.place("statistics-test", ScopeOwner("since", "s"), "eu-west-1")
    drain, periods = Mock(), []

    def wait(_seconds):
        periods.append(None)
        if len(periods) != 2:
            events.asked(here)
        return len(periods) == 3

    drain.wait = wait
    events.asked(here)
    tell_statistics(drain)
    mine = [one.fields for one in caplog.records if getattr(one, "fields", {}).get("input") == "since"]
    assert [one["requests"] for one in mine] == [2, 1]
