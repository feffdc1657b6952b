"""`s3_listing`: a vendor's bucket that announces nothing, collected through late keys and kills.

`make e2e` runs the acceptance on 20,000 keys.
"""

import random
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.lives import Record, table
from tests.fakes.collector import Collector, Launch, configuration, output, wait_while_moving
from tests.fakes.listed_s3 import ListedS3, Stored

BUCKET, PREFIX = "cisco-managed-eu-west-1", "1234567_0a1b/"
HOURS, LATE_HOURS = 3, 2
EVENTS = 3
_STALL = 120.0


def timetable(count: int, seconds: float, rng: random.Random):
    """Return objects of the last three hours that appear within `seconds` from now.

    A third is there from the beginning, in no order; 3 % come up to two hours of these three too late, and
    are as old for S3 as their names say.
    """
    now = time.time()
    speed = HOURS * 3600 / seconds
    for number in range(count):
        share = number / count
        moment = datetime.fromtimestamp(now - HOURS * 3600 * (1 - share), UTC)
        late = rng.uniform(0, LATE_HOURS * 3600) / speed if rng.random() < 0.03 else 0
        appears = now + min(max(share - 1 / 3, 0) * 1.5 * seconds + late, seconds)
        kind = rng.choice(("dnslogs", "proxylogs"))
        name = f"{PREFIX}{kind}/{moment:%Y-%m-%d}/{moment:%Y-%m-%d-%H-%M}-{rng.randrange(1 << 32):08x}.csv.gz"
        body = b"".join(b'"%06d-%d","x"\n' % (number, line) for line in range(EVENTS))
        yield Stored(name, body, moment, appears)


def settings(receiver, certs, folder, late_hours):
    service = {
        "regions": ["eu-west-1"],
        "s3_listing": {
            "bucket": BUCKET,
            "prefix": PREFIX,
            "every_seconds": 1,
            "late_seconds": late_hours * 3600,
            "start_time": (datetime.now(UTC) - timedelta(hours=HOURS + 1)).isoformat(),
        },
    }
    outputs = output(receiver.port, certs)
    outputs["devo"]["config"]["timestamp"] = "iso8601"
    return configuration({"cisco-umbrella": service}, outputs, folder, debug=True)


@pytest.mark.parametrize(
    ("count", "seconds", "kills"),
    [
        pytest.param(900, 12, 3, id="900 keys", marks=pytest.mark.timeout(600)),
        pytest.param(20_000, 150, 10, id="20,000 keys", marks=[pytest.mark.full, pytest.mark.timeout(1800)]),
    ],
)
def test_listed_keys_arrive_through_lateness_and_kills(
    rsyslog, certs, tmp_path, figures, count, seconds, kills
):
    """No key is lost, however late and out of order; after a kill comes again what one interval held."""
    rng = random.Random(count)
    record = Record(rsyslog, name_of)
    with ListedS3() as s3:
        collector = Collector(
            s3, tmp_path / "collector", settings(rsyslog, certs, tmp_path, HOURS + 2), Launch("flows")
        )
        collector.environment = {"COLLECTOR_LOG": "json"}
        began = time.time()
        s3.bucket(BUCKET).put(timetable(count, seconds, rng))
        due = {f'"{number:06}-{line}"' for number in range(count) for line in range(EVENTS)}
        try:
            for kill in range(kills):
                before = record.look()
                collector.start()
                until = began + seconds * (kill + 1) / (kills + 1)
                wait(collector, record, lambda b=before, u=until: record.look() > b and time.time() > u)
                time.sleep(rng.uniform(0, 1.5))  # any moment
                collector.kill()
                record.end(collector, "kill")
            collector.start()
            wait(collector, record, lambda: record.look() and due <= record.times.keys())
            time.sleep(3)  # two listings more, which must find nothing
            collector.drain()
            journal = rows(collector)
        finally:
            collector.kill()
    rsyslog.stop()
    record.look()
    record.end(collector, "drain")
    lives = record.lives()
    figures(f"{dict(s3.calls)} for {count} keys\n{table(lives)}")
    assert record.times.keys() == due, "lost or never written"
    for life in lives:
        assert life.intervals in ({0}, {1}, set()), life
        assert life.again <= life.at_risk, life
    assert sum(life.again for life in lives) == record.times.total() - len(record.times), "twice in one life"
    assert journal == {f"s3://{BUCKET}/{key}" for key in s3.bucket(BUCKET).stored}


def rows(collector) -> set[str]:
    """Return the objects that the journal has delivered, each of this bucket's listing."""
    from flows.commands.journal import journal_of  # noqa: PLC0415
    from flows.config.load import load  # noqa: PLC0415
    from flows.journal.reader import Query  # noqa: PLC0415
    from flows.journal.reader import rows as read  # noqa: PLC0415

    folder = journal_of(load(collector.folder / "config.yaml"))
    folder = collector.state / folder.name if not folder.exists() else folder
    found = [row for row in read(folder, Query()) if row.outcome == "delivered"]
    assert {row.container for row in found} == {f"{BUCKET}/{PREFIX}"}
    return {row.object for row in found}


def name_of(line) -> str:
    """Return which event a line is; one that a kill has cut is none."""
    name, cut, _ = line.message.decode().partition(",")
    if not cut:
        raise ValueError(name)
    return name


def wait(collector: Collector, record: Record, done) -> None:
    wait_while_moving(collector, done, lambda: f"{record.look()} lines have arrived", _STALL)
