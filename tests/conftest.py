"""Fixtures that start real parts: an embedded AWS, receivers, and names of one's own within them."""

import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import pytest
from hypothesis import HealthCheck, settings

from flows.process import ownership
from flows.status import start
from sources import telemetry
from sources.error_deduplicator import ErrorDeduplicator
from tests.fakes import lock_watch
from tests.fakes.certs import Certs, make_certs
from tests.fakes.collector import Stage, leaking_logs
from tests.fakes.ministack import Ministack
from tests.fakes.receivers import KINDS, Receiver, running
from tests.fakes.strict import STRICT, StrictMinistack

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")  # time is never asserted: a busy machine is no failure

lock_watch.watch()  # each touch of a guarded field without its lock fails the test

_numbers = count(1)
_FIGURES = "figures"


@pytest.fixture(scope="module", autouse=True)
def _nothing_served() -> Iterator[None]:
    """Let no module find the clock, the plan or the state that an earlier one left in the served APIs."""
    yield
    if "tests.fakes.fake_aws.server" in sys.modules:  # moto is slow to import
        sys.modules["tests.fakes.fake_aws.server"].reset()


@pytest.fixture(scope="session", autouse=True)
def _no_statistics_of_others() -> None:
    """Let no thread of a dataflow that an earlier test has built log its statistics into a later test."""
    start.tell_statistics.__defaults__ = (start.STATISTICS_SECONDS * 1000,)


@pytest.fixture(scope="session", autouse=True)
def _cursors_of_this_worker(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let no other worker of the suite own the cursors of a dataflow that is built in this process."""
    folder = tmp_path_factory.mktemp("cursors")
    ownership.own_folder = lambda: folder


@pytest.fixture(autouse=True)
def _log_as_found() -> Iterator[None]:
    """Give the collector's log back as it was: a command that ran in this process has set it up."""
    logger = logging.getLogger("collector")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture(autouse=True)
def _locks_are_held() -> Iterator[None]:
    """Fail where a field was touched without the lock that guards it, also if somebody caught that."""
    lock_watch.UNGUARDED.clear()
    yield
    assert lock_watch.UNGUARDED == []


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test hear what is told once."""
    monkeypatch.setattr(telemetry, "CAUSES", ErrorDeduplicator())


@pytest.fixture(autouse=True)
def _no_secret_in_logs() -> Iterator[None]:
    """Look for the keys of every collector that a test has started in the collector's log."""
    yield
    assert not leaking_logs()


@pytest.fixture(scope="session")
def aws() -> Iterator[Ministack]:
    """Return one embedded AWS for the whole session, a strict one on demand; take names from `unique`."""
    with StrictMinistack() if STRICT else Ministack() as started:
        yield started


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Return a maker of names (buckets, queues) that no other test uses: `unique("flow")` → `flow-17`."""
    return lambda name: f"{name}-{next(_numbers)}"


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    """Return one authority's server and client certificates."""
    return make_certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(params=KINDS)
def receiver(request: pytest.FixtureRequest, tmp_path, certs: Certs) -> Iterator[Receiver]:
    """Return a real receiver with mutual TLS; the test runs once with each kind."""
    yield from running(request.param, tmp_path / "receiver", certs)


@pytest.fixture
def rsyslog(tmp_path, certs: Certs) -> Iterator[Receiver]:
    """Return rsyslog with mutual TLS."""
    yield from running("rsyslog", tmp_path / "rsyslog", certs)


@pytest.fixture
def syslog_ng(tmp_path, certs: Certs) -> Iterator[Receiver]:
    """Return syslog-ng with mutual TLS."""
    yield from running("syslog-ng", tmp_path / "syslog-ng", certs)


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that shows lines of figures on the terminal when the test has ended."""
    return partial(record_property, _FIGURES)


class _Shown:
    """Prints each test's figures where the terminal is: a test's own process may have none."""

    def __init__(self, config: pytest.Config) -> None:
        self._plugins = config.pluginmanager

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._plugins.get_plugin("terminalreporter")
        if terminal and report.when == "call":
            for name, text in report.user_properties:
                if name == _FIGURES:
                    terminal.write(f"\n{text}\n")


def pytest_configure(config: pytest.Config) -> None:
    """Let figures be shown."""
    config.pluginmanager.register(_Shown(config))


@pytest.fixture
def stage(aws, unique, certs, tmp_path) -> Stage:
    """Return what an end-to-end test plays on."""
    return Stage(aws, unique, certs, tmp_path)
