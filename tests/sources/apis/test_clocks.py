"""A machine's clock that is wrong, or is set while it runs: by AWS's own clock nothing is lost."""

import json
import threading
from collections import Counter
from email.utils import formatdate
from types import SimpleNamespace

import pytest

from sources.apis.cloudtrail import LookupEvents, LookupOptions
from sources.apis.cloudwatch_logs import CloudWatchLogs, LogsOptions
from sources.apis.cloudwatch_metrics import CloudWatchMetrics, MetricsOptions
from sources.apis.guardduty import GuardDuty, GuardDutyOptions
from sources.apis.log_groups import GroupRule
from sources.apis.poll import Target
from sources.apis.window import to_datetime
from tests.sources.listed.test_recheck import HOUR, REGIONS, START, UNLIMITED, World

MINUTE = 60_000
NOW_ON = {
    "audits_api": (LookupEvents, LookupOptions(REGIONS), "id", "eu-west-1", 959_000),
    "logs": (CloudWatchLogs, LogsOptions(REGIONS, (GroupRule("/g"),)), "eventId", "eu-west-1//g", 1_199_000),
    "metrics-all": (CloudWatchMetrics, MetricsOptions(REGIONS), "timestamp", "eu-west-1", 35 * MINUTE),
    "aws-guardduty": (GuardDuty, GuardDutyOptions(REGIONS), "id", "eu-west-1/d1", 21_599_000),
}
"""Service → its `Poll`, options, what tells events apart, a target, the lateness that is covered in ms."""


class Dated(World):
    """The APIs, whose replies bear AWS's time, as real ones do."""

    def __getattribute__(self, name: str) -> object:
        found = object.__getattribute__(self, name)
        if not name.startswith(("lookup_", "filter_", "list_", "get_", "describe_")):
            return found

        def answer(**asked):
            headers = {"date": formatdate(self.now / 1000, usegmt=True)}
            return {**found(**asked), "ResponseMetadata": {"HTTPHeaders": headers}}

        return answer

    def describe_log_groups(self, **_):
        arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/g"
        return {"logGroups": [{"logGroupName": "/g", "arn": arn, "creationTime": START - 48 * HOUR}]}


def lost(service: str, clock) -> tuple[int, int]:
    """Return how many events of eight hours were lost, and came twice. clock: how far ahead, by the poll."""
    make, options, told_by, key, reach = NOW_ON[service]
    aws, state, got, polls = Dated(), {}, Counter[str](), 0
    account = SimpleNamespace(
        name="main", where="input main", account_id="123456789012", client=lambda *_: aws
    )
    poll = make(account, options, UNLIMITED, threading.Event(), lambda: aws.now + clock(polls))
    list(poll.targets())
    target = Target(key, "123456789012", "eu-west-1", key.partition("/")[2])
    for n in range(8 * 60):
        ms = START + MINUTE * (n + 5) if service != "metrics-all" else START + 5 * MINUTE * (n + 1)
        aws.events.append((f"e{n}", ms, ms + reach * (n % 4) // 3))
    due = {
        f"{to_datetime(ms):%Y-%m-%dT%H:%M:%SZ}" if service == "metrics-all" else name
        for name, ms, _ in aws.events
        if ms < START + 8 * HOUR
    }
    while aws.now < START + 20 * HOUR:
        again = True
        while again:
            again = False
            for page in poll.pages(target, json.loads(json.dumps(state))):
                state, again = page.state, page.again
                lines = (one for block in page.items for one in block.payload.splitlines())
                got.update(json.loads(one)[told_by] for one in lines)
        aws.now, polls = aws.now + 5 * MINUTE, polls + 1
    return len(due - set(got)), sum(got[one] - 1 for one in due & set(got))


SKEWS = {f"{minutes:+} min": minutes * MINUTE for minutes in (-60, -5, 0, 5, 60)}


@pytest.mark.parametrize("ahead", SKEWS)
@pytest.mark.parametrize("service", NOW_ON)
def test_r20_a_clock_that_is_wrong_loses_nothing(service, ahead, figures, caplog):
    """From "now" on, as late as the reach covers, whatever the clock says: 0 lost, 0 twice, told once."""
    found = lost(service, lambda _: SKEWS[ahead])
    figures(f"{service:14} clock {ahead:>7}: {found[0]} lost, {found[1]} twice")
    assert found == (0, 0)
    told = [record for record in caplog.records if record.message.startswith("clock_ahead")]
    assert len(told) == (SKEWS[ahead] > 0)


@pytest.mark.parametrize("ahead", SKEWS)
@pytest.mark.parametrize("service", NOW_ON)
def test_r20_a_clock_that_is_set_while_it_runs_loses_nothing(service, ahead):
    """Wrong from the 7th poll on and right again from the 40th: the replies tell it, none is lost."""
    missing, _ = lost(service, lambda polls: SKEWS[ahead] if 6 < polls < 40 else 0)
    assert missing == 0
