"""A budget over real polls: gates, timetable and calls are the collector's; AWS and its clock are a fake."""

import heapq
import threading
from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace

import pytest
import yaml
from prometheus_client import REGISTRY

from flows.catalogue.prices import usd_of
from flows.catalogue.service import RunContext
from flows.catalogue.services import units
from flows.config.load import load
from flows.process.money import Money, payer_of
from sources.apis import cursor, poll_scheduler, window
from sources.aws.spending import meter
from sources.aws.spending.book import SpendingBook
from sources.threads import Payer, works_for
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import CLOCK, FakeAws
from tests.sources.queues.leasing import Run
from transforms.block import Block

HOUR, DAY = 3_600, 86_400
NOV, DEC = 1_793_491_200, 1_796_083_200
"""Midnight of the first days, UTC, 2026."""

REGIONS, METRICS = ("us-east-1", "eu-west-1"), 12
PROTECTED_PERIOD, SETTLE = 900, 60
LISTING, METRIC, GB = 0.00001, 0.00001, 0.5
"""USD: for a call of ListMetrics and a metric of GetMetricData (Amazon CloudWatch pricing); for 10⁹ bytes."""


class Bytes:
    """Stands before the fake: adds up what its replies hold."""

    def __init__(self, app):
        self.app, self.size = app, 0

    def __call__(self, environ, start_response):
        for part in self.app(environ, start_response):
            self.size += len(part)
            yield part


