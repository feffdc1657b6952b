"""Places of credentials that answer in odd shapes: each is told, with what to look at, and no secret is."""

import json
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from sources.aws import renewal
from sources.aws.account import Account, Credentials
from sources.aws.machine import machine_keys
from sources.errors import BadCredentials, IdentityAbsent, SourceError
from tests.fakes.credential_endpoints import Endpoints
from tests.identity.forms import Machine, bare

SECRET, TOKEN = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2luX2VjEXAMPLE"
GOOD = {
    "Version": 1,
    "AccessKeyId": "ASIAEXAMPLE",
    "SecretAccessKey": SECRET,
    "SessionToken": TOKEN,
    "Expiration": "2099-01-01T00:00:00Z",
}
PROFILE = "[default]\n"


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Iterator[Machine]:
    monkeypatch.setattr(renewal, "MIN_INTERVAL_SECONDS", 0.0)
    with Endpoints() as world:
        yield bare(world, tmp_path, monkeypatch)


def prints(machine: Machine, script: str) -> None:
    """Let the machine's `credential_process` be a script."""
    command = machine.file("process.sh", f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    machine.file("config", f"{PROFILE}credential_process = {command}\n")


def refused() -> SourceError:
    """Return why there is no identity, having seen that no secret is told."""
    with pytest.raises(SourceError) as caught:
        Account("prod").identity()
    assert SECRET not in str(caught.value)
    assert TOKEN not in str(caught.value)
    return caught.value


ODD = {
    "Expiration": ["", "soon", 5, "2020-01-01T00:00:00Z", "2099-01-01T00:00:00", {}],
    "AccessKeyId": [None, 5, "", "AS IA", "ÄSIA"],
    "SecretAccessKey": [None, 5, "", "a\nb"],
    "SessionToken": [5, {"a": 1}, "a\r\nX-Evil: b", "é"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in ODD for value in ODD[name]])
def test_r22_a_process_that_prints_an_odd_value(machine, name, value):
    """No key is used that cannot sign, and no end that is none: it is told as the identity's trouble."""
    machine.file("process.json", json.dumps({**GOOD, name: value}))
    prints(machine, f"cat {machine.folder}/process.json")
    error = refused()
    assert isinstance(error, IdentityAbsent | BadCredentials)
    assert error.cause == "input prod, credentials"


@pytest.mark.parametrize(
    "script",
    [
        "echo hello",
        "true",
        "printf '\\377\\376'",
        "echo '[1]'",
        "echo '{\"Version\": 2}'",
        "exit 3",
        f"echo 'aws_secret_access_key = {SECRET}' >&2; exit 1",
        f"echo '+ login --token={TOKEN}' >&2; exit 1",
        f"echo '{SECRET}' >&2; exit 1",
        "yes",
        "yes >&2",
        "exec /nonexistent",
    ],
)
def test_r22_a_process_that_fails_in_its_own_way(machine, script):
    """Whatever it prints, however much: the hint is about the process, and what looks secret is not shown."""
    prints(machine, script)
    error = refused()
    assert isinstance(error, IdentityAbsent)
    assert "credential_process prints" in error.hint
    machine.file("process.json", json.dumps(GOOD))
    prints(machine, f"echo careful >&2; cat {machine.folder}/process.json")
    assert machine_keys("here", "us-east-1").secret_key == SECRET


ROLE = "role_arn = arn:aws:iam::123456789012:role/a\n"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (f"{ROLE}source_profile = b\n[profile b]\n{ROLE}source_profile = default\n", "role of the profile"),
        (f"{ROLE}source_profile = nowhere\n", "role of the profile"),
        (ROLE, "role of the profile"),
        (f"{ROLE}credential_source = Nothing\n", "role of the profile"),
        (f"{ROLE}credential_source = Environment\n", "role of the profile"),
        (f"{ROLE}web_identity_token_file = /nonexistent/token\n", "role of the profile"),
        ("aws_access_key_id = AKIA\n", "give credentials"),
    ],
)
def test_r22_a_profile_that_leads_nowhere(machine, text, hint):
    """Loops, what is missing and files that cannot be read end at once, with what to look at."""
    machine.file("config", PROFILE + text)
    error = refused()
    assert isinstance(error, IdentityAbsent)
    assert hint in error.hint


def test_r28_a_file_that_is_none(machine):
    """A configuration that cannot be read is named, and read again; it is no fault of AWS's."""
    machine.file("config", "[broken\n")
    account = Account("prod")
    with pytest.raises(SourceError, match=r"Unable to parse config file: .*in ~/\.aws"):
        account.identity()
    prints(machine, f"echo '{json.dumps({**GOOD, 'AccessKeyId': machine.world.key})}'")
    assert account.identity().account == "123456789012"


def test_r22_a_line_break_behind_keys_is_none_of_theirs(machine):
    """Secrets made with `echo` end in one: who signed with it was told of a lost connection, for ever."""
    for name, value in (("ACCESS_KEY_ID", machine.world.key), ("SECRET_ACCESS_KEY", "secret")):
        machine.set(**{f"AWS_{name}": f"{value}\n"})
    machine.set(AWS_SESSION_TOKEN="a-session-token\n")
    assert Account("prod").identity().account == "123456789012"


@pytest.mark.parametrize("value", ["a b", "a\nb", "é", "a\0b"])
def test_keys_of_the_configuration_are_text_that_signs(value):
    """A key that no header can bear is an error of the configuration, which does not show it."""
    with pytest.raises(ValidationError, match="has a character that none has") as caught:
        Credentials(access_key="AKIA", access_secret=value)
    assert repr(value) not in str(caught.value)
