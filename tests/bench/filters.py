"""What filters cost: events a second of a transform without them, with no rule, and with each kind.

    python -m tests.bench.filters

The first two rows are the same function: a service whose settings have no rule has no step for it. Rounds
take turns, and the best of each counts.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from flows.catalogue.filters import filters_of
from flows.catalogue.service import ConfiguredService
from flows.catalogue.services import every, replay_unit
from flows.catalogue.tagging import cloudtrail_records
from transforms.block import Block, Origin, Transform

EVENTS, ROUNDS = 3_000, 60
FIELD = {"record_field_mapping": {"ip": {"keys": ["sourceIPAddress"]}}}
KINDS: dict[str, dict[str, Any]] = {
    "no rule": {},
    "drop_event_names": {"drop_event_names": ["Decrypt"]},
    "line_filter_rules, pattern": {"line_filter_rules": [[{"pattern": "Decrypt"}]]},
    "line_filter_rules, record": {
        **FIELD,
        "line_filter_rules": [[{"source": "record", "key": "ip", "value": "10.0.0.1"}]],
    },
    "keep_one_in": {"keep_one_in": 10},
    "mask": {"mask": {"keys": ["sourceIPAddress"]}},
}


def block() -> Block:
    """Return CloudTrail records, a tenth of which are dropped."""
    names = ["Decrypt", *["GetObject"] * 9]
    lines = (
        b'{"eventVersion":"1.10","userIdentity":{"type":"AssumedRole","accountId":"123456789012"},'
        b'"eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"%b",'
        b'"awsRegion":"eu-west-1","sourceIPAddress":"192.0.2.%d","eventID":"e%d"}\n'
        % (names[number % len(names)].encode(), number % 250, number)
        for number in range(EVENTS)
    )
    return Block(b"".join(lines), EVENTS, Origin("audits_s3", "123456789012", "eu-west-1"))


def unit(settings: dict[str, Any]) -> ConfiguredService[Any]:
    """Return CloudTrail from S3 with these settings."""
    service = every()["audits_s3"]
    given = {"enabled": False, "types": ["audits_s3"], "auto_event_type": True, **settings}
    made = replay_unit(service, None)
    options = service.settings.model_validate(given)
    return ConfiguredService("1", service.service_key, made.account, service, options)


def works() -> Iterator[tuple[str, Transform]]:
    """Yield each form of the transform."""
    yield "the bare transform", cloudtrail_records(unit({}), auto_event_type=True)
    for name, settings in KINDS.items():
        one = unit(settings)
        assert bool(filters_of(one).rules or one.options.mask) == bool(settings)
        yield name, one.service.transform(one)


def seconds(work: Callable[[Block], Any], given: Block) -> float:
    """Return how long a transform takes for a block."""
    start = time.perf_counter()
    list(work(given))
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    given, chosen = block(), dict(works())
    best = dict.fromkeys(chosen, 1e9)
    for _ in range(ROUNDS):
        best = {name: min(best[name], seconds(work, given)) for name, work in chosen.items()}
    for name, took in best.items():
        print(f"{name:<28} {EVENTS / took / 1e6:6.2f} M events/s")


if __name__ == "__main__":
    main()
