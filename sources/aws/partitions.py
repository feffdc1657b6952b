"""The parts of AWS (commercial, China, GovCloud, Europe's sovereign cloud, …): regions, ARNs, hosts.

All of it comes from botocore's own data, which a newer botocore or AWS_DATA_PATH extends: no list and no
pattern of ours stands anywhere else.
"""

import re
from functools import cache, lru_cache
from typing import Any

import botocore
from msgspec import Struct

from sources.aws.sessions import new_session

_QUEUES = "sqs"


class Partition(Struct, frozen=True):
    """One part of AWS. name: as in ARNs. regions: known by name. pattern: fits those that are not yet.

    home: the region that stands for the partition where none is told. suffixes: of its host names.
    """

    name: str
    regions: frozenset[str]
    pattern: str
    home: str
    suffixes: tuple[str, ...]


@cache
def partitions() -> tuple[Partition, ...]:
    """Return all partitions that botocore knows."""
    session: Any = new_session()
    told = session.get_component("data_loader").load_data("partitions")["partitions"]
    return tuple(_partition(one) for one in told)


def _partition(told: dict[str, Any]) -> Partition:
    about = told["outputs"]
    return Partition(
        told["id"],
        frozenset(region for region in told["regions"] if not region.endswith("-global")),
        told["regionRegex"],
        about["implicitGlobalRegion"],
        tuple(dict.fromkeys((about["dnsSuffix"], about["dualStackDnsSuffix"]))),
    )


@lru_cache(maxsize=1024)
def of_region(region: str) -> Partition | None:
    """Return the partition of a region, None for what is no region of AWS."""
    known = next((one for one in partitions() if region in one.regions), None)
    return known or next((one for one in partitions() if re.fullmatch(one.pattern, region)), None)


def beside(region: str, home: str) -> bool:
    """Tell whether a region is known by name, and of the same partition as one that is trusted."""
    if region == home:
        return True
    known = next((one for one in partitions() if region in one.regions), None)
    return known is not None and of_region(home) in (known, None)


def names() -> frozenset[str]:
    """Return how ARNs name the partitions."""
    return frozenset(one.name for one in partitions())


def is_region(text: str) -> bool:
    """Tell whether a text is a region's name, also that of one that botocore does not list yet."""
    return of_region(text) is not None


def name_of(region: str) -> str:
    """Return how ARNs name the partition of a region, the commercial one where it is not known."""
    found = of_region(region)
    return found.name if found else partitions()[0].name


def home_of(partition: str, configured: str = "") -> str:
    """Return the region where a partition is asked what concerns all of it: the machine's own if it is of it.

    partition: "" = that of the machine's region.
    """
    own = of_region(configured)
    if own and partition in {"", own.name}:
        return configured
    found = next((one for one in partitions() if one.name == partition), partitions()[0])
    return found.home


def region_of_queue(host: str) -> str:
    """Return the region in the host of a queue's URL, "" if it is none of AWS's (an emulator's)."""
    host = host.lower()
    for suffix in _suffixes():
        labels = host.removesuffix(suffix).split(".") if host.endswith(suffix) else []
        regions = [label for label in labels if is_region(label)]
        if regions and _asks_queues(labels):
            return regions[-1]
    return _oldest_queue_hosts().get(host, "")


@cache
def _suffixes() -> tuple[str, ...]:
    """Return what hosts of AWS end with, each with its dot, the longest first."""
    found = {f".{suffix}" for one in partitions() for suffix in one.suffixes}
    return tuple(sorted(found, key=len, reverse=True))


def _asks_queues(labels: list[str]) -> bool:
    """Tell whether a host is SQS's: its own, a private link's, or the older `REGION.queue`."""
    return bool({_QUEUES, f"{_QUEUES}-fips", "queue"} & set(labels))


@cache
def _oldest_queue_hosts() -> dict[str, str]:
    """Return the hosts of SQS that tell no region → the region that they are of."""
    session: Any = new_session()
    found = {}
    for one in session.get_component("data_loader").load_data("endpoints")["partitions"]:
        known = one["services"].get(_QUEUES, {}).get("endpoints", {})
        for region, about in known.items():
            if "sslCommonName" in about:
                host = about["sslCommonName"].format(
                    region=region, service=_QUEUES, dnsSuffix=one["dnsSuffix"]
                )
                found[host] = region
    return found


def known_by() -> str:
    """Tell whose data this is, for messages."""
    return f"botocore {botocore.__version__}"
