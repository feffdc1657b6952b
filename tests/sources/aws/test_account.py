"""Identities in AWS: forms of credentials, role hops, renewal; against an AWS that checks signatures."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from botocore.session import Session
from msgspec.structs import replace
from pydantic import SecretStr, ValidationError

from sources.aws import account as account_module
from sources.aws import chain as module
from sources.aws import renewal
from sources.aws.account import Account, Credentials, Identity, required
from sources.aws.credentials import Hop
from sources.aws.renewal import RenewedCredentials, SessionKeys
from sources.errors import BadCredentials, Denied, IdentityAbsent, SourceError, Transient
from tests.fakes.faultproxy import FaultProxy
from tests.fakes.ministack import Ministack

ROLE = "arn:aws:iam::000000000000:role/"
REGION = "us-east-1"
BASE, TARGET = f"{ROLE}base", f"{ROLE}target"
EXTERNAL_ID = "an-external-id"
HOPS = {"base_assume_role": BASE, "target_assume_role": TARGET, "assume_role_external_id": EXTERNAL_ID}


def policy(actions, **statement):
    found = {"Effect": "Allow", "Action": actions, **statement}
    return json.dumps({"Version": "2012-10-17", "Statement": [found]})


def trusting(principal, **condition):
    return policy("sts:AssumeRole", Principal={"AWS": principal}, **condition)


@pytest.fixture(scope="module")
def iam():
    """Return keys of a user in an AWS that checks everything; its roles are base and target."""
    with Ministack(auth=True) as started:
        client = started.client("iam")
        client.create_user(UserName="bob")
        key = client.create_access_key(UserName="bob")["AccessKey"]
        user = "arn:aws:iam::000000000000:user/bob"
        client.put_user_policy(UserName="bob", PolicyName="p", PolicyDocument=policy("sts:*", Resource="*"))
        external = {"Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}}
        for name, trust in (("base", trusting(user)), ("target", trusting(BASE, **external))):
            client.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
            allowed = policy(["sts:*", "sqs:*"], Resource="*")
            client.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=allowed)
        started.queue("known")
        yield started, {"access_key": key["AccessKeyId"], "access_secret": key["SecretAccessKey"]}


@pytest.fixture
def keys(iam, monkeypatch):
    """Return bob's keys, with this process's AWS clients pointed at that AWS and no identity of its own."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", iam[0].url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    return iam[1]


@pytest.fixture
def machine(keys, monkeypatch):
    """Give the machine itself bob's identity."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["access_key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["access_secret"])


def account(**more):
    seconds = {"session_seconds": more.pop("session_seconds")} if "session_seconds" in more else {}
    return Account("prod", Credentials(**more), **seconds)


def refusal(**more):
    with pytest.raises(SourceError) as caught:
        account(**more).identity()
    return caught.value


# forms of credentials


def test_keys(keys):
    """An access key works as its user."""
    found = account(**keys)
    assert found.identity() == Identity("000000000000", "arn:aws:iam::000000000000:user/bob")
    assert found.account_id == "000000000000"


def test_default_chain(machine):
    """Without credentials the machine's own identity works."""
    assert account().identity().arn.endswith(":user/bob")


def test_self_account_role(keys):
    """Keys and a base role work as that role."""
    found = account(**keys, base_assume_role=BASE)
    assert found.identity().arn == "arn:aws:sts::000000000000:assumed-role/base/devo-aws-collector-prod"
    assert found.where == f"input prod as {BASE}"


def test_cross_account_in_two_hops(machine):
    """The machine's identity assumes the base role, and that one the target role with its external id."""
    assert ":assumed-role/target/" in account(**HOPS).identity().arn


FROM = {"machine": {}, "keys": {"access_key": "A", "access_secret": "B"}}
EXTERNAL = {"assume_role_external_id": "x"}


