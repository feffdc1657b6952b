"""What AWS charges for what is asked of it: the one table, for `plan` before and for budgets while it runs.

A price of an action holds for each call unless its unit says otherwise. Requests that fail count here too: a
bill is never higher than what is counted, where prices are us-east-1's; other regions cost up to half as much
again.
"""

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from sources.aws.spending.meter import FIFO

PRICES_OF = "us-east-1 list prices of 2025-01, without free tiers"


class Price(Struct, frozen=True):
    """usd for each `per` units. unit: what AWS counts."""

    usd: float
    per: int
    unit: str = "requests"

    @property
    def each(self) -> float:
        """What one unit costs, in USD."""
        return self.usd / self.per


TRAFFIC = Price(0.09, 1, "GB")
"""Out of AWS; into another service or process of the same region nothing."""

_MEASURES = Price(0.01, 1_000)
_GET, _LIST = Price(0.0004, 1_000), Price(0.005, 1_000)
_STANDARD, _ORDERED = Price(0.40, 1_000_000, "64 KiB"), Price(0.50, 1_000_000, "64 KiB")
_QUEUES = "sqs:"

PRICES: Mapping[str, Price] = MappingProxyType(
    {
        "cloudwatch:GetMetricData": Price(0.01, 1_000, "metrics"),
        "cloudwatch:ListMetrics": _MEASURES,
        "cloudwatch:GetMetricStatistics": _MEASURES,
        "kms:Decrypt": Price(0.03, 10_000),
        "logs:StartQuery": Price(0.005, 1_000, "MB scanned"),
        "s3:GetObject": _GET,
        "s3:GetObjectVersion": _GET,
        "s3:HeadObject": _GET,
        "s3:GetBucketLocation": _GET,
        "s3:ListBucket": _LIST,
        "s3:PutObject": _LIST,
    }
)
"""Action → price; what begins with `sqs:` has its own, by the kind of queue. Everything else is in `FREE`."""

FREE = frozenset({"sts", "logs", "cloudtrail", "guardduty", "organizations", "account", "ec2", "iam"})
"""Services whose calls, as far as they are made here, cost nothing: FilterLogEvents, LookupEvents and so on.
What their replies hold is traffic all the same."""


def usd_of(action: str, *, fifo: bool = False) -> float:
    """Return what one unit of an action costs. fifo: of such a queue; a counted action says it itself."""
    if action.startswith(_QUEUES):
        return (_ORDERED if fifo or action.endswith(FIFO) else _STANDARD).each
    return PRICES[action].each if action in PRICES else 0.0