class World:
    """The fake AWS, and a collector of four services under a budget, on one clock that stands still."""

    def __init__(self, aws, folder, monkeypatch, start, usd):
        clock = SimpleNamespace(
            time=CLOCK.now, monotonic=CLOCK.now, time_ns=lambda: int(CLOCK.now() * 1_000_000_000)
        )
        for module in (poll_scheduler, window, cursor):
            monkeypatch.setattr(module, "time", clock)
        CLOCK.freeze(start)
        self.book = SpendingBook(clock=CLOCK.now)
        monkeypatch.setattr(meter, "BOOK", self.book)
        aws._server.app = self.bytes = Bytes(aws._server.app)
        self.detectors = {region: furnish(region) for region in REGIONS}
        fake_aws._SERVED.clear()
        self.bytes.size = 0
        self.due, self.came = {}, {}
        self._hours = start // HOUR * HOUR
        configured = load(self._configuration(folder, start, usd))
        running = units(configured)
        self.book.price = usd_of
        self.money = Money(configured, running, self.book)
        (self.budget,) = self.money._budgets.values()
        context = RunContext(threading.Event(), budget=self.money.gate)
        monkeypatch.setattr(poll_scheduler.PollScheduler, "_spawn", lambda _: None)
        monkeypatch.setattr(poll_scheduler.PollScheduler, "_next", due_now)
        self.running = [(payer_of(unit), Run(unit.service.source(unit, context))) for unit in running]
        self.worst = 0.0

    def _configuration(self, folder, start, usd):
        protected = {"request_period_in_seconds": PROTECTED_PERIOD, "requests_per_second": 10_000}
        often = {"request_period_in_seconds": 300, "requests_per_second": 10_000}
        begin = {"start_time": datetime.fromtimestamp(start - 1, UTC).isoformat()}
        services = {
            "audit-events-all": {"types": ["audits_api"], "settle_seconds": SETTLE, **protected},
            "aws-guardduty": protected,
            "metrics-all": {"namespaces": ["Test"], **often},
            "logs": {"types": ["logs"], "log_group": "/app", **often},
        }
        settings = {
            "inputs": {
                "aws": {
                    "id": "1",
                    "services": {
                        key: {"regions": [*REGIONS], **begin, **one} for key, one in services.items()
                    },
                    "budget": {"usd_per_month": usd, "on_exceed": "slow", "usd_per_gb": GB},
                }
            },
            "outputs": {"file": {"type": "file", "config": {"path": str(folder / "out")}}},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        return folder / "config.yaml"

    def run(self, until):
        """Let all polls that fall due before a moment go out at their time; nothing waits in between."""
        while (due := min(feed._timetable[0][0] for feed in self.feeds)) < until:
            CLOCK.freeze(max(due, CLOCK.now()))
            self._happen()
            for payer, run in self.running:
                works_for(payer)
                run.source.feed._work()
                run.round()
                self._look(run)
            works_for(Payer())
            self.worst = max(self.worst, sum(self.budget.spent()))
        CLOCK.freeze(until)

    @property
    def feeds(self):
        return [run.source.feed for _, run in self.running]

    def _happen(self):
        """Once an hour each API has something new in each region."""
        now = CLOCK.now()
        while self._hours + HOUR <= now:
            self._hours += HOUR
            for region in REGIONS:
                mark = f"{region}-{self._hours}"
                self.due |= {f"trail-{mark}": now, f"finding-{mark}": now}
                text = f'{{"mark":"trail-{mark}"}}'
                event = {"EventName": "Op", "CloudTrailEvent": text, "EventTime": now}
                fake_aws.put_cloudtrail_events([event], region=region)
                finding = {"Id": f"finding-{mark}", "Title": f"finding-{mark}"}
                fake_aws.put_findings(self.detectors[region], [finding], region=region)
                line = {"timestamp": int(now * 1000), "message": "x" * 2_000}
                fake_aws.put_log_events("/app", "s", [line], region=region)
                for number in range(METRICS):
                    fake_aws.put_metric_samples(
                        "Test", f"m{number}", [{"timestamp": now, "value": 1.0}], region=region
                    )

    def _look(self, run):
        for block in run.items:
            if isinstance(block, Block) and block.origin.service in {"audits_api", "aws-guardduty"}:
                for line in block.payload.decode().splitlines():
                    (mark,) = [one for one in line.split('"') if one in self.due and one not in self.came][:1]
                    self.came[mark] = CLOCK.now()
        run.items.clear()

    def end(self):
        for _, run in self.running:
            run.close()


def furnish(region):
    """Make a region's log group and its detector, whose id is returned."""
    from moto.guardduty.models import guardduty_backends  # noqa: PLC0415 - slow to import

    fake_aws.put_log_group("/app", region=region, created=int((NOV - DAY) * 1000))
    return guardduty_backends[fake_aws.ACCOUNT][region].create_detector(
        enable=True, finding_publishing_frequency="FIFTEEN_MINUTES", data_sources={}, tags={}, features=[]
    )


def due_now(feed):
    """Return the next key of a timetable that is due at this moment, as `_next` does without waiting."""
    with feed._changed:
        waits = feed._timetable and feed._timetable[0][0] > CLOCK.now()
        return heapq.heappop(feed._timetable)[2] if feed._timetable and not waits else None


@pytest.fixture
def aws(monkeypatch):
    fake_aws.reset()
    with FakeAws() as running:
        for name, value in fake_aws.environment(running.url).items():
            monkeypatch.setenv(name, value)
        yield running
    fake_aws.reset()


def unslowed(seconds):
    """Return what the metrics alone would cost in so long: one request for all of them in each period."""
    return seconds / 300 * len(REGIONS) * METRICS * METRIC


def calls_metered():
    """Return how often the metrics have each call."""
    found = Counter()
    for metric in REGISTRY.restricted_registry(["collector_aws_calls_total"]).collect():
        for sample in metric.samples:
            if sample.name.endswith("_total"):
                found[sample.labels["action"].replace(":", ".")] += int(sample.value)
    return found


@pytest.mark.parametrize(
    "days",
    [
        pytest.param(1, id="a day", marks=pytest.mark.timeout(600)),
        pytest.param(30, id="a month", marks=[pytest.mark.full, pytest.mark.timeout(3600)]),
    ],
)
def test_three_times_the_budget_through_the_fake(aws, tmp_path, monkeypatch, figures, days):
    """At most 102 % is spent, no audit event or finding is late, and what was counted is what AWS saw."""
    start, end, metered = DEC - days * DAY, DEC - 1, calls_metered()
    usd = unslowed(days * DAY) / 3
    world = World(aws, tmp_path, monkeypatch, start, usd)
    try:
        world.run(end)
        spent, state = world.budget.spent(), world.budget.state()
        rows, seen = world.book.rows(), Counter(fake_aws.served_counts())
    finally:
        world.end()
    polls = {
        region: [one.at for one in fake_aws.served("cloudtrail.LookupEvents") if one.region == region]
        for region in REGIONS
    }
    due = {mark: at for mark, at in world.due.items() if at < end - PROTECTED_PERIOD - SETTLE}
    late = [world.came.get(mark, end + DAY) - at for mark, at in due.items()]
    figures(
        f"{days} days of virtual time at three times the allowed cost: {world.worst / usd:.1%} of "
        f"{usd:.2f} USD spent, {spent[0]:.4f} by protected services; {seen.total()} calls, all counted; "
        f"{len(due)} audit events and findings, the latest after {max(late):.0f} s"
    )
    assert 0.9 <= sum(spent) / usd <= world.worst / usd <= 1.02
    assert state["state"] == "slowed"
    assert max(late) <= PROTECTED_PERIOD + SETTLE
    assert {round(b - a) for ats in polls.values() for a, b in pairwise(ats)} == {PROTECTED_PERIOD}
    counted = Counter[str]()
    for key, row in rows.items():
        counted[key.action.replace(":", ".")] += row.calls
    assert counted == seen
    assert calls_metered() - metered == seen
    assert sum(row.size for row in rows.values()) == world.bytes.size
    asked = seen["cloudwatch.GetMetricData"] * METRICS * METRIC + seen["cloudwatch.ListMetrics"] * LISTING
    assert sum(spent) == pytest.approx(asked + world.bytes.size / 1e9 * GB)
