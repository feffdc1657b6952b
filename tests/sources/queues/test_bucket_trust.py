"""Whoever can write to a queue can name any bucket: which of them are read is told by others."""

import json
import logging
import threading

import pytest

from sources.errors import SourceError, Transient
from sources.objects.object_ref import ObjectRef
from sources.queues import bucket_trust
from sources.queues.bucket_trust import BucketRule, BucketTrust, open_to_all, told_by_policy
from sources.queues.failure_policy import Rules
from sources.queues.s3 import Access, S3Opener
from sources.queues.sqs import Message, Queue
from tests.sources.objects.fake_s3 import FakeS3
from tests.sources.queues.leasing import Account, aws_error
from tests.sources.queues.test_s3 import LINES, payload, poisons, reader

OWNER = "111122223333"
SQS = Message("m", "r", "", queue="q", account=OWNER, region="eu-west-1")


def statement(source=None, principal=None, **more):
    condition = {"ArnLike": {"aws:SourceArn": source}} if source else {}
    return {
        "Effect": "Allow",
        "Principal": principal or {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": f"arn:aws:sqs:eu-west-1:{OWNER}:q",
        **({"Condition": {**condition, **more}} if condition or more else {}),
    }


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


DOCUMENTED = statement("arn:aws:s3:*:*:trail", StringEquals={"aws:SourceAccount": OWNER})


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (policy(DOCUMENTED), (BucketRule("trail", account=OWNER),)),
        (policy(statement("arn:aws:s3:::trail", {"AWS": "*"})), (BucketRule("trail"),)),
        (policy(statement(["arn:aws:s3:::a", "arn:aws-cn:s3:::b-*"])), (BucketRule("a"), BucketRule("b-*"))),
        (
            policy(statement(StringEquals={"AWS:SourceArn": "arn:aws:s3:::a"}), DOCUMENTED),
            (BucketRule("a"), BucketRule("trail", account=OWNER)),
        ),
        (policy(DOCUMENTED, statement("arn:aws:sns:eu-west-1:1:t", {"Service": "sns.amazonaws.com"})), None),
        (policy(DOCUMENTED, statement(principal={"Service": "events.amazonaws.com"})), None),
        (policy(DOCUMENTED, {**statement(), "Action": ["sqs:*"]}), None),
        (
            policy(DOCUMENTED, {**statement(), "Action": "sqs:ReceiveMessage"}),
            (BucketRule("trail", account=OWNER),),
        ),
        (policy({**DOCUMENTED, "Effect": "Deny"}), None),
        (policy(statement(ArnNotLike={"aws:SourceArn": "arn:aws:s3:::a"})), None),
        (policy(statement(ArnLikeIfExists={"aws:SourceArn": "arn:aws:s3:::a"})), None),
        (policy(statement(principal="*")), None),
        (policy(), None),
        ("", None),
        ("[]", None),
        ("no json", None),
        ('{"Statement": "none"}', None),
        ('{"Statement": [3]}', None),
    ],
)  # fmt: skip
def test_a1_what_a_policy_tells(text, rules):
    """Buckets are learnt where S3 alone may send, for buckets that are named; else nothing is."""
    assert told_by_policy(text) == rules


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        (policy(statement(principal="*")), True),
        (policy(statement(principal={"AWS": "*"})), True),
        (policy(statement(principal={"AWS": ["arn:aws:iam::1:root", "*"]})), True),
        (policy(statement("arn:aws:s3:::a", "*")), False),
        (policy(statement()), False),
        (policy({**statement(principal="*"), "Effect": "Deny"}), False),
        (policy({**statement(principal="*"), "Action": "sqs:GetQueueUrl"}), False),
        ("", False),
    ],
)
def test_a1_queue_open_to_all(text, is_open):
    """A policy that lets everybody send, on no condition, is open to all."""
    assert open_to_all(text) == is_open


NEVER = (
    "arn:aws:s3:eu-west-1:111122223333:accesspoint/ap",
    "arn:aws:s3-object-lambda:eu-west-1:111122223333:accesspoint/ol",
    "arn:aws:s3::111122223333:accesspoint/mfzwi23gnjvgw.mrap",
    "mfzwi23gnjvgw.mrap",
    "ap-hrzrlukc5m36ft7okagglf3gmwluquse1a-s3alias",
    "ol-hrzrlukc5m36ft7okagglf3gmwluquse1b--ol-s3",
    "logs--euw1-az1--x-s3",
    "a/b",
    "a:b",
    "a b",
    "bücket",
    "",
)


