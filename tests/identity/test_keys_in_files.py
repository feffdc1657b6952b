"""Secrets in files, `access_secret: {file: …}`, may be replaced there: no restart, nothing lost."""

from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from botocore.exceptions import ClientError

from flows.config.load import load
from sources.aws.account import Account
from tests.fakes.process import wait_until
from tests.identity.forms import Form, Machine
from tests.identity.test_credential_forms import TROUBLES, Life, lines, machine, told  # noqa: F401 - fixtures

FILES = {"access_key": "key", "access_secret": "secret", "session_token": "token"}


def give(machine: Machine) -> None:  # noqa: F811
    """Write what is good now, each file for itself."""
    for name, value in zip(FILES.values(), machine.world.keys().values(), strict=False):
        machine.file(name, f"{value}\n")


def configured(folder: Path, files: dict[str, str] = FILES, **more: object):
    """Return the credentials of a configuration that names files."""
    credentials = {key: {"file": str(folder / name)} for key, name in files.items()} | more
    service = {"regions": ["us-east-1"], "types": ["audits_api"]}
    written = {"id": "1", "credentials": credentials, "services": {"audit-events-all": service}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"inputs": {"prod": written}}))
    return load(folder / "config.yaml").inputs["prod"].credentials


@pytest.mark.parametrize(
    "trouble", ["rotated", "expired early", "denied then allowed", "expired in mid-page"]
)
def test_r22_keys_in_files_are_read_again(machine, lines, figures, monkeypatch, trouble):  # noqa: F811
    """Other keys in the same files are used as soon as AWS refuses those before; each change is one line."""
    happens, expected = TROUBLES[trouble]
    give(machine)
    credentials = configured(machine.folder)
    monkeypatch.setattr(
        "tests.identity.test_credential_forms.Account", lambda name: Account(name, credentials)
    )
    life = Life(machine, Form(lambda _: None, give, lambda _: None), lines)
    with ExitStack() as stack:
        life.start(stack)
        life.step(2)
        life.flows()
        told(lines)
        happens(life)
        life.step(2)
        life.flows()
        wait_until(lambda: expected <= set(lines.lines), 30, "each change is told", every=0.005)
    said = told(lines)
    figures(
        f"keys in files {trouble:22} put {life.put:3} got {len(set(life.got)):3} lines {len(said)}: {said}"
    )
    assert sorted(life.got) == sorted(f"id-{n}" for n in range(1, life.put + 1))
    assert sorted(said) == sorted(expected)


def test_r22_a_file_that_is_late_is_no_end(machine):  # noqa: F811
    """Files are replaced one after the other: a key without its secret, or none at all, is asked again."""
    give(machine)
    client = Account("prod", configured(machine.folder)).client("cloudtrail", "us-east-1")
    client.lookup_events()
    machine.world.verdict = "SignatureDoesNotMatch"
    with pytest.raises(ClientError):
        client.lookup_events()
    (machine.folder / "secret").unlink()
    (machine.folder / "key").write_text("")
    machine.world.rotate()
    machine.world.verdict = ""
    with pytest.raises(ClientError):
        client.lookup_events()
    give(machine)
    client.lookup_events()


def test_r22_an_external_id_is_read_when_the_role_is_assumed(tmp_path):
    """A new external id in its file counts from the next session on."""
    (tmp_path / "id").write_text("one")
    role = "arn:aws:iam::123456789012:role/r"
    (hop,) = configured(tmp_path, {"assume_role_external_id": "id"}, base_assume_role=role).hops
    assert hop.external_id == "one"
    (tmp_path / "id").write_text("two\n")
    assert hop.external_id == "two"


def test_a_token_of_an_output_is_read_with_each_request(tmp_path):
    """Devo's HTTP token may be replaced in its file too."""
    (tmp_path / "token").write_text("one")
    config = {"endpoint": "https://http-us.devo.io", "domain": "acme", "token": {"file": "token"}}
    service = {"regions": ["us-east-1"], "types": ["audits_api"]}
    written = {
        "inputs": {"prod": {"id": "1", "services": {"audit-events-all": service}}},
        "outputs": {"devo": {"type": "devo_http", "config": config}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(written))
    token = load(tmp_path / "config.yaml").outputs["devo"].config.token
    assert token.get_secret_value() == "one"
    (tmp_path / "token").write_text("two")
    assert token.get_secret_value() == "two"
    assert "two" not in repr(token) + str(token)
