"""What systemd is told with Type=notify."""

import re

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
    assert service_manager.beats(str) is None


def test_beats_stop_while_it_is_not_well(monkeypatch):
    """The watchdog hears a process that is well, and not one that hangs."""
    looks, done = ["", "it hangs", ""], []

    class EndedError(Exception):
        pass

    def pause():
        done.append("pause")
        if not looks:
            raise EndedError

    monkeypatch.setattr(service_manager, "notify", done.append)
    with pytest.raises(EndedError):
        service_manager.beat(lambda: looks.pop(0), pause)
    assert done == ["WATCHDOG=1", "pause", "pause", "WATCHDOG=1", "pause"]
