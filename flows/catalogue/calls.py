"""What a service asks of AWS: each action with what it is asked of, how often, and as how much it is charged.

Calls are upper bounds of a quiet run: no retries, no throttling, no catching up. Prices: `prices.py`.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from msgspec import Struct

from flows.catalogue.guess import Guess
from flows.config.types import ListingSetting

if TYPE_CHECKING:
    from flows.catalogue.cloudtrail import AuditEventsSettings
    from flows.config.polled import PolledSettings

DAY = 86_400
QUEUE_RESOURCE, OBJECT_RESOURCE, ANY_RESOURCE = "{queue}", "{bucket}/*", "*"
LISTED_RESOURCE = "{bucket}"

PUBLIC_KEYS = "cloudtrail:ListPublicKeys"
"""What asks for the keys of CloudTrail's digests; it has no narrower resource than `*`."""

OptionsT = TypeVar("OptionsT")
Options_contra = TypeVar("Options_contra", contravariant=True)
Options_co = TypeVar("Options_co", covariant=True)

Polled: TypeAlias = "PolledSettings | AuditEventsSettings"
"""Settings of a service that asks an API."""


class PlanScope(Struct, Generic[Options_co], frozen=True):
    """Where calls are counted: a service's settings in one region.

    queue: its name or URL, "" for APIs. messages: a day in that queue. listing: the bucket that is listed.
    """

    options: Options_co
    region: str
    guess: Guess
    queue: str = ""
    messages: float = 0
    listing: ListingSetting | None = None


Resources: TypeAlias = Callable[[Options_contra, str], Iterable[str]]
"""Settings and region → the resources of an action: ARNs, or what stands behind the account in one."""


class ApiCall(Struct, Generic[Options_contra], frozen=True):
    """One action. action: IAM's name.

    a_day: how often it is called in a quiet run, 0 for what happens in trouble only. resource: what it is
    asked of: a queue, an object, a listed bucket, what stands behind the account in an ARN, several such that
    the settings tell, or `*` where AWS checks no narrower one. charged: what AWS counts a day, None = the
    calls.
    """

    action: str
    a_day: Callable[[PlanScope[Options_contra]], float]
    resource: str | Resources[Options_contra] = ANY_RESOURCE
    charged: Callable[[PlanScope[Options_contra]], float] | None = None


def polls(at: PlanScope[Polled]) -> float:
    """Return how often a day a service that asks an API looks in one region."""
    return DAY / at.options.request_period_in_seconds


def in_trouble(_at: PlanScope[object]) -> float:
    """Return how often a day something is asked that a quiet run never asks."""
    return 0
