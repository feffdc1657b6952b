"""`flows recheck` as an operator uses it: it finds what came later, sends it once, or says why not."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml

from flows.cli import main
from flows.commands.journal import journal_of
from flows.config.load import load
from flows.journal.log import JournalLog
from flows.journal.reader import Query, rows
from sources.apis.poll import SECOND_LOOK
from sources.collected import CollectedIds, CollectedRange
from sources.errors import SourceError
from tests.fakes.collector import configuration
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import FakeAws

NOON = (datetime.now(UTC) - timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
FIRST = int(NOON.timestamp())
HOUR = 3600


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return the ids kept, and a function that runs the command: code, lines, report."""
    with FakeAws() as aws:
        for name, value in fake_aws.environment(aws.url).items():
            monkeypatch.setenv(name, value)
        fake_aws.reset()
        fake_aws.CLOCK.freeze(FIRST + 3 * HOUR)
        services = {"audit-events-all": {"types": ["audits_api"], "regions": ["us-east-1"]}}
        made = configuration(services, {"console": {"type": "console"}}, tmp_path)
        made["globals"]["persistence"] = {
            "type": "filesystem", "config": {"directory_name": str(tmp_path / "state")}
        }  # fmt: skip
        config = tmp_path / "config.yaml"
        config.write_text(yaml.safe_dump(made))
        (unit,) = load_units(config)
        ids = CollectedIds(tmp_path / "state" / "collected" / unit.step_id)

        def run(capfdbinary, *more, start=0, end=1):
            given = [(NOON + timedelta(hours=hours)).isoformat() for hours in (start, end)]
            wanted = ["--service", "audits_api", "--from", given[0], "--to", given[1]]
            code = main(["recheck", *wanted, "--config", str(config), *more])
            out = capfdbinary.readouterr()
            return code, out.out.splitlines(), out.err.decode()

        yield ids, run


def load_units(config):
    from flows.catalogue.services import units  # noqa: PLC0415
    from flows.config.load import load  # noqa: PLC0415

    return units(load(config))


def put(*names):
    for number, name in enumerate(names):
        text = json.dumps({"eventID": name, "eventSource": "s3.amazonaws.com"})
        event = {"EventName": "Op", "EventId": name, "EventTime": FIRST + number, "CloudTrailEvent": text}
        fake_aws.put_cloudtrail_events([event])


def test_late_events_are_sent_once(site, capfdbinary):
    """Exit code 1 with what came later, then 0 with nothing."""
    ids, run = site
    put("known", "late-1", "late-2")
    ids.note("us-east-1", {"known": FIRST * 1000}, CollectedRange(0, (FIRST + 2 * HOUR) * 1000))
    code, lines, said = run(capfdbinary)
    assert code == 1, said
    assert sum(b"late-" in line for line in lines) == 2
    assert not any(b"known" in line for line in lines)
    assert "us-east-1: 2 events came later than the reach; sent" in said
    code, lines, said = run(capfdbinary)
    assert (code, lines) == (0, []), said


def test_what_is_sent_has_its_row(site, capfdbinary, tmp_path):
    """The journal tells of late events by the target's second look, and by the range that was looked at."""
    ids, run = site
    put("known", "late-1", "late-2")
    ids.note("us-east-1", {"known": FIRST * 1000}, CollectedRange(0, (FIRST + 2 * HOUR) * 1000))
    assert run(capfdbinary)[0] == 1
    assert run(capfdbinary)[0] == 0
    (row,) = rows(journal_of(load(tmp_path / "config.yaml")), Query())
    assert (row.kind, row.outcome, row.service, row.object) == (
        *("window", "delivered", "audits_api"),
        f"us-east-1{SECOND_LOOK}",
    )
    assert (row.records, row.events, row.start, row.end) == (2, 2, FIRST * 1000, (FIRST + HOUR) * 1000)
    assert sum(row.tags.values()) == 2


def test_without_a_journal_the_next_look_finds_it_again(site, capfdbinary, monkeypatch):
    """What has no row is not noted as collected: it may be sent twice, and is never missing."""
    ids, run = site
    put("late-1")
    ids.note("us-east-1", {}, CollectedRange(0, (FIRST + 2 * HOUR) * 1000))
    with monkeypatch.context() as patch:
        patch.setattr(JournalLog, "write", full)
        code, _, said = run(capfdbinary)
    assert code == 2
    assert "no room" in said
    code, lines, _ = run(capfdbinary)
    assert (code, len(lines)) == (1, 1)


def full(_log, _rows):
    raise SourceError("no room", "the journal", "make some")


def test_json_is_one_object(site, capfdbinary):
    """`--json` with an output that is not the console tells all in one object."""
    ids, run = site
    ids.note("us-east-1", {}, CollectedRange(0, (FIRST + 2 * HOUR) * 1000))
    code, lines, _ = run(capfdbinary, "--json")
    assert code == 0
    assert json.loads(lines[-1]) == {"events": 0, "late": {}, "failed": {}}


def test_what_cannot_be_looked_at_is_said(site, capfdbinary):
    """No ids, ids that begin later, a range that is not finished: exit code 2, with the reason."""
    ids, run = site
    put("event")
    code, lines, said = run(capfdbinary)
    assert (code, lines) == (2, [])
    assert "nothing is known of what was collected" in said
    ids.note("us-east-1", {}, CollectedRange((FIRST + 60) * 1000, (FIRST + 2 * HOUR) * 1000))
    code, lines, said = run(capfdbinary)
    assert (code, lines) == (2, [])
    assert "only since" in said
    code, lines, said = run(capfdbinary, start=1, end=3)
    assert (code, lines) == (2, [])
    assert "not finished yet" in said


def test_wrong_usage(site, capfdbinary, tmp_path):
    """A service that is none and times that are none are configuration errors."""
    _, run = site
    assert run(capfdbinary, start=2, end=1)[0] == 2
    config = str(tmp_path / "config.yaml")
    wanted = ["recheck", "--service", "flowlogs", "--from", "2026-09-01", "--to", "2026-09-02"]
    assert main([*wanted, "--config", config]) == 2
    assert "no such API service is enabled" in capfdbinary.readouterr().err.decode()


def test_what_lookup_events_has_forgotten_cannot_be_looked_at(site, capfdbinary):
    """A range older than 90 days is no empty one."""
    ids, run = site
    ids.note("us-east-1", {}, CollectedRange(0, (FIRST - 95 * 24 * HOUR) * 1000))
    code, lines, said = run(capfdbinary, start=-96 * 24, end=-96 * 24 + 1)
    assert (code, lines) == (2, [])
    assert "LookupEvents knows 90 days" in said
