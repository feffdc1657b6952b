"""A first configuration: of every service, complete, right, and checked; what is missing is asked for."""

import json

import pytest
import yaml

from flows.catalogue.services import every, units
from flows.cli import main
from flows.config.load import load
from tests.fakes.certs import make_certs

GIVEN = ("--region", "eu-west-1", "--account", "111122223333", "--devo", "console", "--offline")


def services(path):
    return yaml.safe_load(path.read_text())["inputs"]["production"]["services"]


@pytest.mark.parametrize("name", every())
def test_every_service_is_begun_with(tmp_path, name, capsys):
    """A name and, where there is one, a queue are enough for a configuration that is right."""
    folder = tmp_path / "new"
    assert main(["init", str(folder), *GIVEN, "--service", f"{name}=mine"]) == 0
    assert name in {unit.service.name for unit in units(load(folder / "config.yaml"))} or every()[name].parts
    assert (folder / "config.yaml").stat().st_mode & 0o777 == 0o600
    assert json.loads((folder / "policy.json").read_text())["Statement"]
    assert "AWS::IAM::ManagedPolicy" in (folder / "stack.yaml").read_text()
    assert "fail " not in capsys.readouterr().out


def test_types_of_one_key_stand_together(tmp_path):
    """Services that share a key and have queues of their own are one section."""
    chosen = [f"--service={one}" for one in ("flowlogs=a", "cloudfrontlogs=b", "audits_api", "audits_s3=c")]
    assert (
        main(["init", str(tmp_path), *GIVEN, *chosen, "--role", "arn:aws:iam::111122223333:role/reader"]) == 0
    )
    assert services(tmp_path / "config.yaml") == {
        "non-cloudwatch-logs": {
            "regions": ["eu-west-1"],
            "types": ["flowlogs", "cloudfrontlogs"],
            "vpcflowlogs_sqs_queue_name": "a",
            "cloudfrontlogs_sqs_queue_name": "b",
        },
        "audit-events-all": {
            "regions": ["eu-west-1"],
            "types": ["audits_api", "audits_s3"],
            "audit_sqs_queue_name": "c",
        },
    }
    assert (
        load(tmp_path / "config.yaml").inputs["production"].credentials.base_assume_role.endswith("/reader")
    )


def test_buckets_are_those_that_are_read(tmp_path):
    """What is given for the policy is in the configuration, too: no message has another bucket read."""
    given = [*GIVEN, "--service", "aws_sqs_vpc=q", "--service", "audits_api", "--bucket", "mine/AWSLogs"]
    assert main(["init", str(tmp_path), *given]) == 0
    assert services(tmp_path / "config.yaml")["aws_sqs_vpc"]["buckets"] == ["mine/AWSLogs"]
    assert "arn:aws:s3:::mine/AWSLogs" in (tmp_path / "policy.json").read_text()


def test_with_devo_the_certificates_are_what_is_missing(tmp_path, capsys):
    """`check` names the files that are still to be put beside the configuration; with them it is content."""
    given = [*GIVEN, "--devo", "collector-eu.devo.io", "--service", "aws_sqs_vpc=q"]
    assert main(["init", str(tmp_path / "new"), *given]) in {1, 2}
    told = capsys.readouterr()
    assert "chain.crt" in told.out + told.err
    certs = make_certs(tmp_path)
    for name, file in (
        ("chain.crt", certs.ca),
        ("my-domain.crt", certs.client_cert),
        ("my-domain.key", certs.client_key),
    ):
        (tmp_path / "new" / name).write_bytes(file.read_bytes())
    assert main(["check", "--offline", "--config", str(tmp_path / "new/config.yaml")]) == 0


@pytest.mark.parametrize(
    ("less", "told"),
    [("--region", "--region"), ("--account", "--account"), ("--devo", "--devo"), ("--service", "--service")],
)
def test_what_is_missing_is_named(tmp_path, capsys, monkeypatch, less, told):
    """Where nobody can be asked, the option is named, and nothing is written."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    words = [*GIVEN, "--service", "aws_sqs_vpc=q"]
    place = words.index(less)
    assert main(["init", str(tmp_path / "new"), *words[:place], *words[place + 2 :]]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_person_is_asked(tmp_path, monkeypatch, capsys):
    """Each question has its option; answers are what the options would be, and a wrong name is asked anew."""
    asked = []
    answers = {
        "AWS": ["eu-west-1"],
        "Services": ["aws_sqs_waf audit_api", "aws_sqs_waf audits_api"],
        "Buckets": ["mine other"],
        "Queue": ["waf"],
        "Number": ["111122223333"],
    }

    def ask(question, **about):
        asked.append(question)
        return answers.get(question.split()[0].rstrip(","), [about["default"]]).pop(0)

    monkeypatch.setattr("flows.commands.init.Prompt.ask", ask)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda _self: True})())
    assert main(["init", str(tmp_path), "--offline"]) == 0
    assert len(asked) == 8
    made = services(tmp_path / "config.yaml")
    assert set(made) == {"aws_sqs_waf", "audit-events-all"}
    assert made["aws_sqs_waf"]["buckets"] == ["mine", "other"]
    shown = capsys.readouterr().out
    assert "audit_api is none: did you mean audits_api?" in shown
    assert f"run --config {tmp_path / 'config.yaml'}; its page: http://127.0.0.1:3030/status" in shown


def test_every_service_says_what_it_is():
    """Whoever chooses from the list reads one line about each."""
    assert [name for name, one in every().items() if not one.about] == []


def test_what_was_given_wrong_is_told_as_such(tmp_path, capsys):
    """A role that is none is no error of a file, which is not there yet."""
    given = [*GIVEN, "--service", "aws_sqs_vpc=q", "--role", "reader"]
    assert main(["init", str(tmp_path / "new"), *given]) == 2
    told = capsys.readouterr().err
    assert "no role's ARN" in told
    assert "what was given: inputs.production" in told
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten_and_nothing_unknown_taken(tmp_path, capsys):
    """A second `init` leaves the first one's files; a misspelt service is told with the nearest one."""
    assert main(["init", str(tmp_path), *GIVEN, "--service", "aws_sqs_vcp=q"]) == 2
    assert "did you mean aws_sqs_vpc?" in capsys.readouterr().err
    assert main(["init", str(tmp_path), *GIVEN, "--account", "1234", "--service", "aws_sqs_vpc=q"]) == 2
    assert "give its twelve digits" in capsys.readouterr().err
    assert main(["init", str(tmp_path), *GIVEN, "--service", "aws_sqs_vpc=q"]) == 0
    assert main(["init", str(tmp_path), *GIVEN, "--service", "aws_sqs_vpc=q"]) == 2
    assert "there is a configuration already" in capsys.readouterr().err
