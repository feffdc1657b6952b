"""Messages that are events: bytes as they came, one block a message, unknown bodies to quarantine."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.errors import SourceError
from sources.queues.events import EventOpener, NotAnEventError, eventbridge, securityhub
from sources.queues.failure_policy import Rules
from sources.queues.object_progress import ALL
from sources.queues.sqs import Message
from transforms.block import Block, Poison

CAPTURES = Path(__file__).parents[4] / "shared/data"
ENVELOPE = (
    '{"version":"0","id":"1","detail-type":"x","source":"aws.ec2","account":"1","region":"r",'
    '"detail":{"n":1.0}}'
)
FINDINGS = '{"Id":"a", "n":1.50},{"Id":"b"}'
HUB = f'{{"source":"aws.securityhub","account":"1","region":"r","detail":{{"findings":[{FINDINGS}]}}}}'


def sns(body):
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:r:1:t", "Message": body})


def opened(body, split=eventbridge, resume=lambda _: 0, rules=None):
    message = Message("m1", "r", body, queue="q", account="9", region="here")
    return list(EventOpener("test", split, rules).open(message, resume))


def test_envelope_stays_byte_for_byte():
    """An EventBridge event on one line is sent as it came."""
    (cut,) = opened(ENVELOPE)
    (block,) = cut.items
    assert block.payload == ENVELOPE.encode() + b"\n"
    assert (block.count, block.origin.account, block.origin.region, block.origin.container) == (
        1,
        "1",
        "r",
        "q",
    )
    assert cut.last


def test_h21_pretty_printed_json_becomes_one_line():
    """JSON over several lines is made compact, its numbers and texts untouched."""
    pretty = json.dumps(json.loads(ENVELOPE), indent=2).replace("\n", "\r\n")
    assert opened(pretty)[0].items[0].payload == ENVELOPE.encode() + b"\n"


@pytest.mark.parametrize("split", [eventbridge, securityhub])
def test_h02_sns_envelope_is_taken_off(split):
    """What came through a topic is the same event."""
    body = {eventbridge: ENVELOPE, securityhub: HUB}[split]
    assert opened(sns(body), split)[0].items[0].payload == opened(body, split)[0].items[0].payload


def test_findings_are_events_of_their_own():
    """Each element of detail.findings is one event, its bytes untouched."""
    (block,) = opened(HUB, securityhub)[0].items
    assert block.payload == b'{"Id":"a", "n":1.50}\n{"Id":"b"}\n'
    assert (block.count, block.origin.account) == (2, "1")


def test_no_findings_are_no_events():
    """An event without findings in its list is settled without a block."""
    (cut,) = opened(HUB.replace(FINDINGS, ""), securityhub)
    assert (cut.items, cut.last) == ((), True)


@pytest.mark.parametrize(
    "body",
    ["", "hello", "[]", "3", "{}", '{"source": 3}', '{"source":"\ud83d"}', ENVELOPE[:-1], "[" * 50_000],
)
def test_h02_unknown_bodies_go_to_quarantine(body):
    """What is no event of this service is kept whole, with a reason."""
    (cut,) = opened(body)
    (poison,) = cut.items
    assert isinstance(poison, Poison)
    assert (poison.reason, poison.body) == ("message_unknown", body.encode("utf-8", "surrogatepass"))
    assert "m1" in poison.detail
    assert cut.last


def test_unknown_bodies_can_be_kept():
    """`unreadable: keep` leaves them to the queue's redrive policy."""
    with pytest.raises(SourceError):
        opened("hello", rules=Rules(unreadable="keep"))


def test_h05_repeated_message_emits_nothing():
    """A message whose events were receipted is known by its id."""
    asked = []
    assert opened(ENVELOPE, resume=lambda identity: asked.append(identity) or ALL) == []
    assert asked == ["sqs/q/m1"]


