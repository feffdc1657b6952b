"""The collector's own messages reach Devo beside its events; a receiver that goes away makes no more."""

import json
import time
from datetime import UTC, datetime, timedelta

from tests.fakes.collector import Collector, Launch, configuration, output
from tests.fakes.listed_s3 import ListedS3, Stored
from tests.fakes.process import wait_until

_TAG = "devo.collectors.out"


def test_own_messages_arrive_and_make_no_loop(rsyslog, certs, tmp_path):
    """What is collected is told in Devo's table; connections and their failures are not told there."""
    now = datetime.now(UTC) + timedelta(minutes=2)  # new when the collector starts
    umbrella = {"regions": ["eu-west-1"], "s3_listing": {"bucket": "vendor", "every_seconds": 1}}
    made = configuration(
        {"cisco-umbrella": umbrella}, output(rsyslog.port, certs), tmp_path, collector_messages="info"
    )
    with ListedS3() as s3:
        s3.bucket("vendor").put(
            [Stored(f"dnslogs/{now:%Y-%m-%d}/{now:%Y-%m-%d-%H-%M}-a.csv.gz", b"x\n", now)]
        )
        collector = Collector(s3, tmp_path / "collector", made, Launch("flows")).start()
        try:
            wait_until(lambda: len(rsyslog.lines()) > 1, 60, "an event and a message")
            rsyslog.kill()
            time.sleep(4)
            rsyslog.restart()
            time.sleep(4)
            collector.drain()
        finally:
            collector.kill()
    rsyslog.stop()
    told = [json.loads(message) for tag, message in rsyslog.events() if tag == _TAG]
    assert {"test"} == {one["collector_name"] for one in told}
    assert "cisco-umbrella" in {one["service_name"] for one in told}
    assert len(told) < 12
    assert not [one for one in told if "output=" in one["msg"]]
