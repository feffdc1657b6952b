"""CloudTrail records keep their bytes and get the tag of their service."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.block import Block, Origin
from transforms.cloudtrail import TEMPLATE, CloudTrailOptions, detect, sources_of, transform
from transforms.tagged import Stamp
from transforms.tags import CloudTrailTables, TagRule

KEY = "s3://b/AWSLogs/o-1/000123456789/CloudTrail/eu-west-3/2026/01/02/x.json.gz"
ORIGIN = Origin("audits_s3", "999999999999", "us-west-2", object=KEY)
AUTO = CloudTrailOptions(auto_event_type=True)
CT = "cloud.aws.cloudtrail."


def record(source=None, **more) -> bytes:
    named = {} if source is None else {"eventSource": source}
    return json.dumps({"eventVersion": "1.10", **named, **more}, ensure_ascii=False).encode()


EC2 = record(
    "ec2.amazonaws.com", eventName="Describe", awsRegion="us-east-1", recipientAccountId="111111111111"
)
IAM = record(
    "iam.amazonaws.com", eventName="CreateUser", awsRegion="us-east-1", recipientAccountId="222222222222"
)
DECOY = {"eventSource": "ec2.amazonaws.com"}
ODD = record("quicksight.amazonaws.com", eventName="DescribeUser")


def block(*lines: bytes, origin: Origin = ORIGIN) -> Block:
    return Block(b"".join(line + b"\n" for line in lines), len(lines), origin)


def sent(options: CloudTrailOptions, given: Block) -> dict[str, list[bytes]]:
    """Return the lines of each tag; counts are checked."""
    out: dict[str, list[bytes]] = {}
    for made in transform(options)(given):
        lines = made.payload.split(b"\n")[:-1]
        assert made.count == len(lines) > 0
        out.setdefault(made.tag, []).extend(lines)
    return out


def test_without_options_a_block_passes_as_it_came():
    """Nothing is parsed, not even what is no JSON."""
    given = block(EC2, b"nonsense", IAM)
    (made,) = transform(CloudTrailOptions())(given)
    assert (made.payload, made.count, made.tag) == (given.payload, 3, CT + "events")
    assert made.payload is given.payload


def test_auto_event_type_groups_by_service():
    """Each service has its table; within it the order stays, and every byte."""
    assert sent(AUTO, block(EC2, IAM, ODD, EC2, IAM)) == {
        CT + "ec2": [EC2, EC2],
        CT + "iam": [IAM, IAM],
        CT + "events": [ODD],
    }


@pytest.mark.parametrize(
    ("line", "table"),
    [
        (record(additionalEventData=DECOY), "events"),
        (record(additionalEventData=DECOY, eventSource="s3.amazonaws.com"), "s3"),
        (record("s3.amazonaws.com", requestParameters='"eventSource":"ec2.amazonaws.com"'), "s3"),
        (record(eventType="AwsCloudTrailInsight", insightDetails=DECOY), "insights"),
        (record(None, digestStartTime="2026-01-01T00:00:00Z", logFiles=[]), "digest_meta"),
        (record(None), "events"),
        (b'{"eventSource":null}', "events"),
        (b'{"eventSource":7}', "events"),
        (b'{"eventSource":"\\u0065c2.amazonaws.com"}', "ec2"),
        (b'{"a":"half \\ud83d","eventSource":"ec2.amazonaws.com"}', "ec2"),
        (b'{"a":"tab\t","eventSource":"ec2.amazonaws.com"}', "ec2"),
        (b'{"eventSource":"ec2.amazonaws.com"', "events"),
        (b"[1]", "events"),
        (b'"eventSource":"ec2.amazonaws.com"', "events"),
        (b'{"eventSource":"ec2.x"} {"eventSource":"s3.x"}', "events"),
        (b'{"a":' * 100_000, "events"),
    ],
    ids=[
        "below another key", "twice", "within a string", "insight", "digest", "none", "null", "number",
        "escaped", "half a surrogate pair", "tab", "cut", "array", "no object", "two on a line", "deep",
    ],
)  # fmt: skip
def test_h10_the_table_of_a_record(line, table):
    """Only a record's own top-level eventSource counts; what cannot be read is an event all the same."""
    assert sent(AUTO, block(IAM, line)) == (
        {CT + "iam": [IAM], CT + table: [line]} if table != "iam" else {CT + "iam": [IAM, line]}
    )


def as_aws(**fields) -> bytes:
    """Return a record as AWS writes it: compact, eventTime right before eventSource."""
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


AT = {"eventVersion": "1.10", "userIdentity": {"type": "Root"}, "eventTime": "2026-01-02T03:04:05Z"}
S3 = as_aws(**AT, eventSource="s3.amazonaws.com")


