"""Captures that others published are recognised, and hold as many events as a plain reading finds.

They lie beside the project, not in it; without them these tests are skipped.
"""

import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.catalogue.services import every, recognise, replay_unit
from sources.objects.decode import DecodeLimits, head, read
from transforms.block import Block, Origin

DATA = Path(__file__).parents[2].parent / "shared" / "data"
FILES = sorted(path for path in DATA.rglob("*") if path.is_file()) if DATA.is_dir() else []
TYPES = {
    "cloudtrail": "audits_s3",
    "vpcflow": "flowlogs",
    "cloudfront": "cloudfrontlogs",
    "umbrella": "cisco-umbrella",
    "guardduty": "aws_sqs_guard_duty_kinesis",
    "cloudwatch_logs": "aws_sqs_cloudwatch",
}
ONE_BY_ONE = {"valid_vpc_flow_cw.json": "aws_sqs_cloudwatch_vpc"}
NO_CAPTURES = {"cloudtrail_tests.yml", "test_parquet_result.json"}

pytestmark = pytest.mark.skipif(not FILES, reason="the published captures are not here")


def name(path: Path) -> str:
    return str(path.relative_to(DATA))


def recognised(path: Path) -> str:
    with path.open("rb") as stream:
        found = recognise(name(path), head(stream, 1 << 16))
    return found.name if found else ""


def expected_type(path: Path) -> str:
    of_folder = "" if path.name in NO_CAPTURES else TYPES.get(path.relative_to(DATA).parts[0], "")
    return ONE_BY_ONE.get(path.name, of_folder)


def plain_count(path: Path) -> int:
    """Count the events of a capture by the plainest means."""
    data = path.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    if path.suffix == ".parquet":
        return pq.read_table(io.BytesIO(data)).num_rows
    text = data.decode()
    if path.suffix == ".json":
        document = json.loads(text)
        return len(document.get("Records", document.get("logEvents", [None])))
    if "umbrella" in path.parts:
        return len([row for row in csv.reader(io.StringIO(text), skipinitialspace=True) if row])
    rows = [line for line in text.splitlines() if line and not line.startswith("#")]
    return len(rows) - rows[0].startswith("version ")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_each_capture_is_recognised_as_what_it_is(path):
    """S3 captures are claimed by their type; notifications, findings and other files by none."""
    assert recognised(path) == expected_type(path)


@pytest.mark.parametrize("path", [path for path in FILES if expected_type(path)], ids=name)
def test_each_capture_has_all_its_events(path):
    """No event more or less than a JSON, CSV or Parquet reader of the standard kind finds."""
    with path.open("rb") as stream:
        service = recognise(name(path), head(stream, 1 << 16))
    assert service is not None
    unit = replay_unit(service, None)
    transform = unit.service.transform(unit)
    made = []
    with path.open("rb") as stream:
        for piece in read(stream, unit.layout(), DecodeLimits()):
            origin = Origin(service.name, object=name(path))
            made += list(transform(Block(piece.payload, piece.count, origin, header=piece.header)))
    assert sum(block.count for block in made) == plain_count(path) > 0
    assert not [block.tag for block in made if block.tag.endswith("unknown")]


def test_parquet_rows_hold_the_published_values():
    """The rows of a Parquet capture say the same as the JSON that was published with it."""
    folder = DATA / "vpcflow" / "SEKOIA-IO_automation-library"
    wanted = [json.loads(row) for row in json.loads((folder / "test_parquet_result.json").read_text())]
    unit = replay_unit(every()["flowlogs"], None)
    with (folder / "test_parquet.parquet").open("rb") as stream:
        (piece,) = read(stream, unit.layout(), DecodeLimits())
    names = [column.replace("-", "_") for column in piece.header.decode().split()]
    rows = [dict(zip(names, line.split(), strict=True)) for line in piece.payload.decode().splitlines()]
    assert rows[: len(wanted)] == [{key: str(value) for key, value in row.items()} for row in wanted]