@pytest.mark.parametrize("origin", FROM)
@pytest.mark.parametrize(
    ("given", "hops"),
    [
        ({}, ()),
        ({"base_assume_role": BASE}, (Hop("base_assume_role", BASE),)),
        ({"base_assume_role": BASE, **EXTERNAL}, (Hop("base_assume_role", BASE, SecretStr("x")),)),
        ({"target_assume_role": TARGET}, (Hop("target_assume_role", TARGET),)),
        ({"target_assume_role": TARGET, **EXTERNAL}, (Hop("target_assume_role", TARGET, SecretStr("x")),)),
        (HOPS | EXTERNAL, (Hop("base_assume_role", BASE), Hop("target_assume_role", TARGET, SecretStr("x")))),
        (
            {"aws_cross_account_role": TARGET, "aws_external_id": "x"},
            (Hop("target_assume_role", TARGET, SecretStr("x")),),
        ),
    ],
)
def test_r23_every_chain_of_one_or_two_hops(origin, given, hops):
    """Keys or the machine lead by no, one or two roles; the external id goes to the last one."""
    if origin == "keys" or given:
        assert Credentials(**FROM[origin], **given).hops == hops


@pytest.mark.parametrize("origin", FROM)
def test_r23_one_hop_with_an_external_id(keys, iam, monkeypatch, origin):
    """One role with an external id is assumed from keys as from the machine; a wrong id is refused."""
    user = "arn:aws:iam::000000000000:user/bob"
    role = f"hop-{origin}"
    external = {"Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}}
    iam[0].client("iam").create_role(RoleName=role, AssumeRolePolicyDocument=trusting(user, **external))
    given = keys
    if origin == "machine":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["access_key"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["access_secret"])
        given = {}
    hop = {"target_assume_role": f"{ROLE}{role}"}
    found = account(**given, **hop, assume_role_external_id=EXTERNAL_ID).identity()
    assert f":assumed-role/{role}/" in found.arn
    error = refusal(**given, **hop, assume_role_external_id="wrong")
    assert "credentials.target_assume_role" in error.where


def test_devo_sqs_collectors_spellings():
    """The names of Devo's SQS collector mean the same; empty values are absent."""
    found = Credentials(
        aws_access_key_id="",
        aws_secret_access_key="",
        aws_base_account_role=BASE,
        aws_cross_account_role=TARGET,
        aws_external_id="x",
    )
    assert found == Credentials(**HOPS | {"assume_role_external_id": "x"})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"access_key": "A"}, "access_key without access_secret: add access_secret"),
        ({"access_secret": "B"}, "access_secret without access_key: add access_key"),
        ({"session_token": "C"}, "session_token without keys"),
        ({"access_key": "A", "access_secret": "B", "assume_role_external_id": "x"}, "without a role"),
        ({"base_assume_role": "collector", "target_assume_role": TARGET}, "is no role's ARN"),
        ({"access_kee": "A"}, "Extra inputs are not permitted"),
    ],
)
def test_forms_that_make_no_sense(given, reason):
    """Every other set of keys is refused, with what to add or remove."""
    with pytest.raises(ValidationError) as caught:
        Credentials(**given)
    assert reason in str(caught.value)


def test_secrets_do_not_show():
    """Neither the credentials' text, nor the account's, nor an error shows a secret."""
    found = Credentials(access_key="A", access_secret="the-secret", session_token="the-token")
    with pytest.raises(ValidationError) as caught:
        Credentials(access_secret="the-secret", assume_role_external_id="the-id")
    shown = f"{found!r} {found} {Account('a', found)!r} {caught.value}"
    assert not [word for word in ("the-secret", "the-token", "the-id") if word in shown]


# what fails is named


def test_wrong_secret(keys):
    """A key with a wrong secret is told apart from a refusal."""
    error = refusal(access_key=keys["access_key"], access_secret="wrong")
    assert isinstance(error, BadCredentials)
    assert "SignatureDoesNotMatch" in error.what
    assert error.where == "input prod, credentials"


def test_unknown_key(keys):
    """A key that AWS does not know is told."""
    assert "InvalidClientTokenId" in refusal(access_key="AKIANONE", access_secret="x").what


def test_no_identity_at_all(keys):
    """A machine without an identity is told to get one."""
    error = refusal()
    assert isinstance(error, IdentityAbsent)
    assert "give credentials" in error.hint


