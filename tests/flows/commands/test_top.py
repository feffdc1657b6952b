"""`python -m flows top`: what a person reads in a terminal, of figures and of a server."""

import fcntl
import io
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from http import HTTPStatus

import orjson
import pytest
from rich.console import Console

from flows.commands import top
from flows.config.load import SettingsError
from flows.status.server import Server, answer
from flows.status.view import view
from tests.fakes.collector import ROOT
from tests.flows.status.acting import trouble, watch


def told(state):
    """Return an answer of a collector with this state."""
    return orjson.dumps({**state, "view": {key: list(cell) for key, cell in view(state).items()}})


def shown(*states, height=25, width=80):
    """Return the lines of a screen; each state is one process, None one that does not answer."""
    console = Console(record=True, width=width, height=height, file=io.StringIO(), force_terminal=True)
    found = [
        top.process(f"10.0.0.{number}:3030", 200 if state else 0, told(state) if state else b"")
        for number, state in enumerate(states)
    ]
    console.print(top.screen(found, console))
    return console.export_text().splitlines()


def place_of(lines, text):
    """Return the number of the first line with a text."""
    return next(number for number, line in enumerate(lines) if text in line)


def well():
    """Return a state in which nothing is wrong."""
    state = watch().state()
    for place in state["places"]:
        place |= {"targets_failing": 0, "lag_seconds": 4, "last_error": None}
    state["quarantine"]["items"] = 0
    return state


def many(count, failing):
    """Return a state of many sources, of which these fail."""
    state = trouble(watch()).state()
    flow, logs = state["places"][0], next(one for one in state["places"] if one["last_error"])
    state["places"] = [
        {**(logs if number in failing else flow), "service": f"source-{number:04}"} for number in range(count)
    ]
    return state


def test_what_fails_is_first_with_its_cure():
    """The sentence, then outputs, then sources, those that fail before the others, with hint and code."""
    lines = shown(trouble(watch()).state())
    assert lines[0].startswith("10.0.0.0:3030  my collector")
    assert place_of(lines, "Output ") < place_of(lines, "Source ")
    assert place_of(lines, "logs ") < place_of(lines, "flowlogs ")
    text = " ".join(" ".join(lines).split())
    assert "allow logs:FilterLogEvents [api-denied]" in text
    assert "Quarantine took 2: 2 object_broken (flowlogs). See /var/quarantine." in text


def test_what_is_no_outputs_and_no_sources_is_told_with_its_cure():
    """A configuration that was refused, an identity that is absent, a journal that takes no row."""
    made = watch()
    made.event_status.hear("reload_refused", {"error": SettingsError("x is no key", "config.yaml", "drop x")})
    made.event_status.hear("journal_failed", {"error": SettingsError("disk full", "/j", "make room")})
    text = " ".join(" ".join(shown(made.state())).split())
    assert (
        "The configuration file is wrong, what was before is in force: x is no key: config.yaml: drop x"
        in text
    )
    assert "disk full: /j: make room" in text
    assert "see below" not in text


def test_rate_lag_and_strength_are_columns():
    """A row has a source's rate and lag, an output's state, strength and last receipt."""
    state = well()
    next(one for one in state["places"] if one["service"] == "flowlogs")["events_per_second"] = 3400.0
    state["outputs"][0] |= {"strength": "receipt", "receipt_seconds_ago": 3.0}
    lines = shown(state)
    flow = next(line for line in lines if line.startswith("flowlogs"))
    assert flow.split()[-4:] == ["3.4", "k", "4", "s"]
    devo = next(line for line in lines if line.startswith("devo"))
    assert "up" in devo
    assert "receipt" in devo
    assert "3 s ago" in devo
    assert not [line for line in lines if "Quarantine" in line]


def test_an_output_that_is_down_is_told_with_its_hint():
    """Of an output that takes nothing the error stands below it."""
    lines = shown(trouble(watch()).state())
    row = place_of(lines, "devo  ")
    assert "down" in lines[row]
    assert "nothing listens there: check `port`" in " ".join(" ".join(lines[row + 1 : row + 3]).split())


@pytest.mark.parametrize("width", [80, 60, 120, 21])
def test_no_line_is_wider_than_the_screen(width):
    """Whatever it has to tell, 80 columns are enough; a narrower screen cuts rows and wraps cures."""
    states = [trouble(watch()).state(), many(30, {3, 9}), None]
    assert max(map(len, shown(*states, width=width, height=100))) <= width


