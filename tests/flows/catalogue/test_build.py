"""A unit's settings become its source, at the pace that AWS and the configuration allow."""

from functools import partial

import pytest

from flows.catalogue.build import within
from flows.catalogue.service import ConfiguredService
from flows.catalogue.services import every
from sources.apis.cloudtrail import RATES as LOOKUP
from sources.apis.cloudwatch_metrics import RATES as METRICS
from sources.apis.log_groups import RATES as LOGS
from sources.aws.account import Account
from sources.aws.limiter import Bucket, SharedBucket


def unit_of(name, **more):
    service = every()[name]
    needed = {"regions": ["eu-west-1"], "types": [name], **({"log_group": "/"} if name == "logs" else {})}
    return ConfiguredService(
        "1", service.service_key, Account("in"), service, service.settings.model_validate({**needed, **more})
    )


def gap(limiters, api, region="eu-west-1"):
    """Return the seconds between two turns in the long run."""
    limiter = limiters.of("1", region, api)
    return [limiter.reserve() for _ in range(11)][-1] / 10


@pytest.fixture(autouse=True)
def _clock_that_stands(monkeypatch, tmp_path):
    stands = {"clock": lambda: 1000.0}
    monkeypatch.setattr("sources.aws.limiter.SharedBucket", partial(SharedBucket, folder=tmp_path, **stands))
    monkeypatch.setattr("flows.catalogue.build.Bucket", partial(Bucket, **stands))


@pytest.mark.parametrize(
    ("name", "api", "rates", "fixed", "asked", "expected"),
    [
        ("logs", "FilterLogEvents", LOGS, False, None, 1 / 8),
        ("logs", "FilterLogEvents", LOGS, False, 1, 1),
        ("logs", "FilterLogEvents", LOGS, False, 1000, 1 / 1000),
        ("metrics-all", "ListMetrics", METRICS, False, None, 1 / 20),
        ("metrics-all", "GetMetricData", METRICS, False, None, 1 / 40),
        ("audits_api", "LookupEvents", LOOKUP, True, None, 1 / 1.6),
        ("audits_api", "LookupEvents", LOOKUP, True, 1000, 1 / 1.6),
        ("audits_api", "LookupEvents", LOOKUP, True, 1, 1),
    ],
)
def test_rates(name, api, rates, fixed, asked, expected):
    """AWS's default rate holds until the configuration names one; one that AWS never raises holds always."""
    unit = unit_of(name, **({"requests_per_second": asked} if asked else {}))
    assert gap(within(rates, fixed=fixed)(unit), api) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("region", "expected"), [("us-east-1", 20), ("eu-central-1", 4), ("eu-west-1", 8), ("us-gov-west-1", 8)]
)
def test_a_rate_may_differ_by_region(region, expected):
    """CloudWatch Logs quotas: FilterLogEvents 25 a second in us-east-1, 5 in five regions, else 10."""
    made = within(LOGS)(unit_of("logs"))
    assert gap(made, "FilterLogEvents", region) == pytest.approx(1 / expected, rel=1e-3)
    assert gap(made, "DescribeLogGroups", region) == pytest.approx(1 / 8, rel=1e-3)


def test_the_catalogue_keeps_within_awss_rates():
    """Every rate that AWS states is one of an operation that a service declares."""
    declared = {action.split(":")[1] for one in every().values() for action in one.actions}
    assert {one.partition(" ")[0] for one in (*LOOKUP, *LOGS, *METRICS)} <= declared
