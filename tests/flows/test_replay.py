"""Captured objects become the bytes of the wire; what cannot be read is told, and fails the command."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.fakes.collector import configuration

SHARED = Path(__file__).parents[3] / "shared" / "data"
LINE = b'"2026-01-02 03:04:05","Laptop","Site","10.0.0.1","198.51.100.7"\n'
ROOT = Path(__file__).parents[2]


def replay(*args, module=("flows", "replay")):
    command = [sys.executable, "-m", *module, *map(str, args)]
    return subprocess.run(command, capture_output=True, timeout=300, cwd=ROOT, check=False)


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


def test_json_is_one_object_instead_of_the_events(tmp_path):
    """--json: what was done by tag, in sum, and what could not be read and why; events only to --output."""
    for name, body in {"dnslogs/a.csv": LINE * 3, "iplogs/b.csv": LINE, "picture.png": b"\x89PNG"}.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(body)
    picture = str(tmp_path / "in" / "picture.png")
    detail = f"object not recognised: {picture}: name its type with --service"
    for output in ([], ["--output", str(tmp_path / "out")]):
        done = replay(tmp_path / "in", "--json", *output)
        assert done.returncode == 1
        assert json.loads(done.stdout) == {
            "ok": False,
            "objects": 3,
            "events": 4,
            "bytes": len(LINE) * 4,
            "tags": [
                {"tag": "sig.cisco.umbrella.dns", "events": 3, "bytes": len(LINE) * 3},
                {"tag": "sig.cisco.umbrella.ip", "events": 1, "bytes": len(LINE)},
            ],
            "not_readable": 1,
            "unread": [{"object": picture, "record": 0, "reason": "not_recognised", "detail": detail}],
        }
    assert (tmp_path / "out").read_bytes().count(LINE) == 4


def test_json_and_events_do_not_mix(tmp_path):
    """Both on stdout are refused; an output of the configuration that prints is left out."""
    (tmp_path / "dnslogs").mkdir()
    (tmp_path / "dnslogs" / "a.csv").write_bytes(LINE)
    done = replay(tmp_path, "--json", "--output", "stdout")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"events and --json would mix: --output stdout: leave out one of them\n"
    outputs = {"a": {"type": "console"}, "b": {"type": "file", "config": {"path": "out"}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"outputs": outputs}))
    done = replay(tmp_path / "dnslogs", "--json", "--output", "devo", "--config", tmp_path / "config.yaml")
    assert (json.loads(done.stdout)["ok"], json.loads(done.stdout)["events"]) == (True, 1), done.stderr
    assert (tmp_path / "out").read_bytes().endswith(LINE)


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


@pytest.fixture
def archive(aws, unique, tmp_path, monkeypatch):
    """Return (bucket with two objects of three lines, configuration that knows its keys)."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
    bucket = aws.bucket(unique("archive"))
    for name in "ab":
        aws.put(bucket, f"dnslogs/{name}.csv.gz", gzip.compress(LINE * 3))
    service = {"cisco-umbrella": {"regions": ["us-east-1"], "cisco_umbrella_sqs_queue_name": "q"}}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(configuration(service, {}, tmp_path)))
    return bucket, config


@pytest.mark.parametrize(("path", "events"), [("dnslogs/", 6), ("dnslogs/a.csv.gz", 3)])
def test_a_bucket_is_read_with_the_configurations_keys(archive, path, events):
    """Prefixes and single objects need nothing of the environment when `--config` has credentials."""
    bucket, config = archive
    done = replay(f"s3://{bucket}/{path}", "--config", config)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, events), done.stderr


def test_an_object_that_is_missing_is_one_line(archive):
    """The others go on; the exit code tells."""
    bucket, config = archive
    done = replay(f"s3://{bucket}/gone.gz", f"s3://{bucket}/dnslogs/a.csv.gz", "--config", config)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 3)
    assert b"Traceback" not in done.stderr
    assert f"s3://{bucket}/gone.gz".encode() in done.stderr


@pytest.mark.parametrize("paths", [["dnslogs/"], ["dnslogs/a.csv.gz", "dnslogs/b.csv.gz"]])
def test_no_keys_are_one_line(archive, monkeypatch, paths):
    """Without any credentials it says so once, without a traceback or a panic."""
    bucket, _ = archive
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    done = replay(*(f"s3://{bucket}/{path}" for path in paths))
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if b" output_declared " not in line]
    assert sum(b"give credentials" in line for line in told) == 1, done.stderr
    assert len(told) <= 2, done.stderr


