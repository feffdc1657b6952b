"""What `check` may read of an AWS API: one harmless call of each action, as data."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, TypeAlias

from msgspec import Struct

from flows.catalogue.calls import Options_co, Options_contra

Found: TypeAlias = dict[str, list[Any]]
"""What the reads of one service and region have brought: action → mandatory list, as boto3 gives it."""


class ProbeTarget(Struct, Generic[Options_co], frozen=True):
    """Where and when a read is made. part: of what is configured, e.g. one log group; "" = the region.

    account: the number of who reads, "" = unknown.
    """

    options: Options_co
    region: str
    now: datetime
    part: str = ""
    account: str = ""


Parameters: TypeAlias = Callable[[ProbeTarget[Options_contra], Found], Mapping[str, object] | None]
"""From what was found before to the call's parameters; None = there is nothing to ask with."""


Told: TypeAlias = tuple[str, str]
"""What, and a hint."""


def _fits(_asked: ProbeTarget[object], _entry: object) -> bool:
    return True


class Probe(Struct, Generic[Options_contra], frozen=True):
    """One read. action: IAM's name of the call. key: the mandatory list of its reply.

    none: what to say when the list is empty and that is worth a word. fits: whether an entry counts. tell:
    what the entries show of a unit, and as which finding.
    """

    action: str
    key: str
    parameters: Parameters[Options_contra] = lambda _asked, _found: {}
    none: Told | None = None
    fits: Callable[[ProbeTarget[Options_contra], Any], bool] = _fits
    tell: Callable[[Any, Sequence[Any]], Told | None] = lambda _unit, _found: None
    finding: str = "table_missing"
