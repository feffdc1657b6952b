"""Each row of the catalogue from AWS through the collector to rsyslog over mutual TLS, byte for byte."""

import socket
import time
from collections import Counter

import pytest

from flows.catalogue.services import CATALOGUE
from flows.journal.reader import Query, rows
from tests.e2e.rows import ROWS, Place
from tests.fakes.collector import Launch, configuration, merged, output, wait_while_moving
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import FakeAws
from tests.fakes.strict import ruled

_STALL = 60.0
_HOST = {False: socket.gethostname(), True: "edge-7.example.org"}
"""HOST of the lines: the machine's name by default, the configured one in the run with `auto_event_type`."""


@pytest.fixture
def place(aws, unique, stage):
    """Serve every API that the catalogue reads."""
    fake_aws.reset()
    names = ("service-events-all", "sqs-cloudwatch-consumer")
    queues = {name: aws.queue(unique(name), fifo=True) for name in names}
    with FakeAws() as apis, ruled(apis.url, aws) as url:
        yield Place(aws, url, stage.site(), queues, int(time.time()))


@pytest.mark.parametrize(
    ("auto", "launch"),
    [
        pytest.param(False, Launch("flows"), id="auto off"),
        pytest.param(True, Launch("flows"), id="auto on"),
        pytest.param(True, Launch("replicas", processes=3), id="auto on, three replicas and one for APIs"),
    ],
)
def test_every_row_arrives_byte_for_byte(place, stage, rsyslog, figures, auto, launch):
    """What was put into AWS comes out as whole syslog lines, each once, all ten rows of one configuration.

    So one process and several bring the same.
    """
    events = {row.name: row.put(place) for row in ROWS}
    due = {name: Counter(lines(some, auto=auto)) for name, some in events.items()}
    outputs = output(rsyslog.port, stage.certs)
    if auto:
        outputs["devo"]["config"]["host"] = _HOST[auto]
    settings = configuration(merged(row.settings(place, auto) for row in ROWS), outputs, stage.folder)
    collector = stage.collector(settings, launch)
    collector.environment = endpoints(place)
    total = sum(map(Counter.total, due.values()))
    try:
        collector.start()
        arrived = lambda: f"{rsyslog.size()} of {total} lines have arrived"  # noqa: E731 - short
        wait_while_moving(collector, lambda: rsyslog.size() >= total, arrived, _STALL)
        collector.drain()
    finally:
        collector.kill()
    rsyslog.stop()
    found = Counter(line for lines in rsyslog.lines().values() for line in lines)
    figures(table(due, found))
    assert {name: first(wanted - found) for name, wanted in due.items() if wanted - found} == {}
    assert first(found - sum(due.values(), Counter())) is None
    check_journal(list(rows(stage.folder / "state" / "journal", Query())), events, auto=auto)
    typed = {name for name, some in events.items() if any(one.tag_on != one.tag_off for one in some)}
    assert typed == {row.name for row in ROWS if row.auto}
    assert place.site.waiting() == sum(sum(place.aws.depth(queue)) for queue in place.queues.values()) == 0


def check_journal(written, events, *, auto):
    """Every event is in a row and under its tag, and windows follow each other."""
    tags = Counter()
    for row in written:
        tags.update(row.tags)
    due = Counter(one.tag_on if auto else one.tag_off for some in events.values() for one in some)
    assert tags == due
    assert all(row.outputs == ("devo:receipt",) for row in written if row.events)
    ends = {}
    for row in written:
        if row.kind == "window":
            assert ends.get((row.service, row.object), row.start) == row.start < row.end
            ends[row.service, row.object] = row.end
    asked = {one.name for one in CATALOGUE if not any(call.action.startswith("sqs:") for call in one.calls)}
    assert {service for service, _ in ends} == asked


def lines(events, *, auto):
    """Yield what rsyslog must have received, PRI, date, HOST and tag included."""
    for event in events:
        tag = event.tag_on if auto else event.tag_off
        yield f"<14>Jan  1 00:00:00 {_HOST[auto]} {tag}: ".encode() + event.line


def endpoints(place):
    """Return where the collector asks: queues and objects at one AWS, all else at the other."""
    other = {f"AWS_ENDPOINT_URL_{name}": place.aws.url for name in ("SQS", "S3")}
    return {"AWS_ENDPOINT_URL": place.apis, **other}


def first(some):
    """Return one line that should be elsewhere, shortened."""
    return next((line[:400] for line in some), None)


def table(due, found):
    """Return a line per row: tags, events put, events that arrived as they were put."""
    rows = [f"{'row':34} {'put':>5} {'same':>5}  tags"]
    for name, wanted in due.items():
        tags = sorted({line.split(b" ", 6)[5].decode().rstrip(":").rpartition(".") for line in wanted})
        shown = f"{tags[0][0]}.{' '.join(last for _, _, last in tags)}"
        rows.append(f"{name:34} {wanted.total():5} {(wanted & found).total():5}  {shown}")
    return "\n".join(rows)
