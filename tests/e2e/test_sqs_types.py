"""Types of Devo's SQS collector through the whole collector: S3 → SQS → dataflow → TLS receiver.

Beside the documented types, a service that only the configuration knows, a mixed queue, and CrowdStrike's own
notices. `make e2e` runs all types with more objects.
"""

import json
from collections import Counter

import pytest

from tests.fakes.collector import (
    Collector,
    configuration,
    first_difference,
    output,
    verdict,
    wait_while_moving,
)
from tests.fakes.corpus.sqs import MAKERS, sqs_corpus
from tests.fakes.ministack import REGION

FEW = ("aws_sqs_alb", "aws_sqs_cloudwatch", "aws_sqs_control_tower", "aws_sqs_fdr")
CUSTOM = {
    "file_format": {
        "type": "unseparated_json_processor",
        "config": {"key": "events", "include": {"host": "host"}},
    },
    "file_field_definitions": {
        "log_type": [
            {"operator": "split", "on": "/", "element": 0},
            {"operator": "replace", "to_replace": "_", "replace_with": "-"},
        ]
    },
    "record_field_mapping": {"kind": {"keys": ["kind"]}},
    "filename_filter_rules": [[{"type": "match", "pattern": "^skipped/"}]],
    "line_filter_rules": [[{"source": "record", "key": "kind", "type": "match", "value": "noise"}]],
    "routing_template": "my.app.[file-log_type].[record-kind]",
}
"""A service that exists in no line of code."""


def custom_objects(count: int):
    """Yield (key, body) of each object of the custom service."""
    for n in range(count):
        events = [{"kind": kind, "n": n} for kind in ("login", "noise", "log out")]
        documents = [{"host": f"h{n}", "events": events}, {"host": "x", "events": []}]
        yield f"web_app/{n}.json", "".join(map(json.dumps, documents)).encode()
        yield f"skipped/{n}.json", b"not even JSON"


def custom_events(count: int) -> Counter:
    lines = {"login": "login", "log out": "log_out"}
    return Counter(
        (f"my.app.web-app.{level}", b'{"host":"h%d","kind": "%b", "n": %d}' % (n, kind.encode(), n))
        for n in range(count)
        for kind, level in lines.items()
    )


class World:
    """A bucket and a queue for each service; what is put into the bucket is announced in the queue."""

    def __init__(self, stage, names) -> None:
        self.aws = stage.aws
        made = {name: stage.unique(f"sqs-{name.replace('_', '-')}") for name in names}
        self.queues = {name: self.aws.queue(own) for name, own in made.items()}
        self.buckets = {name: self.aws.bucket(own) for name, own in made.items()}
        for name in names:
            if "fdr" not in name:
                self.aws.announce_by_sqs(self.buckets[name], self.queues[name])

    def put(self, name: str, key: str, body: bytes) -> None:
        """Put an object; CrowdStrike announces its batches itself."""
        self.aws.put(self.buckets[name], key, body)
        if "fdr" in name:
            files = [{"path": key, "size": len(body), "checksum": "0"}]
            notice = {"cid": "c", "timestamp": 1, "bucket": self.buckets[name], "files": files}
            self.aws.send(self.queues[name], json.dumps(notice))

    def waiting(self) -> int:
        return sum(sum(self.aws.depth(queue)) for queue in self.queues.values())


@pytest.mark.parametrize(
    ("names", "count"),
    [(FEW, 4), pytest.param(tuple(MAKERS), 20, marks=[pytest.mark.full, pytest.mark.timeout(900)])],
    ids=["few", "all"],
)
def test_every_event_arrives_under_its_tag(stage, rsyslog, names, count):
    """Each type's objects arrive exactly once, a custom service's by its configuration alone."""
    world = World(stage, [*names, "custom_service"])
    services = {name: {"sqs_queue_name": world.queues[name].name} for name in names}
    services["custom_service"] = {**CUSTOM, "sqs_queue_name": world.queues["custom_service"].name}
    content = configuration(services, output(rsyslog.port, stage.certs), stage.folder)
    content["inputs"]["aws"]["region"] = REGION
    samples = sqs_corpus(count, only=names)
    due = custom_events(count) + Counter(
        (event.tag_off, event.line) for sample in samples for event in sample.expected
    )
    for sample in samples:
        world.put(sample.service, sample.key, sample.body)
    for key, body in custom_objects(count):
        world.put("custom_service", key, body)
    collector: Collector = stage.collector(content)
    try:
        collector.start()
        wait_while_moving(
            collector,
            lambda: rsyslog.size() >= due.total() and not world.waiting(),
            lambda: f"{rsyslog.size()} of {due.total()} lines, {world.waiting()} messages wait",
            60.0,
        )
        collector.drain()
    finally:
        collector.kill()
    arrived = rsyslog.events()
    assert verdict(due, arrived).exactly_once, first_difference(due, arrived)