@pytest.mark.parametrize("bucket", NEVER)
@pytest.mark.parametrize("rules", [(), (BucketRule(),)])
def test_a1_no_general_purpose_bucket_never_passes(bucket, rules):
    """ARNs, aliases of access points and other kinds of buckets pass under no rule."""
    assert BucketTrust("flowlogs", rules).refusal(ObjectRef(bucket, "k"), SQS)


@pytest.mark.parametrize(
    ("region", "home", "passes"),
    [
        ("", "eu-west-1", True),
        ("us-east-1", "eu-west-1", True),
        ("ap-southeast-5", "eu-west-1", True),
        ("cn-north-1", "eu-west-1", False),
        ("us-gov-west-1", "us-east-1", False),
        ("cn-northwest-1", "cn-north-1", True),
        ("eu-nowhere-1", "eu-west-1", False),
        ("eu-west-1.evil.example/", "eu-west-1", False),
        ("xx-new-1", "xx-new-1", True),
    ],
)
def test_a1_a3_regions_are_botocores(region, home, passes):
    """Regions that botocore does not know, or of another partition than the queue's, never pass."""
    found = BucketTrust("flowlogs").refusal(
        ObjectRef("trail", "k", region), Message("m", "r", "", queue="q", region=home)
    )
    assert (found == "") == passes


def test_a1_rules_of_the_configuration():
    """Names, prefixes and accounts: what fits no rule is refused; the first that fits tells the account."""
    rules = [BucketRule("logs", "AWSLogs/"), BucketRule("org-*", account=OWNER)]
    trust = BucketTrust("flowlogs", rules)
    told = {
        ("logs", "AWSLogs/1/x"): (True, ""),
        ("logs", "secret/x"): (False, ""),
        ("org-1", "any"): (True, OWNER),
        ("finance-secrets", "salaries.csv"): (False, ""),
        ("LOGS", "AWSLogs/1/x"): (False, ""),
    }
    for (bucket, key), (passes, owner) in told.items():
        ref = ObjectRef(bucket, key)
        assert (trust.refusal(ref, SQS) == "", trust.owner(ref, SQS)) == (passes, owner)


class Policies:
    """A queue whose policy can be read, or not."""

    def __init__(self, text=""):
        self.text, self.asked, self.error = text, 0, None
        self.queue = Queue(Account(lambda *_: self), "eu-west-1", "q")

    def get_queue_url(self, **_):
        return {"QueueUrl": "https://sqs/1/q"}

    def get_queue_attributes(self, **_):
        self.asked += 1
        if self.error:
            raise self.error
        return {"Attributes": {"Policy": self.text}} if self.text else {}


def test_a1_learnt_from_the_queue_and_kept(monkeypatch):
    """A policy is read once; again when it does not name a bucket, which may be new, once a minute."""
    clock = [0.0]
    monkeypatch.setattr(bucket_trust.time, "monotonic", lambda: clock[0])
    queue = Policies(policy(DOCUMENTED))
    trust = BucketTrust("flowlogs", (), [queue.queue])
    new = ObjectRef("new", "k")
    for _ in range(3):
        assert not trust.refusal(ObjectRef("trail", "k"), SQS)
        assert trust.owner(ObjectRef("trail", "k"), SQS) == OWNER
        assert trust.refusal(new, SQS) == "the queue's policy does not name it"
    assert queue.asked == 1
    queue.text = policy(DOCUMENTED, statement("arn:aws:s3:::new"))
    clock[0] = 61
    assert not trust.refusal(new, SQS)
    assert queue.asked == 2


@pytest.mark.parametrize("text", ["", policy(statement(principal="*"))])
def test_a1_a_queue_that_tells_nothing_goes_on_as_today(text, caplog):
    """Without rules and with nothing learnt any bucket is read; that is said once for a queue."""
    caplog.set_level(logging.INFO)
    queue = Policies(text)
    trust = BucketTrust("flowlogs", (), [queue.queue])
    assert [trust.refusal(ObjectRef(name, "k"), SQS) for name in ("a", "b", "c")] == ["", "", ""]
    assert queue.asked == 1
    (line,) = [one.getMessage() for one in caplog.records if "buckets_open" in one.getMessage()]
    assert "name the service's buckets" in line


