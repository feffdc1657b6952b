"""What a collector has delivered is proved: every type, announced in every way, bucket against journal."""

import json

import pytest

from flows.cli import main
from tests.fakes.collector import Launch, configuration, output, services, settle
from tests.fakes.corpus import FULL, corpus, expected
from tests.fakes.strict import StrictMinistack

_TIMEOUT = 60.0


def test_all_that_was_delivered_is_proved(stage, rsyslog, capsys, monkeypatch):
    """Each service is complete, a sample is as it was, and an object written since is on its way."""
    site = stage.site(visibility=5)
    chosen = services([site], auto=True, visibility_timeout_seconds=5)
    given = configuration(chosen, output(rsyslog.port, stage.certs), stage.folder)
    collector = stage.collector(given, Launch("flows"))
    samples = corpus({kind: count // 10 for kind, count in FULL.items()}, seed=11)
    try:
        collector.start()
        site.put(samples)
        settle(collector, rsyslog, [site], expected(samples, auto=True).total(), _TIMEOUT)
        collector.drain()
    finally:
        collector.kill()
    for name, value in stage.aws.environment().items():
        monkeypatch.setenv(name, value)
    if isinstance(stage.aws, StrictMinistack):
        stage.aws.admit(collector.folder / "config.yaml", proves=True)

    def proved(service, *more):
        where = ["--config", str(collector.folder / "config.yaml"), "--service", service]
        code = main(["prove", *where, "--from", "2026-01-01", "--to", "2027-01-01", "--json", *more])
        return code, json.loads(capsys.readouterr().out)

    for service in {sample.service for sample in samples}:
        known = [sample for sample in samples if sample.service == service]
        code, told = proved(service, "--sample", "4")
        assert (code, told["verdicts"]["delivered"], told["gaps"]) == (0, len(known), [])
        assert told["events"] == sum(len(sample.expected) for sample in known)
        assert told["sampled"] == told["same"] > 0
    (one,) = corpus({"vpc": 1}, seed=99)
    stage.aws.put(site.buckets[one.service], one.key.replace("AWSLogs", "Other"), one.body)
    code, told = proved(one.service)
    assert (code, told["verdicts"]["in_flight"]) == (1, 1)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_proof_beside_a_running_collector(stage, rsyslog, capsys, monkeypatch):
    """While it collects, nothing is told as missing that is only on its way."""
    site = stage.site()
    chosen = services([site], auto=True)
    given = configuration(chosen, output(rsyslog.port, stage.certs), stage.folder)
    collector = stage.collector(given, Launch("flows"))
    for name, value in stage.aws.environment().items():
        monkeypatch.setenv(name, value)
    samples = corpus({"vpc": 400}, seed=5)
    try:
        collector.start()
        site.put(samples)
        for _ in range(5):
            where = ["--config", str(collector.folder / "config.yaml"), "--service", samples[0].service]
            main(["prove", *where, "--from", "2026-01-01", "--to", "2027-01-01", "--json"])
            told = json.loads(capsys.readouterr().out)
            assert told["verdicts"]["delivered"] + told["verdicts"]["in_flight"] == told["objects"]
    finally:
        collector.kill()
