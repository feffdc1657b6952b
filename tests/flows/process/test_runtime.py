"""A process knows its place in the cluster by the same rules as bytewax."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.process.runtime import drain_on_signals, launch, log_to_stderr
from sources.errors import Denied
from transforms.telemetry import say

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("argv", "env", "expected"),
    [
        ([], {}, (0, 1, 1, None)),
        (["flows.aws", "-w", "2"], {}, (0, 1, 2, None)),
        (["flows.aws", "-w2"], {}, (0, 1, 2, None)),
        (["flows.aws", "--workers-per-process=3"], {}, (0, 1, 3, None)),
        (["flows.aws", "-i", "1", "-a", "h:1;h:2;h:3"], {}, (1, 3, 1, None)),
        (["flows.aws", "--process-id=2", "--addresses=h:1;h:2;h:3"], {}, (2, 3, 1, None)),
        (["flows.aws", "-r", "state"], {}, (0, 1, 1, Path("state"))),
        ([], {"BYTEWAX_PROCESS_ID": "1", "BYTEWAX_ADDRESSES": "h:1;h:2"}, (1, 2, 1, None)),
        (["-i", "0"], {"BYTEWAX_PROCESS_ID": "1", "BYTEWAX_ADDRESSES": "h:1;h:2"}, (0, 2, 1, None)),
        ([], {"BYTEWAX_WORKERS_PER_PROCESS": "4", "BYTEWAX_RECOVERY_DIRECTORY": "/s"}, (0, 1, 4, Path("/s"))),
    ],
)
def test_launch_reads_what_bytewax_reads(argv, env, expected):
    """Process id, count, workers and recovery come from options first, then from the environment."""
    got = launch(argv, env)
    assert (got.process.index, got.process.count, got.workers, got.recovery) == expected


@pytest.mark.parametrize(
    ("argv", "env", "interval"),
    [
        ([], {}, 10.0),
        (["-s", "3"], {}, 3.0),
        (["-s3"], {"BYTEWAX_SNAPSHOT_INTERVAL": "7"}, 3.0),
        (["--snapshot-interval=5"], {}, 5.0),
        (["run", "--state", "s"], {"BYTEWAX_SNAPSHOT_INTERVAL": "1.5"}, 1.5),
    ],
)
def test_launch_reads_the_interval_of_epochs(argv, env, interval):
    """Sources end their epochs in step by it; without an option it is bytewax's ten seconds."""
    assert launch(argv, env).interval == interval


def test_launch_in_a_stateful_set(tmp_path):
    """In Kubernetes the pod's name gives the process id and a file gives the addresses."""
    hosts = tmp_path / "hosts"
    hosts.write_text("pod-0:9999\npod-1:9999\n\n")
    env = {
        "BYTEWAX_POD_NAME": "collector-1",
        "BYTEWAX_STATEFULSET_NAME": "collector",
        "BYTEWAX_HOSTFILE_PATH": str(hosts),
    }
    got = launch([], env)
    assert (got.process.index, got.process.count) == (1, 2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_drain_flag(number):
    """SIGTERM and SIGINT ask for a drain; the process goes on to deliver what it holds."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        drain = drain_on_signals()
        assert not drain.is_set()
        os.kill(os.getpid(), number)
        assert drain.wait(120)
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])


_TWICE = """
import os, signal
from flows.process.runtime import drain_on_signals

drain = drain_on_signals()
with drain._cond:  # held by whoever sets or waits for the flag, as a second signal finds it
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
raise SystemExit(not drain.wait(120))
"""


def test_signals_wait_for_no_lock():
    """Two signals of one moment, the second inside of the first's handler: the drain begins, none hangs."""
    assert subprocess.run([sys.executable, "-c", _TWICE], cwd=ROOT, timeout=300, check=False).returncode == 0


def test_named_events_are_one_line_of_text(capsys):
    """A person reads time, level, event and its fields in one line."""
    log_to_stderr(as_json=False)
    say(logging.INFO, "object_collected", service="flowlogs", events=3)
    line = capsys.readouterr().err
    assert line.endswith("INFO    object_collected service=flowlogs events=3\n")


def test_named_events_are_json_on_request(capsys):
    """A log pipeline gets one JSON object per line, fields by name."""
    log_to_stderr(as_json=True)
    say(logging.WARNING, "object_missing", key='a "b"')
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["key"]) == ("object_missing", "warning", 'a "b"')


FORGED = "x\n2026-01-01T00:00:00Z INFO all_is_well\x1b[2J\u202e\ud800 día"


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("holds", [str, lambda text: Denied("no", text, "allow it"), lambda text: [text]])
def test_r13_a9_nothing_forges_or_loses_a_line(capsys, as_json, holds):
    """Whatever a key, a header or a body holds is one line, escaped; letters of any script stay."""
    log_to_stderr(as_json=as_json)
    say(logging.WARNING, "tried", object=holds(FORGED))
    (line,) = capsys.readouterr().err.splitlines()
    assert "día" in line
    assert line.isprintable()
    assert "ud800" in line
    if as_json:
        assert json.loads(line)["event"] == "tried"


@pytest.mark.parametrize(("as_json", "shown"), [(False, "INFO    [2] drained\n"), (True, '"process":2')])
def test_a_member_of_a_cluster_says_which_it_is(capsys, monkeypatch, as_json, shown):
    """Lines of several processes in one log tell whose they are."""
    monkeypatch.setenv("BYTEWAX_ADDRESSES", "a:1;b:1;c:1")
    monkeypatch.setenv("BYTEWAX_PROCESS_ID", "2")
    log_to_stderr(as_json=as_json)
    say(logging.INFO, "drained")
    assert shown in capsys.readouterr().err


def test_debug_events_are_shown_on_request(capsys, monkeypatch):
    """`--debug` reaches every process of a cluster by its environment."""
    monkeypatch.setenv("COLLECTOR_DEBUG", "1")
    log_to_stderr()
    say(logging.DEBUG, "object_collected")
    assert "DEBUG   object_collected" in capsys.readouterr().err


ALONE = """
import os, signal, time
from flows.process.runtime import drain_on_signals, log_to_stderr
log_to_stderr()
drain = drain_on_signals(alone=0.1)
os.kill(os.getpid(), signal.SIGTERM)
assert drain.wait(120)
time.sleep({rest})
"""


@pytest.mark.parametrize(
    ("addresses", "rest", "code", "said"), [("a:1;b:1", 60, 1, True), ("", 0.5, 0, False)]
)
def test_a_member_that_drains_alone_ends_by_itself(addresses, rest, code, said):
    """In a cluster that goes on it would wait for ever, its cursors at rest; alone it may take its time."""
    env = {**os.environ, "BYTEWAX_ADDRESSES": addresses, "BYTEWAX_PROCESS_ID": "1"}
    command = [sys.executable, "-c", ALONE.format(rest=rest)]
    ended = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, timeout=300, check=False)
    assert ended.returncode == code, ended.stderr
    assert (b"drained_alone" in ended.stderr) == bool(code)