def test_missing_base_role_is_the_first_hop(machine):
    """A role that does not exist is named with its key in the configuration."""
    error = refusal(base_assume_role=f"{ROLE}gone", target_assume_role=TARGET)
    assert error.where == f"input prod, credentials.base_assume_role {ROLE}gone"
    assert "see that it exists" in error.hint


@pytest.mark.parametrize(
    ("external", "word"), [("wrong", "this assume_role_external_id"), (None, "no external id")]
)
def test_wrong_external_id_is_the_second_hop(machine, external, word):
    """A wrong or lacking external id is named with hop, principal, and what the trust policy needs."""
    error = refusal(**HOPS | {"assume_role_external_id": external})
    assert isinstance(error, BadCredentials)
    assert error.where == f"input prod, credentials.target_assume_role {TARGET}"
    assert (
        "arn:aws:sts::000000000000:assumed-role/base/devo-aws-collector-prod may sts:AssumeRole" in error.hint
    )
    assert word in error.hint
    assert "wrong" not in str(error)


def test_a_refused_hop_is_not_asked_again_at_once(machine, monkeypatch):
    """Sixty targets that wait for a hop which is refused ask STS once, and all get its one cause."""
    asked = []
    real = module.assume

    def assume(*given):
        asked.append(given)
        return real(*given)

    monkeypatch.setattr(module, "assume", assume)
    found = account(**HOPS | {"assume_role_external_id": "wrong"})

    def fails(_):
        with pytest.raises(BadCredentials) as caught:
            ask(found)
        return caught.value.cause

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fails, range(60))) == {f"input prod, credentials.target_assume_role {TARGET}"}
    assert [hop.setting for _, hop, *_ in asked] == ["target_assume_role", "base_assume_role"]


def test_a_refused_hop_is_asked_again_later(monkeypatch):
    """Once the trust policy is mended a later call succeeds, without a restart."""
    monkeypatch.setattr(renewal, "MIN_INTERVAL_SECONDS", 0.0)
    session = SessionKeys("A", "S", "T", datetime(2099, 1, 1, tzinfo=UTC))
    answers = iter([BadCredentials("refused", "the hop", "mend it"), session])

    def refresh():
        found = next(answers)
        if isinstance(found, SourceError):
            raise found
        return found

    credentials = RenewedCredentials(refresh, "here", lambda: datetime.now(UTC))
    with pytest.raises(BadCredentials):
        credentials.get_frozen_credentials()
    assert credentials.get_frozen_credentials().access_key == "A"


def test_wrong_secret_behind_a_role(keys):
    """When the key itself is wrong, the hop is named but not blamed."""
    error = refusal(access_key=keys["access_key"], access_secret="wrong", base_assume_role=BASE)
    assert "SignatureDoesNotMatch" in error.what
    assert "credentials.base_assume_role" in error.where


def test_a_region_that_cannot_be(keys):
    """A region that is no host name is told, not botocore's traceback."""
    with pytest.raises(SourceError) as caught:
        account(**keys).client("sqs", "eu west")
    assert "sqs in eu west" in caught.value.where


def test_account_id_is_told_by_the_role(monkeypatch):
    """With a role nothing needs to be asked to know the account."""
    monkeypatch.setattr(Account, "identity", lambda _: pytest.fail("asked"))
    other = HOPS | {"target_assume_role": "arn:aws-us-gov:iam::210987654321:role/path/target"}
    assert account(**other).account_id == "210987654321"


def test_account_id_when_aws_does_not_tell(keys, monkeypatch):
    """An identity that may not be asked for is no reason to stop."""

    def denied(_):
        raise Denied("GetCallerIdentity failed with AccessDenied", "here", "allow it")

    monkeypatch.setattr(Account, "identity", denied)
    assert account(**keys).account_id == ""


def test_r22_no_account_id_without_an_identity(keys):
    """Events of an identity that is absent or unknown would bear no number: none are read."""
    with pytest.raises(IdentityAbsent):
        _ = account().account_id
    with pytest.raises(BadCredentials):
        _ = account(access_key="AKIANONE", access_secret="x").account_id


