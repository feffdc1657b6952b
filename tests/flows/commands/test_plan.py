"""Calls and money before the start: figures that follow from the configuration."""

import orjson
import pytest
import yaml

from flows.catalogue.guess import Guess
from flows.catalogue.prices import FREE, usd_of
from flows.catalogue.service import LISTED
from flows.catalogue.services import every
from flows.cli import main
from flows.commands.plan import DAYS_A_MONTH, plan, totals
from flows.config.load import load
from sources.aws.spending.book import SpendingBook
from sources.threads import Payer
from tests.sources.apis.test_lateness import HOUR, START, Logs, live, logs

REGIONS = ["eu-west-1", "us-east-1"]
FLOW = {"types": ["flowlogs"], "regions": REGIONS, "vpcflowlogs_sqs_queue_name": "flow"}


@pytest.fixture
def planned(tmp_path):
    """Return what plans a configuration of these services."""

    def make(services, credentials=None, organization=None, **guess):
        made = {"id": "1", "credentials": credentials or {}, "services": services}
        made |= {"organization": organization} if organization else {}
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({"inputs": {"aws": made}}, sort_keys=False))
        return plan(load(path), Guess(**guess))

    return make


def test_queries_cost_what_they_scan(planned):
    """Groups of the class Infrequent Access: each event is scanned twice; without the option nothing is."""
    logs_ = {"types": ["logs"], "regions": REGIONS[:1], "log_group": "/g"}
    assert of(planned({"mine": logs_}, log_megabytes=1000), "logs:StartQuery").calls == 0
    row = of(planned({"mine": {**logs_, "infrequent_access": True}}, log_megabytes=1000), "logs:StartQuery")
    assert row.calls == 288
    assert row.usd == pytest.approx(2 * 0.005 * DAYS_A_MONTH)


def of(rows, action, region="eu-west-1"):
    """Return the row of an action in a region."""
    (row,) = [one for one in rows if one.action == action and one.region == region]
    return row


def test_each_region_is_planned(planned):
    """A service has its rows in each of its regions, and they add up."""
    rows = planned({"non-cloudwatch-logs": FLOW})
    sums = totals(rows)
    assert list(sums) == [("aws", "flowlogs", "eu-west-1"), ("aws", "flowlogs", "us-east-1")]
    assert sums["aws", "flowlogs", "eu-west-1"][0] == sum(
        one.calls for one in rows if one.region == REGIONS[0]
    )


def test_a_queue_and_its_objects(planned):
    """Long polls of 3 s and one GetObject for each object; 0.40 $ a million and 0.0004 $ a thousand."""
    rows = planned({"non-cloudwatch-logs": FLOW}, objects=1_000)
    assert of(rows, "sqs:ReceiveMessage").calls == 28_800 + 1_000
    assert of(rows, "sqs:ReceiveMessage").usd == pytest.approx(29_800 * DAYS_A_MONTH * 0.40 / 1e6)
    assert of(rows, "s3:GetObject").calls == 1_000
    assert of(rows, "s3:GetObject").usd == pytest.approx(1_000 * DAYS_A_MONTH * 0.0004 / 1e3)
    assert "kms:Decrypt" not in {one.action for one in rows}


def test_an_idle_queue_costs_what_the_decision_says(planned):
    """DECISIONS.md names 0.35 USD a month for an idle queue."""
    rows = planned({"non-cloudwatch-logs": FLOW}, objects=0)
    assert of(rows, "sqs:ReceiveMessage").usd == pytest.approx(0.35, abs=0.005)


def test_a_fifo_queue_costs_more(planned):
    """Requests to a FIFO queue cost 0.50 $ a million."""
    events = {"regions": REGIONS[:1], "cloudwatch_sqs_queue_name": "events.fifo"}
    rows = planned({"service-events-all": events}, messages=0)
    assert of(rows, "sqs:ReceiveMessage").usd == pytest.approx(28_800 * DAYS_A_MONTH * 0.50 / 1e6)


def test_encrypted_objects(planned):
    """With a KMS key and no bucket key each object is one Decrypt, 0.03 $ for ten thousand."""
    rows = planned({"non-cloudwatch-logs": FLOW}, objects=10_000, encrypted=True)
    assert of(rows, "kms:Decrypt").usd == pytest.approx(0.03 * DAYS_A_MONTH)


