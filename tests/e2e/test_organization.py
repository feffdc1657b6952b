"""An organization of many accounts in an embedded AWS: every event of four APIs once, whatever happens."""

import json
import random
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from tests.fakes.collector import Collector, Launch, configuration, output, wait_while_moving
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import FakeAws
from tests.fakes.organization import EXTERNAL_ID, ROLE, Organization

_STALL = 240.0
_SERVICES = {
    "audit-events-all": {"types": ["audits_api"], "settle_seconds": 1},
    "logs": {"types": ["logs"], "log_group": "/app", "settle_seconds": 1},
    "metrics-all": {"period": 60, "delay": 1, "namespaces": ["Test"]},
    "aws-guardduty": {},
}


@pytest.fixture
def aws():
    fake_aws.reset()
    with FakeAws() as running:
        yield running


def settings(receiver, certs, folder, period: float, refresh: float) -> dict:
    now = datetime.fromtimestamp(int(time.time()) - 120, UTC).isoformat()
    services = {
        name: {"request_period_in_seconds": period, "start_time": now, **one}
        for name, one in _SERVICES.items()
    }
    made = configuration(services, output(receiver.port, certs), folder)
    made["inputs"]["aws"] |= {
        "credentials": {"access_key": fake_aws.ACCOUNT, "access_secret": "Planted/secret+of=every-test"},
        "organization": {
            "role_name": ROLE,
            "external_id": EXTERNAL_ID,
            "exclude": [fake_aws.ACCOUNT],
            "refresh_seconds": refresh,
            "account_name": True,
        },
    }
    return made


def arrived(receiver) -> Counter:
    """Return how often each (account, mark) has arrived."""
    found = Counter()
    for tag, message in receiver.events().elements():
        event = json.loads(message)
        if "guardduty" in tag:
            found[event["accountId"], event["title"]] += 1
        elif "cloudtrail" in tag:
            found[event["recipientAccountId"], event["mark"]] += 1
        else:
            mark = event.get("message") or event["metricName"]
            found[event["account"], mark] += 1
    return found


@pytest.mark.parametrize(
    ("accounts", "regions", "new", "gone", "without", "kills", "period"),
    [
        pytest.param(6, 2, 2, 1, 1, 1, 3, id="6 accounts", marks=pytest.mark.timeout(600)),
        pytest.param(
            *(200, 3, 20, 10, 5, 5, 60),
            id="200 accounts",
            marks=[pytest.mark.full, pytest.mark.timeout(7200)],
        ),
    ],
)
def test_an_organization_arrives_once_while_accounts_come_and_go(
    aws, rsyslog, certs, tmp_path, figures, accounts, regions, new, gone, without, kills, period
):
    """New accounts are found, those that leave end, a lost role costs nothing, nor does kill -9."""
    chance = random.Random(20)
    world = Organization(aws, ("us-east-1", "eu-west-1", "ap-south-1")[:regions])
    first = world.join(accounts)
    world.put(first)
    collector = Collector(aws, tmp_path / "collector", settings(rsyslog, certs, tmp_path, period, period))

    def have() -> str:
        return f"{rsyslog.size()} of {world.due.total()} lines"

    def refused() -> list[str]:
        return sorted(one["place"].split(":")[-2] for one in collector.told("account_refused"))

    def complete() -> bool:
        """Tell whether all has come: what a kill lets come twice is no other's line."""
        with suppress(ValueError):  # a line that is being written
            return rsyslog.size() >= world.due.total() and not world.due - arrived(rsyslog)
        return False

    def settled() -> None:
        wait_while_moving(collector, complete, have, _STALL)

    collector.launch = Launch("flows")
    collector.environment["COLLECTOR_LOG"] = "json"
    try:
        collector.start()
        settled()
        leaving, poor = first[:gone], first[gone : gone + without]
        world.leave(leaving)
        for account in poor:
            world.take_role(account)
        staying = first[gone:] + world.join(new, joined_days_ago=0)
        for _ in range(kills):
            world.put(staying)
            time.sleep(chance.uniform(period / 2, 2 * period))
            collector.kill()
            collector.start()
        wait_while_moving(collector, lambda: len(refused()) >= len(poor), lambda: f"{refused()} told", _STALL)
        told = refused()
        for account in poor:
            world.give_role(account)
        world.put(staying, ("trail", "logs", "findings"))  # new metrics are listed once an hour
        settled()
        collector.drain()
    finally:
        collector.kill()
    rsyslog.stop()
    found = arrived(rsyslog)
    lost, again = world.due - found, found - world.due
    figures(
        f"{len(world.accounts)} accounts x {regions} regions x 4 APIs: {world.due.total()} events, "
        f"{lost.total()} lost, {again.total()} came twice after {kills} x kill -9; {len(told)} told"
    )
    assert not lost
    assert told == sorted(poor)
    assert {account for account, _ in found} <= set(world.accounts)


@pytest.mark.timeout(600)
def test_processes_of_a_cluster_share_the_targets_of_an_organization(aws, rsyslog, certs, tmp_path, figures):
    """Each target is polled by one process of three, none by two, and every event comes once."""
    world = Organization(aws, ("us-east-1", "eu-west-1"))
    accounts = world.join(5)
    world.put(accounts)
    made = settings(rsyslog, certs, tmp_path, 3, 3)
    made["inputs"]["aws"]["organization"]["account_name_as_tag"] = True
    made["inputs"]["aws"]["services"]["logs"]["tag_suffix"] = "account_region"
    collector = Collector(aws, tmp_path / "collector", made, Launch("flows", processes=3))
    collector.environment |= {"COLLECTOR_LOG": "json", "COLLECTOR_DEBUG": "1"}

    def settled() -> None:
        have = rsyslog.size, world.due.total
        wait_while_moving(collector, lambda: have[0]() >= have[1](), lambda: f"{have[0]()} lines", _STALL)

    try:
        collector.start()
        settled()
        world.put(accounts, ("trail", "logs", "findings"))  # new metrics are listed once an hour
        settled()
        collector.drain()
    finally:
        collector.kill()
    rsyslog.stop()
    polled: dict[int, set[tuple[str, str]]] = {}
    for line in collector.told("polled"):
        polled.setdefault(line["process"], set()).add((line["service"], line["target"]))
    figures(f"targets of each process: {[len(mine) for mine in polled.values()]}")
    assert len(polled) == 3
    assert sum(len(mine) for mine in polled.values()) == len(set().union(*polled.values())) == 5 * 2 * 4
    assert arrived(rsyslog) == world.due
    tags = {tag for tag, _ in rsyslog.events() if tag.endswith(".eu-west-1")}
    assert {tag.split(".")[-2] for tag in tags} == {f"account_{number}" for number in range(5)}
