"""`flows backfill` as an operator uses it: forecast, killed, resumed, done."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from flows.journal.reader import Query, rows
from tests.fakes.collector import ROOT, configuration, first_difference, output, verdict
from tests.fakes.corpus import corpus, expected
from tests.fakes.process import Child

_TIMEOUT = 120.0
START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 30


class Archive:
    """A bucket with objects of `DAYS` days and, around them, of others; and the command line for them."""

    def __init__(self, stage, port, count):
        self.stage, self.folder = stage, stage.folder
        self.bucket = stage.aws.bucket(stage.unique("archive"))
        service = {"types": ["flowlogs"], "regions": ["us-east-1"], "vpcflowlogs_sqs_queue_name": "none"}
        made = configuration(
            {"non-cloudwatch-logs": {**service, "auto_event_type": True}},
            output(port, stage.certs),
            self.folder,
        )
        (self.folder / "config.yaml").write_text(yaml.safe_dump(made))
        self.due, self.size = Counter(), 0
        samples = corpus({"vpc": count}, seed=33)
        for number, sample in enumerate(samples):
            day = START + timedelta(days=number * DAYS / count)
            self._put(
                f"{day:%Y/%m/%d}/000123456789_vpcflowlogs_{day:%Y%m%dT%H%MZ}_{number:06}.log.gz", sample
            )
            self.size += len(sample.body)
        self.due = expected(samples, auto=True)
        for outside in (START - timedelta(days=1), START + timedelta(days=DAYS)):
            self._put(f"{outside:%Y/%m/%d}/x_{outside:%Y%m%dT%H%MZ}_0.log.gz", samples[0])

    def _put(self, name, sample):
        self.stage.aws.put(self.bucket, f"AWSLogs/000123456789/vpcflowlogs/us-east-1/{name}", sample.body)

    def command(self, *more):
        stretch = ["--from", f"{START:%Y-%m-%d}", "--to", f"{START + timedelta(days=DAYS):%Y-%m-%d}"]
        where = ["--config", str(self.folder / "config.yaml"), "--location", f"s3://{self.bucket}/AWSLogs/"]
        return [sys.executable, "-m", "flows", "backfill", "--service", "flowlogs", *where, *stretch, *more]

    @property
    def env(self):
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BYTEWAX_"))
        }
        return {**kept, "AWS_ENDPOINT_URL": self.stage.aws.url, "PYTHONPATH": str(ROOT)}

    def figures(self, *more):
        """Run it to its end and return what it prints for machines."""
        ended = subprocess.run(
            self.command("--json", *more), env=self.env, capture_output=True, timeout=_TIMEOUT, check=False
        )
        assert ended.returncode == 0, ended.stderr.decode()
        return json.loads(ended.stdout)


def settled(receiver):
    """Return how many lines have arrived once no more come."""
    before = -1
    while before != (now := receiver.size()):
        before = now
        time.sleep(2)
    return now


@pytest.mark.parametrize("count", [200, pytest.param(5000, marks=pytest.mark.full)])
def test_h22_a_backfill_that_is_killed_goes_on_and_keeps_its_word(stage, rsyslog, figures, count):
    """Objects over 30 days, killed and run again: every event arrives, and the forecast was right."""
    archive = Archive(stage, rsyslog.port, count)
    forecast = archive.figures("--dry-run")
    assert (forecast["objects"], forecast["bytes"]) == (count, archive.size)
    first = Child(archive.command("--debug"), stage.folder / "log", archive.env, stage.folder)
    rsyslog.wait_for(archive.due.total() // 3, _TIMEOUT)
    first.signal(signal.SIGKILL)
    first.kill()
    receipts = [int(one) for one in re.findall(r"receipt_taken .*?events=(\d+)", first.log.read_text())]
    interrupted = settled(rsyslog) - sum(receipts)
    told = archive.figures()
    assert told == {"objects": count, "of": count, "bytes": archive.size}
    arrived = rsyslog.events()
    found = verdict(archive.due, arrived)
    figures(f"backfill of {count} objects, killed at a third: {found}, forecast {forecast}")
    assert found.lost == 0, first_difference(archive.due, arrived)
    assert found.torn <= 1  # the kill may cut the line that is being written; it comes again, whole
    # What comes again is younger than the last snapshot: one interval before the last receipt at most.
    assert found.repeated <= sum(receipts[-1:]) + interrupted
    written = [row for row in rows(stage.folder / "state" / "journal", Query()) if row.kind == "object"]
    by_object = {row.object: row for row in sorted(written, key=lambda one: not one.resumed)}
    assert len(by_object) == count
    assert sum(row.events for row in by_object.values()) == archive.due.total()
    again = subprocess.run(archive.command(), env=archive.env, capture_output=True, timeout=300, check=False)
    assert again.returncode == 0
    assert b"this backfill is done" in again.stderr