@pytest.mark.parametrize(("period", "polled", "windows"), [(300, 300, 288), (300, 60, 288), (60, 300, 288)])
def test_metrics_are_charged_by_the_metric(planned, period, polled, windows):
    """GetMetricData costs 0.01 $ for a thousand metrics of each poll that has something new to ask."""
    service = {"regions": REGIONS[:1], "period": period, "request_period_in_seconds": polled}
    row = of(planned({"metrics-all": service}, metrics=250), "cloudwatch:GetMetricData")
    assert row.calls == windows * 3  # a hundred metrics a request
    assert row.usd == pytest.approx(windows * 250 * DAYS_A_MONTH * 0.01 / 1e3)


def test_lookup_events_is_free_and_counted(planned):
    """LookupEvents costs nothing; busy regions take more pages, Insight events one more poll each."""
    service = {"types": ["audits_api"], "regions": REGIONS[:1]}
    quiet = of(planned({"audit-events-all": service}, events=0), "cloudtrail:LookupEvents")
    assert (quiet.calls, quiet.usd) == (288, 0)
    busy = of(planned({"audit-events-all": service}, events=100_000), "cloudtrail:LookupEvents")
    assert busy.calls > 5 * quiet.calls
    both = planned({"audit-events-all": {**service, "collect_insights": True}}, events=0)
    assert of(both, "cloudtrail:LookupEvents").calls == 2 * 288


def test_log_groups(planned):
    """Each group is asked once a poll: those that are named, and as many as were guessed for a prefix."""
    logs = {"types": ["logs"], "regions": REGIONS[:1]}
    named = {**logs, "log_groups": [{"log_group": "a"}, {"log_group": "b"}]}
    assert of(planned({"mine": named}, log_megabytes=0), "logs:FilterLogEvents").calls == 2 * 288
    every = planned({"mine": {**logs, "log_group": "/"}}, groups=60, log_megabytes=0)
    assert of(every, "logs:FilterLogEvents").calls == 60 * 288
    assert of(every, "logs:DescribeLogGroups").calls == 2 * 288
    assert not any(row.usd for row in every)


def test_roles_are_renewed(planned):
    """Each hop renews its session of an hour, for nothing."""
    role = "arn:aws:iam::111111111111:role/"
    hops = {"base_assume_role": f"{role}a", "target_assume_role": f"{role}b"}
    row = of(planned({"aws-guardduty": {"regions": REGIONS[:1]}}, hops), "sts:AssumeRole", "")
    assert (row.calls, row.usd) == (64, 0)


@pytest.mark.parametrize(
    ("chosen", "accounts"),
    [
        ({}, 200),
        ({"include": ["ou-ab12-workload1"]}, 200),
        ({"include": ["111111111111", "222222222222"]}, 2),
        ({"include": ["111111111111", "222222222222"], "exclude": ["222222222222"]}, 1),
    ],
)
def test_an_organization_is_planned_account_by_account(planned, chosen, accounts):
    """What one account costs, as often as there are accounts, a queue once; sessions are renewed in each."""
    services = {"metrics-all": {}, "non-cloudwatch-logs": FLOW}
    alone = planned({**services, "metrics-all": {"regions": REGIONS[:1]}})
    rows = planned(services, organization={"regions": REGIONS[:1], **chosen}, accounts=200)
    for action, often in (("cloudwatch:GetMetricData", accounts), ("sqs:ReceiveMessage", 1)):
        one, all_of_them = of(alone, action), of(rows, action)
        assert (all_of_them.calls, all_of_them.usd) == pytest.approx((one.calls * often, one.usd * often))
    assert of(rows, "sts:AssumeRole", "").calls == 32 * accounts


def test_traffic_out_of_aws(planned):
    """Traffic is counted only when asked for."""
    row = of(planned({"non-cloudwatch-logs": FLOW}, traffic_gb=10), "traffic", "")
    assert row.usd == pytest.approx(10 * DAYS_A_MONTH * 0.09)


