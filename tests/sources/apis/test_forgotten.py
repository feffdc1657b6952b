"""What a service has forgotten while it was not read is told, and reading goes on behind it."""

import json
import threading
from types import SimpleNamespace

import pytest

from sources.apis.cloudtrail import LookupEvents, LookupOptions
from sources.apis.cloudwatch_logs import CloudWatchLogs, LogsOptions
from sources.apis.cloudwatch_metrics import CloudWatchMetrics, MetricsOptions
from sources.apis.guardduty import GuardDuty, GuardDutyOptions
from sources.apis.log_groups import GroupRule
from sources.aws.limiter import Bucket, Limiters
from tests.sources.listed.test_recheck import START, World

UNLIMITED = Limiters(lambda *_: Bucket(0))
HOUR, DAY = 3_600_000, 86_400_000
REGIONS = ("eu-west-1",)


class Groups(World):
    """The APIs, of which CloudWatch Logs keeps its events for three days."""

    def describe_log_groups(self, **_):
        arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/g:*"
        return {
            "logGroups": [
                {"logGroupName": "/g", "creationTime": START - 30 * DAY, "arn": arn, "retentionInDays": 3}
            ]
        }


CASES = {
    "audits_api": (LookupEvents, LookupOptions(REGIONS, START), 90),
    "logs": (CloudWatchLogs, LogsOptions(REGIONS, (GroupRule("/g", START),)), 3),
    "metrics of a minute": (CloudWatchMetrics, MetricsOptions(REGIONS, START, period=60), 15),
    "metrics of ten seconds": (CloudWatchMetrics, MetricsOptions(REGIONS, START, period=10), 1 / 8),
    "guardduty": (GuardDuty, GuardDutyOptions(REGIONS, START), 90),
}


@pytest.mark.parametrize("case", CASES)
def test_an_outage_longer_than_events_are_kept_is_told(case, caplog):
    """Once each time, with what is missing; a shorter one is not; what is kept is collected, once."""
    make, options, days = CASES[case]
    aws = Groups()
    account = SimpleNamespace(
        name="main", where="input main", account_id="123456789012", client=lambda *_: aws
    )
    state, got = {}, []

    def live(hours):
        nonlocal state
        poll = make(account, options, UNLIMITED, threading.Event(), lambda: aws.now)
        (target,) = poll.targets()
        end = aws.now + int(hours * HOUR)
        while aws.now < end:
            again = True
            while again:
                again = False
                for page in poll.pages(target, json.loads(json.dumps(state))):
                    state, again = page.state, page.again
                    got.extend(line for block in page.items for line in block.payload.splitlines())
            aws.now += 300_000

    def told():
        return [one for one in caplog.records if one.message.startswith("start_clamped")]

    live(2)
    aws.now += int(days * DAY) - 2 * HOUR  # down, but not for too long
    live(2)
    assert told() == []
    for outage in (1, 2):
        aws.now += int(days * DAY) + 3 * HOUR
        kept = aws.now - HOUR
        aws.events.append((f"e{outage}", kept, kept))
        live(2)
        assert len(told()) == outage, told()
        assert told()[-1].fields["target"].startswith(*REGIONS)
    assert len(got) == 2
