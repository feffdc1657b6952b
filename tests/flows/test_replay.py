"""Captured objects become the bytes of the wire; what cannot be read is told, and fails the command."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared" / "data"
LINE = b'"2026-01-02 03:04:05","Laptop","Site","10.0.0.1","198.51.100.7"\n'
ROOT = Path(__file__).parents[2]


def replay(*args, module=("flows", "replay")):
    command = [sys.executable, "-m", *module, *map(str, args)]
    return subprocess.run(command, capture_output=True, timeout=60, cwd=ROOT, check=False)


def test_stdout_is_exactly_the_wire(tmp_path):
    """One line per event: header, tag, the raw line; the summary goes to stderr."""
    (tmp_path / "dnslogs").mkdir()
    (tmp_path / "dnslogs" / "a.csv.gz").write_bytes(gzip.compress(LINE * 3))
    done = replay(tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines(keepends=True)
    assert len(lines) == 3
    assert all(line.startswith(b"<14>Jan  1 00:00:00 ") for line in lines)
    assert {line.split(b" ", 5)[-1] for line in lines} == {b"sig.cisco.umbrella.dns: " + LINE}
    assert b"sig.cisco.umbrella.dns  3\n" in done.stderr


def test_to_a_file_with_bytewax_itself(tmp_path):
    """`python -m bytewax.run "flows.replay:flow('PATH')"` runs the same dataflow."""
    (tmp_path / "dnslogs").mkdir()
    (tmp_path / "dnslogs" / "a.csv").write_bytes(LINE)
    out = tmp_path / "out.txt"
    flow = f"flows.replay:flow('{tmp_path / 'dnslogs'}', output='{out}')"
    done = replay(flow, module=("bytewax.run",))
    assert done.returncode == 0, done.stderr
    assert out.read_bytes().endswith(LINE)


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("AWSLogs/1/CloudTrail/a.json", b'{"Records":[{"eventSource":"s3.x","eventName":"G"},{"ev', b"json"),
        ("vpcflowlogs/a.log.gz", gzip.compress(b"version srcaddr dstaddr\n" + b"2 a b\n" * 99)[:-9], b"gzip"),
        ("picture.png", b"\x89PNG\r\n\x1a\n\x00\x00", b"object not recognised"),
    ],
    ids=["torn JSON", "torn gzip", "a picture"],
)
def test_broken_input_is_told_in_one_line(tmp_path, name, body, told):
    """`what: where: hint` on stderr, exit code 1, no traceback; the good events before it come out."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    done = replay(tmp_path)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    (line,) = [one for one in done.stderr.splitlines() if path.name.encode() in one]
    assert told in line.lower()
    assert line.count(b": ") >= 2


def test_a_missing_path_is_told():
    """A path that does not exist is an error of one line."""
    done = replay("/nowhere/at/all")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"no such capture: /nowhere/at/all: ")


def test_an_unknown_service_is_told(tmp_path):
    """`--service` with a wrong name lists the right ones and exits with 2."""
    (tmp_path / "a").write_bytes(LINE)
    done = replay(tmp_path, "--service", "dns")
    assert done.returncode == 2
    assert b"cisco-umbrella" in done.stderr


@pytest.mark.parametrize(
    ("folder", "tags", "events", "unread"),
    [
        (
            "umbrella",
            {b"sig.cisco.umbrella.dns", b"sig.cisco.umbrella.ip", b"sig.cisco.umbrella.proxy"},
            49,
            0,
        ),
        ("cloudfront", {b"cloud.aws.cloudfront.web_1"}, 2, 0),
        ("vpcflow", {b"cloud.aws.vpc.flow"}, 19, 1),
        ("cloudtrail", None, 1234, 1),
    ],
)
def test_captures_of_others(folder, tags, events, unread):
    """Real captures are recognised and counted; files that are no captures are told apart."""
    if not (SHARED / folder).is_dir():
        pytest.skip("the captures are not here")
    done = replay(SHARED / folder)
    lines = done.stdout.splitlines()
    assert len(lines) == events
    assert done.returncode == (1 if unread else 0)
    assert done.stderr.count(b"object not recognised") == unread
    if tags:
        assert {line.split(b" ", 5)[-1].split(b": ")[0] for line in lines} == tags