def test_devo_without_an_output_is_an_error(archive, tmp_path):
    """Nobody shall believe that events went to Devo which went to the console."""
    _, config = archive
    (tmp_path / "a.csv").write_bytes(LINE)
    done = replay(tmp_path / "a.csv", "--output", "devo", "--config", config)
    assert done.returncode == 2
    assert done.stderr.endswith(
        b"the configuration names no output: --output devo: add outputs to it, or use --output stdout\n"
    )


CUSTOM = {
    "regions": ["eu-west-1"],
    "sqs_queue_name": "web",
    "file_format": {"type": "line_split", "config": {"json": True}},
    "key_pattern": "^(?P<team>[^/]+)/",
    "filename_filter_rules": [[{"type": "match", "pattern": "/scratch/"}]],
    "record_field_mapping": {"level": {"keys": ["level"]}},
    "line_filter_rules": [[{"source": "record", "key": "level", "value": "debug"}]],
    "routing_template": "my.app.[file-team].[record-level]",
}


def web(tmp_path):
    """Write captures of a custom service, and its configuration; return the captures' folder."""
    captures = tmp_path / "captures"
    (captures / "red" / "scratch").mkdir(parents=True)
    (captures / "red" / "a.log").write_text('{"level":"info","n":1}\n{"level":"debug","n":2}\n')
    (captures / "red" / "scratch" / "b.log").write_text('{"level":"info","n":3}\n')
    services = {"web": CUSTOM, "non-cloudwatch-logs": LINES, "aws-guardduty": {"regions": ["eu-west-1"]}}
    content = {"inputs": {"in": {"id": "1", "services": services}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    return captures


LINES = {
    "types": ["flowlogs", "cloudfrontlogs"],
    "regions": ["eu-west-1"],
    "vpcflowlogs_sqs_queue_name": "flow",
    "cloudfrontlogs_sqs_queue_name": "web",
    "tag": "my.lines",
}


def test_a_custom_service_is_replayed_as_configured(tmp_path):
    """Its format, filters, tag and key filter apply; what the key filter leaves out is said."""
    captures = web(tmp_path)
    done = replay(captures, "--service", "web", "--config", tmp_path / "config.yaml")
    assert done.returncode == 0, done.stderr
    assert [line.split(b" ", 5)[-1] for line in done.stdout.splitlines()] == [
        b'my.app.red.info: {"level":"info","n":1}'
    ]
    assert b"1 events of 2 objects, 0 not readable, 1 left out by the service's key filter\n" in done.stderr


def test_the_configuration_is_found_as_by_run(tmp_path):
    """Without --config the file that `run` would take says what a service is."""
    captures = web(tmp_path)
    command = [sys.executable, "-m", "flows", "replay", str(captures), "--service", "web", "--json"]
    done = subprocess.run(command, capture_output=True, timeout=300, cwd=tmp_path, check=False)
    told = json.loads(done.stdout)
    assert (told["tags"], told["left_out"]) == ([{"tag": "my.app.red.info", "events": 1, "bytes": 23}], 1)


def test_a_configuration_that_is_found_and_wrong_is_told(tmp_path):
    """Its tags and filters would be missing, so nothing is replayed without them."""
    captures = web(tmp_path)
    (tmp_path / "config.yaml").write_text("inputs: {in: {id: 1, services: {web: {}}}}")
    command = [sys.executable, "-m", "flows", "replay", str(captures)]
    done = subprocess.run(command, capture_output=True, timeout=300, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"web" in done.stderr


def test_a_key_of_several_types_is_told_by_content(tmp_path):
    """`--service` takes the key under `services`, and each object is read as its own type of it."""
    web(tmp_path)
    captures = tmp_path / "lines"
    captures.mkdir()
    (captures / "a.log").write_text(
        "2 123456789012 eni-1235b8ca123456789 1.2.3.4 1.2.3.5 1 2 6 1 4 1 2 ACCEPT OK\n"
    )
    (captures / "b.log").write_text(
        "#Version: 1.0\n#Fields: date time x-edge-location\n2026-01-02\t03:04:05\tFRA1\n"
    )
    done = replay(
        captures, "--service", "non-cloudwatch-logs", "--json", "--config", tmp_path / "config.yaml"
    )
    assert json.loads(done.stdout)["tags"] == [{"tag": "my.lines", "events": 2, "bytes": 102}], done.stderr


def test_a_wrong_name_lists_services_of_the_configuration_too(tmp_path):
    """Custom names are among those that `--service` may have; what has no objects is not."""
    captures = web(tmp_path)
    done = replay(captures, "--service", "wep", "--config", tmp_path / "config.yaml")
    assert done.returncode == 2
    assert b" web\n" in done.stderr
    assert b"guardduty," not in done.stderr.replace(b"aws_sqs_guard_duty", b"")
