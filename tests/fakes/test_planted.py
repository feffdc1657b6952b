"""The look for secrets in the logs of the suite's collectors is one that finds them."""

from types import SimpleNamespace

from tests.fakes import collector
from tests.fakes.collector import Collector, configuration, leaking_logs
from tests.fakes.planted import in_configuration


def test_secrets_of_a_configuration_are_known():
    """Texts under a secret's key are secrets; names, references and short ones are none."""
    given = {
        "a": {"access_key": "AKIA12345678", "access_secret": "s" * 9, "token": "${X_TOKEN}", "password": "x"}
    }
    assert in_configuration(given) == {".a.access_secret": "s" * 9}


def test_a_log_with_a_secret_is_told_once(tmp_path, monkeypatch):
    """What a collector has written is looked through, and forgotten after that."""

    def started(command, log, environment, folder):
        log.write_text("text " + collector._SECRET)
        return SimpleNamespace(log=log)

    monkeypatch.setattr(collector, "Child", started)
    aws = SimpleNamespace(url="http://127.0.0.1:1")
    Collector(aws, tmp_path / "c", configuration({}, {}, tmp_path)).start()
    assert leaking_logs() == {str(tmp_path / "c/log-1-0"): [".inputs.aws.credentials.access_secret"]}
    assert leaking_logs() == {}
