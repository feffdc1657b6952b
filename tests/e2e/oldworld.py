"""What a state of an older release was made of, made again: three large objects, and events of four APIs.

Names, keys and bytes are the same whenever they are made, so that a later release that goes on from the state
finds what the older one had half read. `make_state.py` is the older half, `test_old_state.py` the later one.
"""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.fakes.certs import Certs
from tests.fakes.collector import Collector, Launch, Site, configuration, output, services
from tests.fakes.corpus import Sample
from tests.fakes.corpus.cloudfront import cloudfront
from tests.fakes.corpus.cloudtrail import cloudtrail
from tests.fakes.corpus.vpcflow import vpc
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import FakeAws
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.ministack import REGION, Ministack
from tests.fakes.receivers import Line

COMMIT = "a2298a1"
STORED = Path(__file__).parent / "states" / f"{COMMIT}.tar.xz"
FACTS = "facts.json"
"""In the archive beside the recovery files: `base`, epoch seconds of the APIs' events; `partial`, how many
records of each object, by its key, the state has as emitted."""

LAUNCH = Launch("bytewax", processes=2)
OBJECTS = ("audits_s3", "flowlogs", "cloudfrontlogs")
PERIOD = 300
_GROUP, _DETECTOR = "/app/orders", "12abc34d567e8fa901bc2d34e56789f0"
_EVENTS = 20
_LEAST_BYTES = 6 << 20
_SETTLE_SECONDS, _OVERLAP_SECONDS, _DELAY_SECONDS = 2, 4, 60
_PIECE_BYTES, _PIECE_SECONDS = 256 << 10, 0.5


def large(service: str) -> Sample:
    """Return one object of some MiB, not compressed: what zlib makes of it is not the same everywhere."""
    maker, join = {
        "audits_s3": (cloudtrail, lambda lines: b'{"Records":[' + b",".join(lines) + b"]}"),
        "flowlogs": (vpc, lambda lines: _VPC_HEAD + b"".join(line + b"\n" for line in lines)),
        "cloudfrontlogs": (cloudfront, lambda lines: b"".join(line + b"\n" for line in lines)),
    }[service]
    made = _some(maker)
    events = [event for sample in made for event in sample.expected]
    key = made[0].key.removesuffix(".gz") + ".large"
    return Sample(service, key, join([event.line for event in events]), tuple(events))


_VPC_HEAD = (
    b"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end "
    b"action log-status\n"
)


def _some(maker: Callable[[random.Random, int], Sample]) -> list[Sample]:
    """Return samples of one kind until they are large enough; numbers that the makers treat alike."""
    made: list[Sample] = []
    size = number = 0
    while size < _LEAST_BYTES:
        sample = maker(random.Random(f"old/{number}"), number)
        made.append(sample)
        size += sum(len(event.line) for event in sample.expected)
        number += 150
    return made


@dataclass(frozen=True, slots=True)
class World:
    """An AWS with the site's queues and buckets, and the APIs beside it."""

    aws: Ministack
    proxy: FaultProxy
    apis: FakeAws
    site: Site

    def waiting(self) -> int:
        """Return how many messages the queues that are read hold."""
        return sum(sum(self.aws.depth(self.site.queues[service])) for service in OBJECTS)

    def collector(self, folder: Path, port: int, certs: Certs, base: int) -> Collector:
        """Make a collector of this world, not yet started."""
        start = datetime.fromtimestamp(base - 3 * PERIOD, UTC).isoformat()
        common = {"regions": [REGION], "request_period_in_seconds": 1, "requests_per_second": 1000}
        reach = {"settle_seconds": _SETTLE_SECONDS, "overlap_seconds": _OVERLAP_SECONDS}
        chosen = services([self.site], auto=True, only=OBJECTS)
        audits = chosen["audit-events-all"]
        audits["types"].append("audits_api")
        audits |= {**common, **reach, "start_time": start}
        chosen |= {
            "my-logs": {"types": ["logs"], "log_group": "/", "start_time": start, **common, **reach},
            "metrics-all": {"period": PERIOD, "delay": _DELAY_SECONDS, "start_time": start, **common},
            "aws-guardduty": {"start_time": start, **common},
        }
        settings = configuration(chosen, output(port, certs), folder)
        made = Collector(SimpleNamespace(url=self.proxy.url), folder / "collector", settings, LAUNCH)
        names = ("CLOUDTRAIL", "CLOUDWATCH", "GUARDDUTY", "CLOUDWATCH_LOGS")
        made.environment = {f"AWS_ENDPOINT_URL_{name}": self.apis.url for name in names}
        return made


@contextmanager
def world(aws: Ministack) -> Iterator[World]:
    """Make queues and buckets with the names that the state knows, and serve the APIs."""
    fake_aws.reset()
    with FaultProxy(aws.url) as proxy, FakeAws() as apis:
        yield World(aws, proxy, apis, Site(aws, lambda name: f"old-{name}"))


def slow(proxy: FaultProxy) -> None:
    """Let objects come so slowly that a snapshot is taken within them."""
    proxy.add("drip", op="s3.GetObject*", size=_PIECE_BYTES, seconds=_PIECE_SECONDS)


def put_api_events(name: str, at: int) -> set[str]:
    """Put events into each API, at some moments up to `at` (epoch seconds); returns what tells them apart."""
    ids = [f"{name}-{number}" for number in range(_EVENTS)]
    at_each = [at - number for number in range(_EVENTS)]
    moments = list(zip(ids, at_each, strict=True))
    fake_aws.put_cloudtrail_events(
        [
            {
                "EventName": "Op",
                "EventTime": when,
                "EventId": f"trail-{one}",
                "CloudTrailEvent": _text("trail", one),
            }
            for one, when in moments
        ]
    )
    fake_aws.put_log_events(
        _GROUP, "s", [{"timestamp": when * 1000, "message": _text("log", one)} for one, when in moments]
    )
    _detector()
    fake_aws.put_findings(
        _DETECTOR,
        [
            {"Id": f"finding-{one}", "UpdatedAt": datetime.fromtimestamp(when, UTC).isoformat()}
            for one, when in moments
        ],
    )
    point = (at - _DELAY_SECONDS) // PERIOD * PERIOD - PERIOD
    fake_aws.put_metric_samples("App", f"metric-{name}", [{"timestamp": point, "value": 1}], {"Host": "h"})
    return {f"{kind}-{one}" for kind in ("trail", "log", "finding") for one in ids} | {f"metric-{name}"}


def _text(kind: str, one: str) -> str:
    return json.dumps({"eventID": f"{kind}-{one}", "eventSource": "ec2.amazonaws.com"})


def _detector() -> None:
    from moto.guardduty.models import guardduty_backends  # noqa: PLC0415 - moto is slow to import

    backend = guardduty_backends[fake_aws.ACCOUNT][REGION]
    if _DETECTOR not in backend.detectors:
        made = backend.create_detector(
            enable=True, finding_publishing_frequency="FIFTEEN_MINUTES", data_sources={}, tags={}, features=[]
        )
        backend.detectors[_DETECTOR] = backend.detectors.pop(made)


def api_name(line: Line) -> str:
    """Return what tells an event of an API from others, as `put_api_events` does; "" for other events."""
    if not line.message.startswith(b"{"):
        return ""
    event: dict[str, Any] = json.loads(line.message)
    inner = json.loads(event["message"]) if "message" in event else event
    found = inner.get("metricName") or inner.get("eventID") or inner.get("Id") or inner.get("id") or ""
    return found if str(found).startswith(("trail-", "log-", "finding-", "metric-")) else ""