def test_h19_account_id_is_asked_again(keys, iam, monkeypatch):
    """A hollow answer of STS is an error, not an account without a number; after some of them it is one."""
    with FaultProxy(iam[0].url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.add("junk", op="sts.GetCallerIdentity", times=1)
        found = account(**keys)
        with pytest.raises(Transient):
            _ = found.account_id
        assert found.account_id == "000000000000"
        proxy.add("junk", op="sts.GetCallerIdentity")
        deaf = account(**keys)
        for _ in range(4):
            with pytest.raises(Transient):
                _ = deaf.account_id
        assert deaf.account_id == ""


# sessions


def ask(found):
    return found.client("sqs", REGION).get_queue_url(QueueName="known")["QueueUrl"]


def test_h18_sessions_are_renewed_before_they_end(machine):
    """A session of two seconds is renewed by itself, in both hops."""
    found = account(**HOPS, session_seconds=2)
    assert ask(found)
    time.sleep(2.1)
    assert ask(found)


@pytest.fixture
def skewed(monkeypatch):
    """Let this machine believe that sessions last for ever; return the roles assumed so far.

    The first session of each role is as short as asked for, later ones last a minute.
    """
    assumed = []
    real = module.assume

    def assume(sts, hop, sessions, name, where):
        longer = replace(sessions, seconds=max(sessions.seconds, 60))
        keys = real(sts, hop, longer if len(assumed) > 1 else sessions, name, where)
        assumed.append(hop.role)
        return replace(keys, ends=datetime(2099, 1, 1, tzinfo=UTC))

    monkeypatch.setattr(module, "assume", assume)
    return assumed


def test_h18_a_session_that_ended_unnoticed_is_renewed_in_the_middle(machine, skewed):
    """When AWS calls a session expired that seemed fine, both hops are renewed and the call succeeds."""
    found = account(**HOPS, session_seconds=2)
    assert ask(found)
    assert skewed == [BASE, TARGET]
    time.sleep(2.1)
    assert ask(found)
    assert skewed == [BASE, TARGET, BASE, TARGET]


def test_h18_many_calls_at_once_renew_once(machine, skewed):
    """Sixteen calls that learn together that their session is over make one new session, not sixteen."""
    found = account(**HOPS, session_seconds=2)
    ask(found)
    time.sleep(2.1)
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda _: ask(found), range(16)))
    assert skewed == [BASE, TARGET] * 2


def test_renew_on_demand(machine, skewed):
    """`renew` makes the next call begin a new session."""
    found = account(**HOPS)
    ask(found)
    found.renew()
    ask(found)
    assert skewed == [BASE, TARGET] * 2


def test_fixed_keys_have_nothing_to_renew(keys):
    """Keys that AWS refuses fail at once, and `renew` is harmless."""
    found = account(access_key="AKIANONE", access_secret="x")
    found.renew()
    with pytest.raises(ClientError):
        ask(found)
    found.renew()


class Sts:
    """An STS that answers as told."""

    def __init__(self, **reply):
        self.reply = reply

    def assume_role(self, **_):
        return self.reply


HOP = Credentials(**HOPS).hops[-1]
SESSIONS = module.AssumedSessions(3600, lambda: datetime.now(UTC))


def test_h18_a_session_that_is_over_when_it_begins():
    """A clock far ahead makes every new session look ended: the message says so."""
    keys = {"AccessKeyId": "ASIA", "SecretAccessKey": "s", "SessionToken": "t"}
    ended = {**keys, "Expiration": datetime.now(UTC) - timedelta(hours=1)}
    with pytest.raises(BadCredentials, match="set this machine's clock"):
        module.assume(Sts(Credentials=ended), HOP, SESSIONS, "prod", "here")


def test_h19_sts_answers_with_nothing():
    """A hollow reply of STS is transient, not a session without keys."""
    with pytest.raises(Transient):
        module.assume(Sts(), HOP, SESSIONS, "prod", "here")
    with pytest.raises(Transient, match="reply without SessionToken"):
        module.assume(Sts(Credentials={"AccessKeyId": "A", "SecretAccessKey": "s"}), HOP, SESSIONS, "p", "h")


