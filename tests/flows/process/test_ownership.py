"""A state and a set of cursors have one owner, and a second one is told who."""

import fcntl
import os
import subprocess
import sys
import threading
import time

import orjson
import pytest
import yaml

from flows.catalogue.service import queued
from flows.catalogue.services import units
from flows.config.load import load
from flows.process import ownership
from flows.process.ownership import OwnedError, hold, hold_cursors
from sources.aws.account import Account
from sources.aws.credentials import Credentials
from sources.aws.limiter import own_folder
from tests.fakes.collector import ROOT, configuration

HOLDS = """
import sys
from pathlib import Path
from flows.catalogue.services import units
from flows.config.load import load
from flows.process.ownership import hold_cursors
hold_cursors(units(load(Path(sys.argv[1]))))
print("held", flush=True)
input()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Keep locks apart from those of other tests and collectors."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(ownership, "_HELD", {})
    monkeypatch.setattr(ownership, "own_folder", own_folder)
    return tmp_path


def config(folder, **more):
    path = folder / f"config-{len(list(folder.glob('config-*')))}.yaml"
    queue = {"cisco_umbrella_sqs_queue_name": "none", "regions": ["us-east-1"]}
    asked = {"aws-guardduty": {"regions": ["us-east-1"], **more}, "cisco-umbrella": queue}
    path.write_text(yaml.safe_dump(configuration(asked, {"c": {"type": "console"}}, folder)))
    return path


@pytest.fixture
def other(folder):
    """Start a process that holds the cursors of a configuration."""
    path = config(folder)
    command = [sys.executable, "-c", HOLDS, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process, path
        if process.poll() is None:
            process.communicate("\n")


def test_s10_a_second_owner_of_cursors_is_refused(folder, other):
    """The same cursors are one process's; queues, other cursors, and the next owner are not concerned."""
    process, path = other
    running = units(load(path))
    hold_cursors([unit for unit in running if queued(unit)])
    hold_cursors(running, "another output")  # a second collector on trial, which sends elsewhere
    hold_cursors(units(load(config(folder, tag="my.app.x"))))
    with pytest.raises(OwnedError, match=rf"cursors of .* in use by process {process.pid} on .*--only"):
        hold_cursors(running)
    process.communicate("\n")
    hold_cursors(running)
    hold_cursors(running)  # its own


@pytest.mark.parametrize("alive", [True, False])
def test_s10_another_machines_state(folder, monkeypatch, alive):
    """Where a lock is not seen from another machine, a note that goes on is; one that stands still is not."""
    monkeypatch.setattr(ownership, "LOOK_SECONDS", 0.4)
    path = folder / ".lock"
    beats = iter(range(1000))

    def note():
        told = {"pid": 7, "host": "far", "machine": "other", "beat": next(beats) if alive else 0}
        path.write_bytes(orjson.dumps(told))

    note()
    path.chmod(0o600)
    pause, here = time.sleep, threading.get_ident()

    def sleep(seconds):
        note() if threading.get_ident() == here else pause(seconds)  # other threads of the suite sleep too

    monkeypatch.setattr("flows.process.ownership.time.sleep", sleep)
    if alive:
        with pytest.raises(OwnedError, match="in use by process 7 on far, another machine"):
            hold(path, "it is", "stop it")
    else:
        monkeypatch.setattr("flows.process.ownership.threading.Thread.start", lambda _self: None)
        hold(path, "it is", "stop it")
        assert orjson.loads(path.read_bytes())["pid"] == os.getpid()


def test_a_note_of_an_earlier_boot_is_not_waited_for(folder, monkeypatch):
    """The folder of cursors is this machine's own: after a power cut no service waits 45 s."""
    path = config(folder)
    running = units(load(path))
    hold_cursors(running)
    for opened in ownership._HELD.values():
        os.pwrite(opened, orjson.dumps({"pid": 1, "host": "h", "machine": "before", "beat": 3}) + b"\n", 0)
        fcntl.flock(opened, fcntl.LOCK_UN)
    ownership._HELD.clear()
    monkeypatch.setattr(ownership, "_goes_on", lambda *_: pytest.fail("it was waited for"))
    hold_cursors(running)


KEYS = ("AKIA1", "AKIA2")


def test_keys_of_two_accounts_are_two_cursors(folder):
    """The same settings with the keys of another account are no second owner."""
    fingerprints = {
        Account("prod", Credentials(access_key=key, access_secret="s")).fingerprint
        for key in ("AKIA1", "AKIA2")
    }
    assert len(fingerprints) == 2
    assert not any("AKIA" in one for one in fingerprints)
