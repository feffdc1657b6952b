"""Queues, against an AWS that enforces policies."""

import json

import pytest

from tests.fakes.ministack import ACCOUNT, REGION
from tests.flows.check.conftest import ALLOWED, WORK, config, flow_logs


@pytest.fixture
def queue(bob, unique):
    """Return a maker of queues with a redrive policy."""

    def make(region=REGION, receives=5, **more):
        dead = bob.aws.queue(unique("dead"), region=region)
        return bob.aws.queue(unique("flow"), region=region, redrive=(dead, receives), **more)

    return make


@pytest.fixture
def ask(look, bob):
    """Return what checks a queue, by its name or URL."""
    return lambda name, region=REGION: look(config(flow_logs(name, region), bob.keys))


def set_attributes(bob, queue, **attributes):
    """Change attributes of a queue."""
    bob.aws.client("sqs", queue.region).set_queue_attributes(QueueUrl=queue.url, Attributes=attributes)


def test_a_queue_in_order(ask, queue):
    """A queue in order is one ok line with its ARN, whether named or given by URL."""
    made = queue()
    for name in (made.name, made.url):
        found = ask(name)
        assert f"there, {made.arn}" in found.line("queue")
        assert not found.of("fail")
        assert [one.code for one in found.of("warn")] == ["buckets_open", "bucket"]


def test_a_queue_that_is_missing(ask):
    """A queue that is nowhere is one failure that names it, its region and the identity."""
    line = ask("nowhere").only("fail", "queue_missing")
    assert "queue nowhere in us-east-1 (input aws): create it, or correct its name, account or region" in line


def test_a_queue_in_another_region(ask, queue):
    """A queue of this name elsewhere is found and named."""
    made = queue("eu-central-1")
    line = ask(made.name).only("fail", "queue_missing")
    assert f"queue {made.name} in us-east-1" in line
    assert "it is in eu-central-1: correct regions" in line


def test_visibility_under_three_intervals(ask, queue):
    """A visibility timeout under three intervals is told."""
    made = queue(visibility=8)
    line = ask(made.name).line("queue_visibility")
    assert line.startswith("warn")
    assert f"8 s, under three intervals of 3 s: queue {made.name} in us-east-1" in line


def test_no_redrive(ask, bob, unique):
    """A queue without a redrive policy is told."""
    line = ask(bob.aws.queue(unique("bare")).name).line("queue_redrive")
    assert "it has no redrive policy" in line


def test_a1_a_queue_open_to_all(ask, queue, bob):
    """A queue to which everybody may send is told, as Devo's page for Umbrella makes them."""
    made = queue()
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": made.arn}
    set_attributes(bob, made, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))
    line = ask(made.name).line("queue_open")
    assert (
        f"its policy lets everybody send to it (Principal * without a condition): queue {made.name}" in line
    )


def test_redrive_after_a_single_receive(ask, queue):
    """A redrive policy that gives up at once is told."""
    assert "gives up after 1 receive:" in ask(queue(receives=1).name).line("queue_redrive")


def test_a_short_retention(ask, bob, queue):
    """A queue that forgets within a day is told."""
    made = queue()
    set_attributes(bob, made, MessageRetentionPeriod="3600")
    assert "forgets messages after 1.0 hours" in ask(made.name).line("queue_retention")


def test_the_key_of_aws(ask, bob, queue):
    """A queue encrypted with AWS's own key, which S3 cannot use, is told."""
    made = queue()
    set_attributes(bob, made, KmsMasterKeyId="alias/aws/sqs")
    assert "S3, SNS and EventBridge cannot send to it" in ask(made.name).line("queue_key")


def test_get_queue_url_is_not_allowed(ask, bob, queue):
    """A missing permission is one failure that names action, principal and the queue's ARN."""
    made = queue()
    bob.may("sqs:GetQueueAttributes", "iam:SimulatePrincipalPolicy", *WORK)
    line = ask(made.name).only("fail", "permission")
    assert f"sqs:GetQueueUrl is not allowed for {bob.arn} on {made.arn}" in line
    assert "no identity-based policy allows" not in line  # that is what a missing permission is


def test_get_queue_attributes_is_not_allowed(ask, bob, queue):
    """What only the check needs is a warning: the collector works without it."""
    made = queue()
    bob.may("sqs:GetQueueUrl", "iam:SimulatePrincipalPolicy", *WORK)
    found = ask(made.name)
    assert not found.of("fail")
    assert f"sqs:GetQueueAttributes is not allowed for {bob.arn} on {made.arn}" in found.line(
        "queue_attributes"
    )


