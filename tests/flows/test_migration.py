"""docs/migration.md tells each service's tag as the catalogue makes it, beside those of Devo's forwarders."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from flows.catalogue.services import CATALOGUE, every, replay_unit
from flows.config.objects import SqsLogsSettings
from tests.conformance.test_catalogue import DOCUMENTED as OF_THE_COLLECTOR
from tests.conformance.test_catalogue import block, unit
from tests.flows.config.test_objects import DOCUMENTED as OF_THE_SQS_COLLECTOR
from tests.transforms.test_golden import CASES, files, items
from transforms.block import Block

PAGE = Path(__file__).parents[2] / "docs/migration.md"
SUFFIXES = ("none", "account_region", "region_account")
HEAD = "| service | Devo's collector | Devo's Lambda | ours, `none` | `account_region` | `region_account` |"
DEVOS = {**OF_THE_COLLECTOR, **OF_THE_SQS_COLLECTOR}
LAMBDA = {
    "audits_s3": "cloud.aws.cloudtrail.events.A.R",
    "aws_sqs_cloudtrail": "cloud.aws.cloudtrail.events.A.R",
    "service-events-all": "cloud.aws.cloudwatch.events.A.R",
    "cloudfrontlogs": "web.aws.cloudfront.access-w3c.R.INSTANCE",
    "aws_sqs_elb": "web.aws.elb.access.R.INSTANCE",
}
"""Of Devo's forwarders (DevoInc/aws-lambdas: nodejs/index.js, index_cloudwatch.js, python/README.md)."""
SEVERAL = {"aws_sqs_control_tower": "each its own"}
TOLD = {
    **dict.fromkeys(("aws_sqs_fdr", "aws_sqs_fdr_large", "aws_sqs_cloudtrail_kinesis"), (3,)),
    **dict.fromkeys(("cisco-umbrella", "aws_sqs_cisco_umbrella"), (3,)),
    "aws_sqs_jamf": (2,),
    "aws_sqs_os": (1, 2),
    "aws_sqs_palo_alto": (2,),
}
"""Levels that an event or its object's key tells, although the golden objects agree on them."""


def tags(name: str, suffix: str) -> Iterator[str]:
    """Yield the tags that a service gives to its golden objects, or to its one event."""
    service = every()[name]
    if service in CATALOGUE:
        yield from (made.tag for made in service.transform(unit(service, tag_suffix=suffix))(block(service)))
        return
    options = SqsLogsSettings.model_validate({"enabled": False, "tag_suffix": suffix})
    one = replace(replay_unit(service, None), options=options)
    for case in (case for case in CASES if case.parent.name == name):
        for path in files(case):
            yield from (item.tag for item in items(one, case, path) if isinstance(item, Block))


def shown(name: str, suffix: str) -> str:
    """Return a service's tag: A and R for account and region, * for a level that events tell."""
    found = {
        re.sub(r"\.(?:[a-z]+-)+\d+\b", ".R", re.sub(r"\.\d{12}\b", ".A", tag)) for tag in tags(name, suffix)
    }
    named = {tag for tag in found if ".unknown" not in tag} or found
    longest = max(tag.count(".") for tag in named)
    levels = zip(*(tag.split(".") for tag in named if tag.count(".") == longest), strict=True)
    told = TOLD.get(name, ())
    return ".".join(
        level[0] if len({*level}) == 1 and at not in told else "*" for at, level in enumerate(levels)
    )


def row(name: str) -> str:
    """Return the row of a service."""
    ours = [SEVERAL.get(name) or shown(name, suffix) for suffix in SUFFIXES]
    cells = [ours[0] if name in DEVOS else "", LAMBDA.get(name, ""), *ours]
    told = (f"`{cell}`" if "." in cell else cell for cell in cells)
    return re.sub(r"\|  (?=\|)", "| ", f"| `{name}` | {' | '.join(told)} |")


@pytest.mark.parametrize("name", sorted(every()))
def test_each_service_has_its_row(name):
    """Tag of Devo's collector, of its Lambda, and ours with each suffix; UPDATE_GOLDEN=1 writes the table."""
    if os.environ.get("UPDATE_GOLDEN"):
        before, _, rest = PAGE.read_text().partition(HEAD)
        lines = [HEAD, "| --- | --- | --- | --- | --- | --- |", *map(row, sorted(every()))]
        PAGE.write_text("\n".join([f"{before}{lines[0]}", *lines[1:], "", rest.partition("\n\n")[2]]))
    assert row(name) in PAGE.read_text().splitlines()


@pytest.mark.parametrize("name", sorted(DEVOS.keys() - SEVERAL.keys()))
def test_ours_is_that_of_devos_collector(name):
    """Without a suffix a service's tag is the one that Devo documents, as far as no event or key tells it."""
    pairs = zip(shown(name, "none").split("."), DEVOS[name].split("."), strict=True)
    assert all(ours in {devos, "*"} for ours, devos in pairs)