def test_of_1000_sources_the_first_screen():
    """The failing ones of 1,000 are in 25 lines; the others are counted."""
    lines = shown(many(1000, {997, 500}))
    assert len(lines) <= 25
    assert place_of(lines, "source-0500") < 25
    assert place_of(lines, "source-0997") < 25
    assert lines[-1].endswith("more sources, all well")


def test_failing_ones_that_do_not_fit_are_counted():
    """When more fail than fit, the last line says how many."""
    lines = shown(many(1000, set(range(700))))
    assert len(lines) <= 25
    assert "of them not well" in lines[-1]


def test_many_processes_are_folded():
    """Of 40 processes the one that does not answer is first, and of those that are well most are counted."""
    lines = shown(*[well()] * 39, None)
    assert lines[0].startswith("10.0.0.39:3030  does not answer")
    assert "COLLECTOR_STATUS" in " ".join(lines[1:3])
    assert any("more processes, all well" in line for line in lines)
    assert len(lines) <= 25


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (0, b"", "does not answer"),
        (503, b"", "answers with status 503"),
        (421, b"", "answers with status 421"),
        (200, b"<html>", "is no collector of this release"),
        (200, b"[]", "is no collector of this release"),
        (200, b'{"health": 1, "view": {}}', "is no collector of this release"),
    ],
)
def test_what_is_no_answer_of_a_collector_is_not_ready(status, body, what):
    """A stranger on the port, and silence, are told with what to look for."""
    found = top.process("h:1", status, body)
    assert not found.ready
    assert what in found.head.parts[0][0]
    assert found.head.cure


def test_nothing_that_is_shown_reaches_the_terminal_as_a_command():
    """Escape sequences in what AWS says become blanks."""
    state = many(2, {0})
    state["places"][0]["last_error"]["where"] = "\x1b]0;owned\x07\x9b31m\u202e"
    text = "\n".join(shown(state))
    assert "owned" in text
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(text)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("3030", ("127.0.0.1", 3030)),
        (":3031", ("127.0.0.1", 3031)),
        ("0.0.0.0:3030", ("127.0.0.1", 3030)),
        ("collector-1", ("collector-1", 3030)),
        ("[::1]:3032", ("::1", 3032)),
        ("http://10.0.0.1:3030/status", ("10.0.0.1", 3030)),
    ],
)
def test_addresses(text, at):
    """Ports, hosts, both and URLs are addresses."""
    found = top.asked(text)
    assert (found.host, found.port) == at


@pytest.mark.parametrize("text", ["h:99999", "h:x", "https://h:1", "http://user@h:1"])
def test_addresses_that_are_none(text):
    """What cannot be asked is wrong usage, in one line."""
    with pytest.raises(SettingsError, match="status address is not usable"):
        top.asked(text)


@pytest.fixture
def served():
    """Return a function that serves a watch and returns its address."""
    made = []

    def serve(shown):
        made.append(Server("127.0.0.1", 0, shown))
        made[-1].start()
        return f"127.0.0.1:{made[-1].server_address[1]}"

    yield serve
    for one in made:
        one.shutdown()
        one.server_close()


def test_once_ends_by_readiness(served, capsys):
    """--once prints a screen; 0 when all processes are ready, 1 when one is not or does not answer."""
    ready = served(watch())
    assert answer("/readyz", watch()).status is HTTPStatus.OK
    assert top.top([ready], "", once=True, every=1) == 0
    assert "my collector" in capsys.readouterr().out
    assert top.top([], ready, once=True, every=1) == 0
    assert top.top([ready, served(trouble(watch()))], "", once=True, every=1) == 1
    assert top.top([ready, "127.0.0.1:1"], "", once=True, every=1) == 1
    assert "does not answer" in capsys.readouterr().out


def test_a_terminal_is_kept_up_to_date_until_ctrl_c(served):
    """In a terminal the screen is drawn again and again; Ctrl-C ends it in order, by readiness too."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "flows", "top", served(watch()), "--every", "nan"]
    child = subprocess.Popen(
        command, stdin=there, stdout=there, stderr=there, cwd=ROOT, env={**os.environ, "TERM": "xterm"}
    )
    os.close(there)
    text = b""
    while text.count(b"my collector") < 2:
        text += os.read(here, 65_536)
    child.send_signal(signal.SIGINT)
    with suppress(OSError):  # EIO: the other side is closed
        while more := os.read(here, 65_536):
            text += more
    os.close(here)
    assert child.wait(30) == 0
    assert b"Traceback" not in text
    assert text.rstrip().endswith((b"\x1b[?25h", b"\x1b[?1049l"))