def test_an_explicit_deny_in_aws_own_words(ask, proxy, queue):
    """A deny of the organisation is told as such: one more allow would not help."""
    made = queue()
    text = (
        f"User: arn:aws:iam::{ACCOUNT}:user/x is not authorized to perform: sqs:getqueueurl on resource: "
        f"{made.arn} with an explicit deny in a service control policy"
    )
    proxy.add("error", op="sqs.GetQueueUrl", code="AccessDeniedException", status=403, message=text)
    line = ask(made.name).only("fail", "permission")
    assert "(with an explicit deny in a service control policy)" in line
    assert "allowing it once more does not help" in line


def test_a_region_that_is_switched_off(ask, proxy, queue):
    """A known identity that one region does not know means a region that is not switched on."""
    proxy.add("error", op="sqs.*", code="InvalidClientTokenId", status=403)
    assert "is the region us-east-1 switched on" in ask(queue().name).only("fail", "region")


@pytest.mark.parametrize("action", ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"])
def test_what_no_read_proves_is_simulated(ask, bob, queue, action):
    """Where IAM may be asked, a missing right to receive, delete or extend is one failure with its ARN."""
    made = queue()
    bob.may(*ALLOWED, *(one for one in WORK if one != action))
    line = ask(made.name).only("fail", "permission")
    assert f"{action} is not allowed for {bob.arn} on {made.arn}" in line


def test_without_simulation_the_unproven_is_said(ask, bob, queue):
    """Where IAM may not be asked, one warning names what will show with the first message."""
    bob.may("sqs:GetQueueUrl", "sqs:GetQueueAttributes", *WORK)
    found = ask(queue().name)
    assert not found.of("fail")
    assert "sqs:ChangeMessageVisibility, sqs:DeleteMessage, sqs:ReceiveMessage" in found.line("unproven")


def test_kms_of_a_queue(ask, bob, queue):
    """A queue whose key the identity may not use is one failure that names kms:Decrypt and the key."""
    made, key = queue(), "12345678-1234-1234-1234-123456789012"
    set_attributes(bob, made, KmsMasterKeyId=key)
    line = ask(made.name).only("fail", "kms")
    assert f"kms:Decrypt is not allowed for {bob.arn} on arn:aws:kms:us-east-1:{ACCOUNT}:key/{key}" in line
    bob.may(*ALLOWED, *WORK, "kms:Decrypt")
    assert not ask(made.name).of("fail")


def test_nothing_is_pulled(ask, bob, proxy, queue):
    """Messages stay where they are, never received; no call of the check changes anything."""
    made = queue()
    bob.aws.send(made, "here")
    ask(made.name)
    depth = bob.aws.depth(made)
    assert depth == (1, 0)
    asked = {call.op.split(".")[1] for call in proxy.log}
    assert all(op.startswith(("Get", "Head", "Simulate")) for op in asked), asked
    got = bob.aws.client("sqs").receive_message(QueueUrl=made.url, AttributeNames=["All"])["Messages"]
    assert got[0]["Attributes"]["ApproximateReceiveCount"] == "1"


def test_s1_a_fifo_queue_has_a_ceiling(ask, bob, unique):
    """A FIFO queue is told with what bounds each of its groups, and what to do instead."""
    line = ask(bob.aws.queue(unique("ordered"), fifo=True).url).line("queue_fifo")
    assert line.startswith("warn")
    assert "gives 10 messages of one message group, and more when an output has receipted them" in line
    assert "use a standard queue" in line


FOREIGN = "https://sqs.us-east-1.amazonaws.com/222222222222/theirs"


@pytest.mark.parametrize(
    ("code", "text", "level"),
    [
        (
            "AccessDenied",
            "User: {who} is not authorized to perform: sqs:{op} on resource: {arn} {why}",
            "warn",
        ),
        ("QueueDoesNotExist", "The specified queue does not exist.", "fail"),
    ],
)
def test_a_queue_of_another_account(ask, bob, proxy, code, text, level):
    """A queue of another account that cannot be seen is one line: both accounts, and whose policy decides."""
    arn, why = "arn:aws:sqs:us-east-1:222222222222:theirs", "because no resource-based policy allows it"
    text = text.format(who=bob.arn, op="sqs:getqueueattributes", arn=arn, why=why)
    proxy.add("error", op="sqs.GetQueueAttributes", code=code, status=403, message=text)
    found = ask(FOREIGN)
    line = found.line("queue_foreign")
    assert [one.code for one in found.of("fail")] == ["queue_foreign"] * (level == "fail")
    assert f"the queue is account 222222222222's, and {bob.arn} is of {ACCOUNT}" in line
    assert "let the queue's policy allow sqs:ReceiveMessage, sqs:DeleteMessage" in line
    assert line.endswith("or correct the account in the URL")
