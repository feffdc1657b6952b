"""SIGHUP and a process that goes on with another file."""

import signal
import sys

import pytest

from tests.fakes.collector import ROOT
from tests.fakes.notify import NotifySocket
from tests.fakes.process import Child, wait_until

LIFE = """
import os, sys, time
from pathlib import Path
from flows.config.held import bytes_held
from flows.config.load import SettingsError
from flows.process.reload import Reload
from flows.process.runtime import drain_on_signals, log_to_stderr

config = Path(sys.argv[1])
text = lambda: bytes_held(config, 100).decode()

def validate():
    if text() == "wrong":
        raise SettingsError("it is wrong", str(config), "mend it")

def run():
    validate()
    while text() == "begins slowly":
        time.sleep(0.05)
    if text() == "cannot begin":
        raise SettingsError("it cannot begin", str(config), "mend it")
    drain = drain_on_signals()
    reload.listen(drain)
    mine = text()
    with open(sys.argv[2], "a") as told:
        told.write(f"{os.getpid()} {mine}\\n")
    drain.wait()
    if mine == "cannot end":
        raise SettingsError("it cannot be delivered", "devo", "wait")
    return 0

log_to_stderr()
reload = Reload(config, validate)
raise SystemExit(reload.life(run))
"""


class Life:
    def __init__(self, folder, text, **environment):
        self.config, self.told = folder / "config.yaml", folder / "told"
        self.script = folder / "life.py"
        self.script.write_text(LIFE)
        self.config.write_text(text)
        command = [sys.executable, str(self.script), str(self.config), str(self.told)]
        self.child = Child(command, folder / "log", {"PYTHONPATH": str(ROOT), **environment}, folder)

    def lives(self):
        """Return the texts of all lives so far; each had the same process id."""
        lines = self.told.read_text().splitlines() if self.told.exists() else []
        assert {line.split(" ")[0] for line in lines} <= {str(self.child.pid)}
        return [line.partition(" ")[2] for line in lines]

    def await_lives(self, *texts):
        wait_until(lambda: self.lives() == list(texts) or not self.child.alive, 60, f"lives {texts}")
        assert self.lives() == list(texts), self.child.tail()

    def reload(self, text):
        self.config.write_text(text)
        self.child.signal(signal.SIGHUP)

    def await_log(self, text):
        wait_until(lambda: text in self.child.log.read_text(), 60, text)


@pytest.fixture
def life(tmp_path):
    made = Life(tmp_path, "first")
    made.await_lives("first")
    yield made
    made.child.kill()


def test_a_right_file_is_the_next_life_of_the_same_process(life):
    """It goes on with the new one; SIGTERM ends it with 0."""
    life.reload("second")
    life.await_lives("first", "second")
    life.child.signal(signal.SIGTERM)
    assert life.child.wait(60) == 0


def test_a_wrong_file_changes_nothing(life):
    """It is told in one line, and the process goes on; once it is right, it is taken."""
    life.reload("wrong")
    life.await_log("reload_refused error=it is wrong")
    life.config.unlink()
    life.child.signal(signal.SIGHUP)
    life.await_log("reload_refused error=configuration cannot be read")
    assert life.lives() == ["first"]
    life.reload("second")
    life.await_lives("first", "second")


def test_what_cannot_be_begun_with_is_taken_back(life):
    """A file is right in itself, but nothing can be begun with it: the former one is in force again."""
    life.reload("cannot begin")
    life.await_lives("first", "first")
    life.await_log("reload_refused error=it cannot begin")
    life.reload("second")
    life.await_lives("first", "first", "second")


def test_what_cannot_be_delivered_waits_for_the_next_life(life):
    """A drain that ends in an error ends no process: what was in hand is not acknowledged and comes again."""
    life.reload("cannot end")
    life.await_lives("first", "cannot end")
    life.reload("third")
    life.await_lives("first", "cannot end", "third")


def test_sigterm_outweighs_a_reload(life):
    """Whoever wants the process to end is not made to wait for a reload."""
    life.child.signal(signal.SIGTERM)
    life.child.signal(signal.SIGHUP)
    assert life.child.wait(60) == 0
    assert life.lives() == ["first"]


def test_systemd_follows(tmp_path):
    """It hears the start, each reload with its end, a wrong file's too, the drain, and signs of life."""
    with NotifySocket() as manager:
        life = Life(tmp_path, "first", NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="300000")
        try:
            life.await_lives("first")
            manager.await_told(*(told := ["READY=1"]))
            life.reload("wrong")
            manager.await_told(*(told := [*told, "RELOADING=1", "READY=1"]))
            life.reload("second")
            manager.await_told(*(told := [*told, "RELOADING=1", "READY=1"]))
            manager.await_beats()
            life.child.signal(signal.SIGTERM)
            assert life.child.wait(60) == 0
            manager.await_told(*told, "STOPPING=1")
        finally:
            life.child.kill()


def test_systemd_hears_of_a_life_that_begins_slowly(tmp_path):
    """Its watchdog runs on while the program is executed anew: who reads a large state then is not killed."""
    with NotifySocket() as manager:
        life = Life(tmp_path, "first", NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="300000")
        try:
            life.await_lives("first")
            life.reload("begins slowly")
            manager.await_told("READY=1", "RELOADING=1")
            extended = "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=300000"
            wait_until(lambda: manager.heard[-3:] == [extended] * 3, 60, "it beats while it begins")
            assert life.lives() == ["first"]
        finally:
            life.child.kill()
