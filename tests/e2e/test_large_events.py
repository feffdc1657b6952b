"""Log events as large as AWS takes them, through the whole collector."""

import json
import time

import pytest

from tests.fakes.collector import Collector, Launch, configuration, output
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import REGION, FakeAws
from tests.fakes.process import wait_until
from tests.fakes.tls_sink import TlsSink

LARGEST = (1 << 20) - 26
"""What PutLogEvents takes of an event: a batch of 1,048,576 bytes, 26 of them for each event."""

MESSAGES = ["x" * LARGEST, '"\\\t\x01' * (LARGEST // 4), "é" * (LARGEST // 2), "small"]


@pytest.mark.parametrize("limit", [None, 8 << 20], ids=["by default", "with a limit of 8 MiB"])
def test_log_events_of_a_mebibyte_arrive_or_are_in_quarantine(certs, tmp_path, limit):
    """With their envelope they are more than an output takes by default: whole in quarantine, and told."""
    fake_aws.reset()
    now = int(time.time() * 1000)
    events = [{"timestamp": now - 300_000 + n, "message": text} for n, text in enumerate(MESSAGES)]
    service = {"types": ["logs"], "log_group": "/large", "regions": [REGION], "start_time": "2020-01-01"}
    kept = tmp_path / "state" / "quarantine" / "event_too_large"
    with FakeAws() as aws, TlsSink(certs) as sink:
        fake_aws.put_log_events("/large", "s", events)
        outputs = output(sink.port, certs)
        outputs["devo"]["config"] |= {"max_event_bytes": limit} if limit else {}
        made = configuration({"my-logs": service}, outputs, tmp_path)
        collector = Collector(aws, tmp_path / "collector", made, Launch("flows")).start()
        try:
            wait_until(lambda: len(sink.lines) + len([*kept.glob("*.json")]) == len(MESSAGES), 60, "events")
            collector.drain()
        finally:
            collector.kill()
    arrived = [json.loads(line.partition(b": ")[2])["message"] for line in sink.lines]
    assert arrived == (MESSAGES if limit else MESSAGES[-1:])
    quarantined = [json.loads(json.loads(one.read_bytes())["body"])["message"] for one in kept.glob("*.json")]
    assert sorted(quarantined) == sorted([] if limit else MESSAGES[:-1])
    told = (collector.folder / "log-1-0").read_text()
    assert told.count("event_too_large") == told.count("max_event_bytes") == len(quarantined)