def test_a1_a_policy_that_cannot_be_read():
    """One that may not be read tells nothing; while AWS does not answer, nobody knows."""
    queue = Policies(policy(DOCUMENTED))
    trust = BucketTrust("flowlogs", (), [queue.queue])
    queue.error = aws_error("GetQueueAttributes", "InternalError", 500)
    with pytest.raises(Transient):
        trust.refusal(ObjectRef("new", "k"), SQS)
    queue.error = aws_error("GetQueueAttributes", "AccessDenied", 403)
    assert not trust.refusal(ObjectRef("new", "k"), SQS)


def opener(s3, *rules, **more):
    return S3Opener("flowlogs", s3.account, reader, access=Access(BucketTrust("flowlogs", rules)), **more)


def named(*places):
    records = [
        {
            "eventName": "ObjectCreated:Put",
            "awsRegion": region,
            "s3": {"bucket": {"name": bucket}, "object": {"key": "k"}},
        }
        for bucket, region in places
    ]
    return Message("m", "r", json.dumps({"Records": records}), queue="q", region="eu-west-1")


def test_a1_what_is_outside_is_quarantined_unread():
    """Of a message that names several buckets, the service's own are read; the message goes to quarantine."""
    s3 = FakeS3()
    s3.put("k", LINES, "trail")
    places = [
        ("finance-secrets", "eu-west-1"),
        ("trail", "eu-west-1"),
        ("other", "cn-north-1"),
        (NEVER[0], ""),
    ]
    found = list(opener(s3, BucketRule("trail", account=OWNER)).open(named(*places), lambda _: 0))
    assert payload(found) == LINES
    assert [one["Bucket"] for one in s3.asked] == ["trail"]
    assert s3.asked[0]["ExpectedBucketOwner"] == OWNER
    (poison,) = poisons(found)
    assert (poison.reason, poison.body.decode()) == ("bucket_unexpected", named(*places).body)
    assert "finance-secrets" in poison.detail
    with pytest.raises(SourceError, match="add it to buckets"):
        list(
            opener(s3, BucketRule("trail"), rules=Rules(unreadable="keep")).open(named(*places), lambda _: 0)
        )


def test_a3_invented_regions_make_no_clients():
    """A message of thousands of invented regions asks for no client at all."""
    s3 = FakeS3()
    places = [("trail", f"eu-invented-{n}") for n in range(2400)]
    (poison,) = poisons(list(opener(s3).open(named(*places), lambda _: 0)))
    assert s3.regions == []
    assert len(poison.detail) < 1000


def test_a3_an_answer_does_not_lead_elsewhere():
    """Also S3's word for a bucket's region is followed within the partition only."""
    s3 = FakeS3()

    def fault(**_):
        raise aws_error("GetObject", "PermanentRedirect", 301, Region="cn-north-1")

    s3.fault = fault
    with pytest.raises(SourceError):
        list(opener(s3).open(named(("trail", "eu-west-1")), lambda _: 0))
    assert s3.regions == ["eu-west-1"]


def test_r11_requester_pays():
    """Where the service agrees to pay, every request says so, that for a rest included."""
    s3 = FakeS3()
    s3.put("k", LINES, "trail")
    s3.cuts = [(100, ConnectionResetError())]
    access = Access(BucketTrust("flowlogs"), requester_pays=True)
    paying = S3Opener("flowlogs", s3.account, reader, access=access)
    assert payload(paying.open(named(("trail", "eu-west-1")), lambda _: 0)) == LINES
    assert [one["RequestPayer"] for one in s3.asked] == ["requester"] * 2


def test_a1_many_threads_ask_a_queue_once():
    """Fetchers that begin together wait for one look at the policy."""
    queue = Policies(policy(DOCUMENTED))
    trust = BucketTrust("flowlogs", (), [queue.queue])
    threads = [threading.Thread(target=trust.owner, args=(ObjectRef("trail", "k"), SQS)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queue.asked == 1