@pytest.mark.parametrize(
    ("line", "table"),
    [
        (as_aws(**AT, eventSource="ec2.amazonaws.com"), "ec2"),
        (as_aws(**AT, eventSource="ec2.amazonaws.com", additionalEventData={**AT, **DECOY}), "ec2"),
        (as_aws(additionalEventData={**AT, "eventSource": "s3.x"}, **AT, eventSource="ec2.x"), "ec2"),
        (as_aws(**AT, requestParameters=f'{{"eventTime":"Z","eventSource":"{S3}"}}'), "events"),
        (
            as_aws(**AT, eventType="AwsCloudTrailInsight", insightDetails={"state": "Start", **DECOY}),
            "insights",
        ),
        (as_aws(**AT, eventSource=""), "events"),
        (S3.replace(b"s3.", rb"\u0065c2."), "ec2"),
    ],
    ids=["plain", "below another key, later", "and before", "in a string", "insight", "empty", "escaped"],
)
def test_h10_the_table_of_a_record_as_aws_writes_it(line, table):
    """A search that tells sources without a parser finds what a parser finds."""
    assert sent(AUTO, block(S3, line)) == {CT + "s3": [S3], CT + table: [line]}


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["eventTime", "eventSource", "eventName", "a"]),
            st.recursive(
                st.sampled_from(
                    ["2026-01-02T03:04:05Z", "ec2.amazonaws.com", "Z", 'Z","eventSource":"x', ""]
                ),
                lambda inner: st.dictionaries(st.sampled_from(["eventTime", "eventSource", "b"]), inner),
            ),
        ),
        max_size=5,
    )
)
def test_a_search_agrees_with_a_parser(records):
    """Whatever stands where: sources are the top-level ones, or the search says that it cannot tell."""
    lines = [as_aws(**AT | {"eventSource": "s3.x"} | one) for one in records]
    expected = [json.loads(line)["eventSource"] for line in lines]
    found = sources_of(block(*lines))
    assert not found or [one.decode() for one in found] == expected


def test_records_of_aws_need_no_parser():
    """The search is not for nothing."""
    assert sources_of(block(S3)) == [b"s3.amazonaws.com"]


@pytest.mark.parametrize(
    ("of_event", "tags"),
    [
        (True, {"ec2.111111111111.us-east-1", "iam.222222222222.us-east-1", "events.000123456789.eu-west-3"}),
        (
            False,
            {"ec2.999999999999.us-west-2", "iam.999999999999.us-west-2", "events.999999999999.us-west-2"},
        ),
    ],
    ids=["of the event", "of who asked"],
)
def test_place_in_the_tag(of_event, tags):
    """Account and region are the event's, else the key's; or, by configuration, those that were asked."""
    options = CloudTrailOptions(
        TagRule(TEMPLATE, "account_region"), auto_event_type=True, place_of_event=of_event
    )
    assert set(sent(options, block(EC2, IAM, ODD))) == {CT + tag for tag in tags}


def test_place_without_auto_event_type():
    """The suffix alone divides a block by account and region."""
    options = CloudTrailOptions(TagRule(TEMPLATE, "region_account"))
    assert sent(options, block(EC2, IAM)) == {
        CT + "events.us-east-1.111111111111": [EC2],
        CT + "events.us-east-1.222222222222": [IAM],
    }


def test_environment_is_the_first_field():
    """`@devo_environment` is put before a record's own fields, which stay as they are."""
    found = sent(CloudTrailOptions(auto_event_type=True, stamp=Stamp("pro")), block(EC2, IAM, b"{}"))
    assert found[CT + "ec2"] == [b'{"@devo_environment":"pro",' + EC2[1:]]
    assert found[CT + "events"] == [b'{"@devo_environment":"pro"}']


_lines = st.lists(
    st.one_of(
        st.builds(
            record,
            st.none() | st.sampled_from(["ec2.amazonaws.com", "iam.amazonaws.com", "x.y", "", "é\u2028"]),
            eventName=st.sampled_from(["A", "B"]),
            other=st.dictionaries(st.sampled_from(["eventSource", "b"]), st.text(max_size=5), max_size=2),
        ),
        st.binary(min_size=1, max_size=8).filter(lambda b: b"\n" not in b),
    ),
    min_size=1,
    max_size=12,
)


@given(_lines, st.booleans())
def test_no_event_is_lost_or_changed(lines, auto):
    """For all lines: each comes out once, in order within its tag."""
    found = sent(CloudTrailOptions(auto_event_type=auto), block(*lines))
    assert sorted(line for group in found.values() for line in group) == sorted(lines)
    for group in found.values():
        positions = iter(lines)
        assert all(line in positions for line in group)


@pytest.mark.parametrize(
    ("key", "head", "expected"),
    [
        (
            "x.json",
            b'{"Records":[{"eventVersion":"1","eventSource":"s3.x","eventName":"y","eventID":"z"}]}',
            True,
        ),
        ("1_CloudTrail_us-east-1_x.json.gz", b'{"Records":[]}', True),
        ("x.json", b'{"Records":[]}', False),
        ("x_CloudTrail-Digest_y", b'{"awsAccountId":"1","digestS3Bucket":"b"}', True),
        (
            "x",
            b'{"Records":[{"eventSource":"aws:s3","eventName":"Put","s3":{"s3SchemaVersion":"1.0"}}]}',
            False,
        ),
        ("x", b'{"detail-type":"x","detail":{"eventSource":"s","eventName":"n","eventID":"i"}}', False),
        ("x_CloudTrail_", b"2 000123456789 eni-1", False),
        ("x_CloudTrail_", b"", False),
    ],
)
def test_cloudtrail_objects_are_recognised(key, head, expected):
    """Records, digests and empty objects of the right name are CloudTrail; notifications are not."""
    assert detect(key, head) is expected


@pytest.mark.parametrize("suffix", ["none", "account_region"])
def test_services_without_a_table_are_told_by_name(suffix):
    """Each eventSource without a table is told with its number, whether a search or a parser finds it."""
    told = {}
    options = CloudTrailOptions(
        tag=TagRule(TEMPLATE, suffix),
        auto_event_type=True,
        tables=CloudTrailTables(["bedrock"]),
        unknown=lambda source, count: told.update({source: count}),
    )
    names = ["kiro.amazonaws.com", "kiro.amazonaws.com", "s3.amazonaws.com", "bedrock.amazonaws.com", "a.b"]
    found = sent(options, block(*(as_aws(**AT | {"eventSource": name}) for name in names)))
    assert told == {"kiro.amazonaws.com": 2, "a.b": 1}
    assert {tag.split(".")[3] for tag in found} == {"events", "s3", "bedrock"}
