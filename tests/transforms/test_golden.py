"""Golden pairs: an object made here, and the exact bytes it becomes; `UPDATE_GOLDEN=1` writes them anew.

tests/golden/<service>/<case>/<object…>   what lies in S3, its path below <case> being its key
tests/golden/<service>/<case>.expected    tag, a tab, the event; one line each
"""

import os
from pathlib import Path

import pytest

from flows.aws import apply
from flows.services import by_name, replay_unit
from sources.decode import Limits, read
from transforms.block import Block, Origin

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted(path for path in GOLDEN.glob("*/*") if path.is_dir())


def produced(case: Path) -> bytes:
    unit = replay_unit(by_name()[case.parent.name], None)
    if case.name.endswith("json"):
        options = unit.options.model_copy(update={"format": "json"})
        unit = type(unit)(unit.input_id, unit.setting, unit.account, unit.service, options)
    transform, layout = apply(unit.service.transform(unit)), unit.layout()
    out = []
    for path in sorted(file for file in case.rglob("*") if file.is_file()):
        with path.open("rb") as stream:
            for piece in read(stream, layout, Limits()):
                origin = Origin(unit.service.name, object=str(path.relative_to(case)))
                for item in transform([Block(piece.payload, piece.count, origin, header=piece.header)]):
                    tag, lines = item.tag.encode(), item.payload[:-1].split(b"\n")
                    out += [tag + b"\t" + line + b"\n" for line in lines]
    return b"".join(out)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}/{case.name}")
def test_bytes_are_as_agreed(case):
    """An object of each format becomes exactly these events under exactly these tags."""
    expected = case.with_name(case.name + ".expected")
    got = produced(case)
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_bytes(got)
    assert got == expected.read_bytes()


def test_every_s3_type_has_golden_files():
    """No type read from S3 is without a golden pair."""
    s3_types = {name for name, service in by_name().items() if service.layout}
    assert {case.parent.name for case in CASES} == s3_types