def test_the_table(planned, tmp_path, capsys):
    """The command prints a line for each service and region, the sums, and what they rest on."""
    planned({"non-cloudwatch-logs": FLOW, "aws-guardduty": {"regions": REGIONS[:1]}})
    assert main(["plan", "--config", str(tmp_path / "config.yaml"), "--objects-per-day", "500000"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[:3] for line in out.splitlines()[1:4]] == [
        ["aws", "flowlogs", "eu-west-1"],
        ["aws", "flowlogs", "us-east-1"],
        ["aws", "aws-guardduty", "eu-west-1"],
    ]
    assert out.splitlines()[3].split()[-1] == "free"
    assert [word[:1].isdigit() for word in out.splitlines()[4].split()] == [False, True, True]
    assert out.splitlines()[4].split()[0] == "total"
    assert "500,000 objects" in out
    assert "us-east-1 list prices of 20" in " ".join(out.split())


def test_the_machine_form(planned, tmp_path, capsys):
    """--json prints every row, the assumptions and the sums."""
    planned({"non-cloudwatch-logs": FLOW})
    assert main(["plan", "--json", "--config", str(tmp_path / "config.yaml"), "--processes", "2"]) == 0
    report = orjson.loads(capsys.readouterr().out)
    assert report["assumed"]["processes"] == 2
    assert report["calls_per_day"] == pytest.approx(sum(row["calls"] for row in report["rows"]), abs=5)
    assert report["usd_per_month"] == pytest.approx(sum(row["usd"] for row in report["rows"]), abs=0.01)


@pytest.mark.parametrize("fill", [0.05, 0.375, 1.2, 2.1])
def test_r20_log_groups_cost_no_more_calls_than_planned(planned, fill):
    """What a day of a log group takes, counted at its API; fill: pages of 1 MiB in a period."""
    aws, message = Logs(page=400), "x" * (1_048_576 // 400)
    run, apart = logs(aws), 300_000 / (fill * 400)
    for n in range(int(24 * HOUR / apart)):
        aws.put(START + int(n * apart), START + int(n * apart) + 500, message)
    live(run, START + 24 * HOUR)
    service = {"types": ["logs"], "regions": REGIONS[:1], "log_group": "/g"}
    megabytes = fill * 288 * 1.048576
    asked = of(planned({"mine": service}, log_megabytes=megabytes), "logs:FilterLogEvents").calls
    assert aws.calls <= asked
    assert asked <= aws.calls * 1.8


def test_a_listing_costs_its_folders_and_its_pages(planned):
    """Each listing asks for its folders, and for each thousand keys of the days that are not over."""
    listing = {"bucket": "vendor", "every_seconds": 60, "late_seconds": 86_400}
    rows = planned(
        {"cisco-umbrella": {"regions": ["eu-west-1"], "s3_listing": listing}}, objects=5_000, folders=4
    )
    assert of(rows, "s3:ListBucket").calls == 1_440 * (4 + 2 * 5)
    assert of(rows, "s3:ListBucket").usd == pytest.approx(1_440 * 14 * DAYS_A_MONTH * 0.005 / 1e3)
    assert of(rows, "s3:GetObject").calls == 5_000
    assert not [one for one in rows if one.action.startswith("sqs:")]


def test_the_plan_beside_what_was_spent(tmp_path, capsys):
    """`--actual` has for each service what was planned, what is spent this month, and what it will cost."""
    path = tmp_path / "config.yaml"
    path.write_text(
        yaml.safe_dump({"inputs": {"aws": {"id": "1", "services": {"non-cloudwatch-logs": FLOW}}}})
    )
    assert main(["plan", "--config", str(path), "--actual"]) == 2
    book = SpendingBook()
    book.keep(tmp_path / "state" / "spent" / "0.spent")
    for _ in range(3):
        book.add(Payer("flowlogs", "aws", "non-cloudwatch-logs"), "sqs:ReceiveMessage", 1, 1_000_000, 10**9)
    book.add(Payer(), "sts:GetCallerIdentity", 1, 1)
    assert main(["plan", "--config", str(path), "--actual", "--json"]) == 0
    found = {one["service"]: one for one in orjson.loads(capsys.readouterr().out)["actual"]}
    assert found["flowlogs"]["usd"] == pytest.approx(1.2)
    assert found["flowlogs"]["calls"] == 3
    assert found["flowlogs"]["planned_usd"] > 0
    assert found["collector"]["calls"] == 1
    assert main(["plan", "--config", str(path), "--actual", str(tmp_path / "state")]) == 0
    assert "flowlogs" in capsys.readouterr().out


def test_every_call_has_its_price():
    """Whatever a service asks is priced by the one table, or known to be free."""
    asked = {call.action for one in every().values() for call in (*one.calls, *LISTED)}
    unknown = [one for one in asked if not usd_of(one) and one.partition(":")[0] not in FREE]
    assert unknown == []