@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the captures of others are not here")
@pytest.mark.parametrize(
    "name", ["eventBridgeEvent", "cloudWatchAlarmEventSingleMetric", "cloudWatchAlarmEventCompositeMetric"]
)
def test_captured_events(name):
    """Published events of EventBridge and alarms come out on one line with the same content."""
    body = (CAPTURES / f"eventbridge/aws-powertools_powertools-lambda-python/{name}.json").read_text()
    (block,) = opened(body)[0].items
    assert block.payload.count(b"\n") == block.count == 1
    assert json.loads(block.payload) == json.loads(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "source", "detail", "findings"]), inner)
    ),
)


@pytest.mark.parametrize("split", [eventbridge, securityhub])
@given(value=JSON, indent=st.sampled_from([None, 1]))
def test_h21_blocks_hold_whole_lines(split, value, indent):
    """Whatever JSON comes: it is unknown, or a block of as many lines as events."""
    for item in opened(json.dumps(value, indent=indent), split)[0].items:
        if isinstance(item, Block):
            assert item.payload.count(b"\n") == item.count
            assert all(json.loads(line) is not NotImplemented for line in item.payload.splitlines())


def test_wrong_type_of_findings_is_unknown():
    """Findings that are no list make the message unknown."""
    with pytest.raises(NotAnEventError):
        securityhub(b'{"source":"s","detail":{"findings":{}}}')


def test_r9_the_results_of_an_insight_are_an_event():
    """Security Hub's Insight Results have no findings: what they tell is one event, not poison."""
    detail = b'{"insightArn":"arn:aws:securityhub:::insight/a","resultType":"x","insightResults":[{"k":1}]}'
    body = (
        b'{"source":"aws.securityhub","detail-type":"Security Hub Insight Results","account":"1","detail":%b}'
    )
    assert securityhub(body % detail).events == (detail,)


def test_r9_what_has_neither_findings_nor_results_is_unknown():
    """An event of Security Hub that tells neither goes to quarantine with what it lacks."""
    with pytest.raises(NotAnEventError, match="neither findings nor insightResults"):
        securityhub(b'{"source":"aws.securityhub","detail":{"a":1}}')


def hub(place, *findings):
    """Return a Security Hub event of an account's region."""
    account, region = place
    head = {"source": "aws.securityhub", "id": f"{account}-{region}", "account": account, "region": region}
    return json.dumps({**head, "detail": {"findings": findings}})


ADMIN, MEMBER = ("111111111111", "us-east-1"), ("222222222222", "eu-west-1")
FINDING = {"Id": "f", "AwsAccountId": MEMBER[0], "Region": MEMBER[1]}


def test_a_finding_belongs_to_its_own_account_and_region():
    """An administrator's aggregation region sends events of all members and regions under its own name."""
    (block,) = opened(hub(ADMIN, FINDING), securityhub)[0].items
    assert (block.origin.account, block.origin.region) == MEMBER


@pytest.mark.parametrize(
    ("findings", "place"),
    [
        ([FINDING, FINDING], MEMBER),
        ([FINDING, {**FINDING, "Region": "eu-north-1"}], ADMIN),
        ([{**FINDING, "Region": None}], (MEMBER[0], ADMIN[1])),
        ([{"Id": "f"}], ADMIN),
        (["text", 1], ADMIN),
    ],
)
def test_where_findings_do_not_tell_one_place_the_envelopes_is_taken(findings, place):
    """Insights and custom actions carry several; the region is optional in AWS's format."""
    (block,) = opened(hub(ADMIN, *findings), securityhub)[0].items
    assert (block.origin.account, block.origin.region) == place
    assert block.count == len(findings)


def test_one_rule_brings_a_finding_once_and_each_further_rule_once_more():
    """What comes again of one delivery is dropped; the event of another region is another delivery."""
    done = {}
    for number, place in (("m1", ADMIN), ("m1", ADMIN), ("m2", MEMBER)):
        message = Message(number, "r", hub(place, FINDING), queue="q", account="9", region="here")
        for cut in EventOpener("test", securityhub).open(message, lambda identity: done.get(identity, 0)):
            done[cut.object_id] = ALL
    assert list(done) == ["sqs/q/m1", "sqs/q/m2"]
