"""A session that ends in the middle is renewed, and nothing is lost or comes twice.

The queues' AWS checks each signature and each policy: the role may do what its row declares, on what the row
reads, and nothing else. The served APIs know sessions, not policies.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from flows.catalogue.services import every
from sources.aws.account import Account
from tests.conformance.rig import Rig, Waits, play
from tests.conformance.rows import Place, Row, Site
from tests.conformance.waivers import over_rows
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.ministack import Ministack

SESSION_SECONDS = 2
USER = "arn:aws:iam::000000000000:user/collector"


def behind() -> datetime:
    """Tell the time of a machine that is an hour behind: to it a session seems good for long."""
    return datetime.now(UTC) - timedelta(hours=1)


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}
    )


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[Ministack, dict[str, str]]]:
    """Return an AWS that checks everything, and the keys of a user who may assume roles and nothing else."""
    with Ministack(auth=True) as aws:
        iam = aws.client("iam")
        iam.create_user(UserName="collector")
        may = document({"Action": "sts:AssumeRole", "Resource": "*"})
        iam.put_user_policy(UserName="collector", PolicyName="p", PolicyDocument=may)
        key = iam.create_access_key(UserName="collector")["AccessKey"]
        yield aws, {"access_key": key["AccessKeyId"], "access_secret": key["SecretAccessKey"]}


def role_of(keys: Mapping[str, str], row: Row, place: Place, site: Site) -> dict[str, str]:
    """Make a role that may do what the row declares; return credentials that lead to it."""
    name = place.unique("reader")
    trust = document({"Action": "sts:AssumeRole", "Principal": {"AWS": USER if row.leases else "*"}})
    if not row.leases:
        with closing(place.client("iam")) as iam:
            role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
        return {"access_key": place.account, "access_secret": "x", "base_assume_role": role["Arn"]}
    iam = place.aws.client("iam")
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
    allowed = [
        {"Action": _as_ministack_has_them([call.action]), "Resource": call.resource.format_map(site.arns)}
        for call in every()[row.name].calls
    ]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=document(*allowed))
    return {**keys, "base_assume_role": role["Arn"]}


def _as_ministack_has_them(actions: Iterable[str]) -> list[str]:
    """Return IAM actions; to AWS an SQS batch is its single action, ministack wants the batch's own name."""
    batches = [f"{action}Batch" for action in actions if action.startswith("sqs:")]
    return [*actions, *batches]


def ends_in_mid_page(rig: Rig) -> Waits:
    """End the session between two pages."""
    wanted = rig.site.put(range(rig.row.few))
    again = rig.row.operations[-1]
    ended = rig.proxy.add("call", op=again, after=1, times=1, then=fake_aws.expire_sessions)
    yield from rig.finish(rig.start(), wanted)
    assert ended.fired == 1
    assert rig.proxy.count("sts.AssumeRole") > 1


def ends_meanwhile(rig: Rig) -> Waits:
    """Let the session end while messages are leased that no epoch has settled."""
    wanted = rig.site.put(range(rig.row.few))
    started = rig.start()
    yield "all events", lambda: len(started.lines) == len(wanted)
    rig.running.remove(started)  # the dataflow stands still
    renewed = rig.proxy.count("sts.AssumeRole")
    yield "the session is renewed", lambda: rig.proxy.count("sts.AssumeRole") > renewed
    rig.running.append(started)
    wanted += rig.site.put(range(rig.row.few, 2 * rig.row.few))
    yield from rig.finish(started, wanted)


def ends(rig: Rig) -> Waits:
    return ends_meanwhile(rig) if rig.row.leases else ends_in_mid_page(rig)


@pytest.fixture(scope="module")
def outcomes(rigs: Callable, guarded) -> dict[str, Exception | None]:
    """Return what each row met whose sessions end."""
    aws, keys = guarded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sources.aws.renewal.MIN_INTERVAL_SECONDS", 0.2)
        short = partial(Account, session_seconds=SESSION_SECONDS, clock=behind)
        patch.setattr("flows.catalogue.services.Account", short)
        patch.setitem(fake_aws.sts.limits, "shortest", SESSION_SECONDS)
        with rigs(queues=aws, credentials=partial(role_of, keys)) as all_of_them:
            return play(ends, all_of_them)


@over_rows("survive_a_session_that_ends")
def test_h18_survive_a_session_that_ends(outcomes, row):
    """AWS calls the session over in mid-page, or while messages are leased: each event comes once."""
    failure = outcomes[row.name]
    if failure:
        raise failure
