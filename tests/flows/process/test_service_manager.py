"""What systemd is told with Type=notify."""

import re
import threading

import pytest

from flows.process import service_manager
from tests.fakes.notify import NotifySocket


@pytest.mark.parametrize("abstract", [True, False])
def test_assignments_are_one_message(tmp_path, monkeypatch, abstract):
    """A socket of the abstract namespace or of the file system hears them, a line each."""
    monkeypatch.chdir(tmp_path)
    with NotifySocket(None if abstract else tmp_path.relative_to(tmp_path)) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        service_manager.reloading()
        service_manager.notify(service_manager.READY)
        manager.await_told("RELOADING=1", "READY=1")
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", manager.heard[0])


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody-listens"])
def test_without_a_manager_nothing_is_sent(monkeypatch, address):
    """Where no manager listens the process goes on all the same."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    service_manager.notify(service_manager.READY)


def test_processes_of_a_supervisor_are_not_the_main_one(monkeypatch):
    """Only the process that systemd started tells; it would not hear the others."""
    with NotifySocket() as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        monkeypatch.setenv("COLLECTOR_SUPERVISOR", "1")
        service_manager.notify(service_manager.STOPPING)
        monkeypatch.delenv("COLLECTOR_SUPERVISOR")
        service_manager.notify(service_manager.READY)
        manager.await_told("READY=1")


@pytest.mark.parametrize(("usec", "process"), [("", ""), ("0", ""), ("x", ""), ("1000000", "1")])
def test_nobody_asked_for_beats(monkeypatch, usec, process):
    """Without a period, or with another process meant, no thread is there."""
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", process)
    before = threading.active_count()
    service_manager.Beats()
    assert threading.active_count() == before


def test_beats_stop_while_it_is_not_well(monkeypatch):
    """The watchdog hears a process that begins, for some minutes, and one that is well; none that hangs."""
    told, now, unwell = [], [0.0], [""]
    monkeypatch.setattr(service_manager, "notify", lambda *assignments: told.append(assignments))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)

    def heard(beats):
        told.clear()
        beats.beat()
        return [one for assignments in told for one in assignments]

    hangs = service_manager.Beats(lambda: now[0])
    begins = service_manager.Beats(lambda: now[0])
    now[0] = service_manager.BEGIN_SECONDS - 1
    assert heard(begins) == ["WATCHDOG=1", "EXTEND_TIMEOUT_USEC=0"]
    begins.begun(lambda: unwell[0])
    assert told[-1] == ("READY=1",)
    now[0] += 2
    assert heard(hangs) == []
    assert heard(begins) == ["WATCHDOG=1"]
    unwell[0] = "the dataflow has not turned"
    assert heard(begins) == []