# clients


def test_clients_are_made_once(keys):
    """Threads that ask for the same client at once get the same one."""
    found = account(**keys)
    ready = threading.Barrier(8)

    def get(_):
        ready.wait(30)
        return found.client("sqs", REGION)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(map(id, pool.map(get, range(8))))) == 1
    assert found.client("sqs", "eu-west-1") is not found.client("sqs", REGION)


def test_a3_clients_are_bounded(keys, monkeypatch):
    """Whatever regions are asked for, an account keeps so many clients; the one in use stays the same."""
    monkeypatch.setattr(account_module, "MOST_CLIENTS", 4)
    found = account(**keys)
    used = found.client("sts", REGION)
    for number in range(20):
        found.client("s3", f"us-invented-{number}")
        assert found.client("sts", REGION) is used
        assert len(found._clients) == len(found._used) <= 4
    assert used.get_caller_identity()["Arn"]


def test_a3_a_client_that_was_closed_goes_on(keys):
    """A call that is under way, or begins, on a client that was forgotten still succeeds."""
    client = account(**keys).client("sts", REGION)
    client.close()
    assert client.get_caller_identity()["Arn"]


def test_clients_are_set_for_a_collector(keys):
    """Retries, time limits, pool and user agent are ours; the endpoint is botocore's."""
    client = account(**keys).client("sqs", REGION)
    config = client.meta.config
    assert config.retries["mode"] == "standard"
    assert config.retries["total_max_attempts"] == 5
    assert (config.connect_timeout, config.read_timeout) == (5, 60)
    assert (config.max_pool_connections, config.tcp_keepalive) == (64, True)
    assert config.user_agent.startswith("devo-aws-collector/")
    assert client.meta.endpoint_url.startswith("http://127.0.0.1:")


def test_making_an_account_asks_nothing(monkeypatch):
    """Nothing happens before the first client: a configuration can be checked offline."""
    monkeypatch.setattr(module, "new_session", lambda: pytest.fail("asked"))
    assert Account("prod").where == "input prod"


# replies


def test_h19_required_value():
    """A mandatory value that is there is returned, an empty list too."""
    assert required({"Events": []}, "Events", "here") == []


def test_h19_hollow_reply_is_transient():
    """A 200 that came out as {} is no empty page."""
    with pytest.raises(Transient) as caught:
        required({"ResponseMetadata": {}}, "Events", "LookupEvents in eu-west-1")
    assert str(caught.value).startswith("reply without Events: LookupEvents in eu-west-1: ")


PAGE = b'{"events":[{"logStreamName":"s","timestamp":1,"ingestionTime":2,"message":"%s","eventId":"e"}]%s}'


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, PAGE % (b"m \\u00e9 \xc3\xa9", b',"nextToken":"t","searchedLogStreams":[]')),
        (200, PAGE % (b"m", b',"nextToken":null')),
        (200, PAGE % (b"half a pair: \\ud83d", b"")),
        (200, b"{}"),
        (200, b'{"events":null}'),
        (200, b'{"events":[],"Error":"x","ResponseMetadata":null}'),
        (400, b'{"__type":"AccessDeniedException","message":"no"}'),
        (403, b"<html><body>a proxy says no</body></html>"),
    ],
)
def test_replies_are_read_as_botocore_reads_them(keys, status, body):
    """Reading replies at once changes nothing of what callers get."""

    def answer(request, **_):
        raw = SimpleNamespace(stream=lambda: iter([body]))
        return AWSResponse(request.url, status, {}, raw)

    def told(client):
        client.meta.events.register("before-send", answer)
        try:
            reply = client.filter_log_events(logGroupName="g")
        except ClientError as error:
            reply = error.response
        return {key: value for key, value in reply.items() if key != "ResponseMetadata"}

    theirs = Session().create_client("logs", REGION, aws_access_key_id="a", aws_secret_access_key="b")
    assert told(account(**keys).client("logs", REGION)) == told(theirs)
