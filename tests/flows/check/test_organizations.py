"""`check` over an organization: one line for each account that is not as it should be."""

import json

import pytest
import yaml

from flows.check.finding import Level
from flows.check.run import findings
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.organization import EXTERNAL_ID, ROLE, Organization


@pytest.fixture
def world(monkeypatch):
    fake_aws.reset()
    with fake_aws.FakeAws() as aws:
        for name, value in fake_aws.environment(aws.url).items():
            monkeypatch.setenv(name, value)
        yield Organization(aws, ["us-east-1", "eu-west-1"])


def told(folder) -> list:
    settings = {
        "inputs": {
            "all": {
                "id": "1",
                "organization": {
                    "role_name": ROLE,
                    "external_id": EXTERNAL_ID,
                    "exclude": [fake_aws.ACCOUNT],
                },
                "services": {
                    "audit-events-all": {"types": ["audits_api"]},
                    "logs": {"types": ["logs"], "log_group": "/"},
                    "aws-guardduty": {},
                },
            }
        },
        "outputs": {"file": {"type": "file", "config": {"path": str(folder / "out")}}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return [one for one in findings(folder / "config.yaml") if one.code == "organization"]


def test_accounts_that_are_well_have_one_line_together(world, tmp_path):
    """However many there are."""
    world.join(5)
    world.suspend(world.join(1)[0])
    (line,) = told(tmp_path)
    assert (line.level, line.what) == (
        Level.OK,
        "5 of 5 accounts are well, 1 are suspended and rest",
    )


def test_an_account_without_the_role_has_one_line(world, tmp_path):
    """Not one for each of its regions, services and calls; it says what to do."""
    accounts = world.join(3)
    world.take_role(accounts[1])
    wrong, rest = told(tmp_path)
    assert wrong.level is Level.FAIL
    assert accounts[1] in wrong.where
    assert "role cannot be assumed" in wrong.what
    assert "trust policy" in wrong.hint
    assert rest.what == "2 of 3 accounts are well"


def test_what_several_services_lack_is_one_line(world, tmp_path, monkeypatch):
    """Each missing permission once, in the account's line."""
    (account,) = world.join(1)
    server = world.aws._server
    real = server.app

    def refuses(environ, start_response):
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target.endswith((".LookupEvents", ".DescribeLogGroups")):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            action = "cloudtrail:LookupEvents" if "LookupEvents" in target else "logs:DescribeLogGroups"
            said = f"User: arn:aws:sts::{account}:assumed-role/x/y is not authorized to perform: {action}"
            body = json.dumps({"__type": "AccessDeniedException", "message": said}).encode()
            start_response("400 Bad Request", [("Content-Length", str(len(body)))])
            return [body]
        return real(environ, start_response)

    monkeypatch.setattr(server, "app", refuses)
    wrong, _ = told(tmp_path)
    assert "cloudtrail:LookupEvents" in wrong.what
    assert "logs:DescribeLogGroups" in wrong.what


def test_whoever_may_not_list_accounts_is_told_so(tmp_path, world):
    """The organization of nobody is no account's fault: one line."""
    world.client("organizations").delete_organization()
    (line,) = told(tmp_path)
    assert line.level is Level.FAIL


def deny(server, monkeypatch, regions) -> None:
    """Let a service control policy deny regions, as Control Tower's does: but for what is global."""
    real = server.app

    def app(environ, start_response):
        _, _, region, service, *_ = [*environ.get("HTTP_AUTHORIZATION", "").split("/"), "", "", "", ""]
        if service in {"sts", "organizations", "account"} or region not in regions:
            return real(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        said = (
            "User: arn:aws:sts::1:assumed-role/x/y is not authorized to perform: x:Y with an explicit deny "
            "in a service control policy: arn:aws:organizations::1:policy/o-a/service_control_policy/p-b"
        )
        body = json.dumps({"__type": "AccessDeniedException", "message": said}).encode()
        start_response("403 Forbidden", [("Content-Length", str(len(body)))])
        return [body]

    monkeypatch.setattr(server, "app", app)


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_a_region_that_a_policy_denies_is_no_accounts_fault(world, tmp_path, monkeypatch, region):
    """The region where the collector works is asked first, another one where that is denied."""
    world.join(2)
    deny(world.aws._server, monkeypatch, {region})
    (line,) = told(tmp_path)
    assert (line.level, line.what) == (Level.OK, "2 of 2 accounts are well")


def test_that_all_regions_are_denied_is_told_with_their_number(world, tmp_path, monkeypatch):
    """Then nothing is collected from the account."""
    world.join(1)
    deny(world.aws._server, monkeypatch, {"us-east-1", "eu-west-1"})
    wrong, _ = told(tmp_path)
    assert wrong.level is Level.FAIL
    assert "in each of 2 regions that were asked" in wrong.what
    assert "service control policy" in wrong.what


def test_the_region_where_the_collector_works_is_asked_alone(world, tmp_path):
    """Not the first by alphabet, which policies may deny as well as any."""
    world.join(1)
    told(tmp_path)
    assert {one.region for one in fake_aws.served("cloudtrail.LookupEvents")} == {"us-east-1"}
