"""Golden pairs: an object made here, and the exact bytes it becomes; see tests/golden/README.md."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from flows.catalogue.object_types import CUSTOM
from flows.catalogue.service import ConfiguredService, Service
from flows.catalogue.services import every, replay_unit
from flows.config.objects import SqsLogsSettings
from flows.steps import apply
from sources.errors import ObjectBroken
from sources.objects.decode import DecodeLimits, head, read
from transforms.block import Block, Item, Origin, Poison

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted(path for path in GOLDEN.glob("*/*") if path.is_dir())
TOO_LITTLE = {"fields-change", "new-folder", "stray-quote", "folders"}
"""Cases with objects too short to show their type."""
NO_EVENTS = {"check-file", "test-file", "success-file", "challenge"}
"""Cases of objects that are written beside a type's own."""


def files(case: Path) -> list[Path]:
    return sorted(file for file in case.rglob("*") if file.is_file())


def service_of(case: Path) -> Service:
    return CUSTOM if case.parent.name == CUSTOM.name else every()[case.parent.name]


def unit_of(case: Path) -> ConfiguredService:
    """Return the unit of a replay, with the case's own settings."""
    unit = replay_unit(service_of(case), None)
    path = case.with_name(case.name + ".options.json")
    changes = json.loads(path.read_text()) if path.exists() else {}
    if case.name.endswith("json") and not path.exists():
        changes["format"] = "json"
    environment = changes.pop("environment", "")
    if isinstance(unit.options, SqsLogsSettings):
        options = SqsLogsSettings.model_validate({"enabled": False, **changes})
    else:
        options = unit.options.model_copy(update=changes)
    return replace(unit, options=options, environment=environment)


def items(unit: ConfiguredService, case: Path, path: Path) -> Iterator[Item]:
    """Yield what a flow would send of one object, and its poison."""
    transform = apply(unit.service.transform(unit))
    key = str(path.relative_to(case))
    if isinstance(unit.options, SqsLogsSettings) and not unit.options.key_filter(key):
        return
    origin = Origin(unit.service.name, "999999999999", "us-east-1", object=key)
    try:
        with path.open("rb") as stream:
            for piece in read(stream, unit.layout().of(key), DecodeLimits()):
                at = replace(origin, record=piece.records - piece.count)
                if piece.reason:
                    yield Poison(piece.reason, piece.detail, at, piece.payload)
                    continue
                yield from transform([Block(piece.payload, piece.count, at, header=piece.header)])
    except ObjectBroken as error:
        yield Poison(error.reason, str(error), replace(origin, record=error.record))


def told(item: Item) -> bytes:
    if isinstance(item, Poison):
        return b"!%s\t%d\t%s\n" % (item.reason.encode(), item.origin.record, item.body.replace(b"\n", b"|"))
    lines = item.payload.split(b"\n")
    assert lines.pop() == b""
    assert len(lines) == item.count
    return b"".join(item.tag.encode() + b"\t" + line + b"\n" for line in lines)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_bytes_are_as_agreed(case):
    """An object of each format becomes exactly these events under exactly these tags."""
    unit = unit_of(case)
    expected = case.with_name(case.name + ".expected")
    got = b"".join(told(item) for path in files(case) for item in items(unit, case, path))
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_bytes(got)
    assert got == expected.read_bytes()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_objects_are_recognised_by_their_own_type_only(case):
    """Of all types just the right one claims an object, by its content and key."""
    for path in files(case):
        with path.open("rb") as stream:
            start = head(stream, 1 << 16)
        key = str(path.relative_to(case))
        claims = [name for name, one in every().items() if one.detect and one.detect(key, start)]
        if service_of(case).detect is None:
            assert len(claims) <= 1
        else:
            assert claims == [case.parent.name] or (not claims and case.name in TOO_LITTLE | NO_EVENTS)


def test_every_s3_type_has_golden_files():
    """No type read from S3 is without a golden pair, and no pair is without its half."""
    s3_types = {name for name, service in every().items() if service.layout}
    assert {case.parent.name for case in CASES} == {*s3_types, CUSTOM.name}
    assert {path.with_suffix("") for path in GOLDEN.glob("*/*.expected")} == set(CASES)
