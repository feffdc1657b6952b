"""Sessions share what botocore knows of AWS's APIs, and nothing else."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from botocore.loaders import Loader
from botocore.session import Session

from sources.aws import sessions
from sources.aws.sessions import new_session, region_of_machine

SERVICES = ["sqs", "s3", "sts", "cloudtrail", "logs", "cloudwatch", "guardduty", "securityhub", "ec2"]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("form", ["service-2", "endpoint-rule-set-1", "paginators-1"])
def test_descriptions_are_botocores(service, form):
    """What is read is what botocore reads, in the same order, but for what it says to people."""
    ours = Loader(file_loader=sessions._Descriptions()).load_service_model(service, form)
    theirs = Loader().load_service_model(service, form)
    assert json.dumps(undocumented(read_now(ours))) == json.dumps(undocumented(theirs))


def read_now(found):
    """Read all that is read only when it is asked for."""
    return {name: read_now(found[name]) for name in found} if isinstance(found, dict) else found


def undocumented(found):
    """Empty texts for people, as against members of that name."""
    if isinstance(found, list):
        return [undocumented(one) for one in found]
    if not isinstance(found, dict):
        return found
    return {
        name: "" if name == "documentation" and isinstance(value, str) else undocumented(value)
        for name, value in found.items()
    }


def test_shapes_are_read_when_they_are_asked_for():
    """A client is made without most of them."""
    model = Loader(file_loader=sessions._Descriptions()).load_service_model("guardduty", "service-2")
    assert all(isinstance(raw, msgspec.Raw) for raw in dict.values(model["shapes"]))
    assert model["shapes"].get("NoSuchShape") is None


def test_clients_of_a_service_share_their_methods():
    """A thousand accounts have the methods of a service once, and botocore's own additions to them."""
    made = [new_session().create_client("s3", region_name="eu-west-1") for _ in range(2)]
    assert made[0].get_object.__func__ is made[1].get_object.__func__
    assert made[0].generate_presigned_url.__func__ is made[1].generate_presigned_url.__func__
    for one in made:
        one.close()


def test_handlers_of_every_service_that_is_asked_are_botocores():
    """No service of ours is without botocore's own handlers, whichever it has."""
    folders = [Path(sessions.__file__).parents[2] / room for room in ("sources", "flows", "sinks")]
    code = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    asked = set(re.findall(r"""(?:\.client|create_client)\(\s*"([a-z0-9-]+)\"""", code))
    assert asked >= {"s3", "sqs", "ec2", "iam"}
    assert not asked & sessions._FOREIGN


def test_descriptions_are_read_once():
    """A thousand accounts cost one reading."""
    first, other = (new_session().get_component("data_loader") for _ in range(2))
    assert first.load_service_model("sqs", "service-2") is other.load_service_model("sqs", "service-2")


def test_credentials_and_hooks_are_not_shared():
    """What one identity is and does stays its own."""
    one, other = new_session(), new_session()
    one.set_credentials("AKIAONE", "planted")
    other.set_credentials("AKIAOTHER", "planted")
    assert (one.get_credentials().access_key, other.get_credentials().access_key) == ("AKIAONE", "AKIAOTHER")
    clients = [session.create_client("sqs", region_name="eu-west-1") for session in (one, other)]
    clients[0].meta.events.register("our-own", lambda **_: "heard")
    heard = [client.meta.events.emit("our-own") for client in clients]
    assert [len(answers) for answers in heard] == [1, 0]


def test_users_own_descriptions_are_found(monkeypatch, tmp_path):
    """AWS_DATA_PATH is where a user puts descriptions of his own."""
    model = tmp_path / "ours" / "2020-01-01"
    model.mkdir(parents=True)
    (model / "service-2.json").write_text(json.dumps({"metadata": {"serviceId": "ours"}}))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    sessions._shared.cache_clear()
    try:
        found = new_session().get_component("data_loader").load_service_model("ours", "service-2")
    finally:
        sessions._shared.cache_clear()
    assert found == {"metadata": {"serviceId": "ours"}}


def test_missing_description_is_botocores_error():
    """An unknown service is told as botocore tells it."""
    with pytest.raises(Exception, match="Unknown service: 'nothing'"):
        Session().create_client("nothing", region_name="eu-west-1")
    with pytest.raises(Exception, match="Unknown service: 'nothing'"):
        new_session().create_client("nothing", region_name="eu-west-1")


@pytest.mark.parametrize(
    ("env", "home"),
    [({}, "eu-west-1"), ({"AWS_REGION": ""}, "eu-west-1"), ({"AWS_REGION": "eu-central-1"}, "eu-central-1")],
)
def test_region_of_the_machine(monkeypatch, env, home):
    """AWS_REGION, which containers and Lambda set and botocore does not read, comes first."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert region_of_machine(Session(), env) == home


def test_hosts_are_read_when_they_are_asked_for():
    """Botocore finds the hosts of every service as in its own reading; what nobody asks for stays unread."""
    ours = Loader(file_loader=sessions._Descriptions()).load_data("endpoints")
    theirs = Loader().load_data("endpoints")
    assert all(isinstance(raw, msgspec.Raw) for raw in dict.values(ours["partitions"][0]["services"]))
    for mine, other in zip(ours["partitions"], theirs["partitions"], strict=True):
        services = mine["services"]
        assert services.keys() == other["services"].keys()
        assert {name: services[name] for name in services} == other["services"]
        assert (services.get("nothing", 7), services.get("s3")) == (7, other["services"].get("s3"))
        assert {**mine, "services": 0} == {**other, "services": 0}
    assert {**ours, "partitions": 0} == {**theirs, "partitions": 0}
