"""`flows recheck` of every API service, over two accounts and two regions: all that came later, each once."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from moto.guardduty.models import guardduty_backends

from flows.catalogue.build import collected_folder
from flows.catalogue.services import units
from flows.cli import main
from flows.config.load import load
from sources.collected import CollectedIds, CollectedRange
from tests.fakes.collector import ROOT, configuration
from tests.fakes.fake_aws import server as fake_aws
from tests.fakes.fake_aws.server import FakeAws
from tests.fakes.process import wait_until

NOON = (datetime.now(UTC) - timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
FIRST, HOUR = int(NOON.timestamp()), 3600
ACCOUNTS = {"prod": "111111111111", "dev": "222222222222"}
REGIONS = ("us-east-1", "eu-west-1")
FINAL = CollectedRange(0, (FIRST + 3 * HOUR) * 1000)
DETECTORS: dict[tuple[str, str], str] = {}


def trail(names, account, region, *, late, every=60):
    for number, name in enumerate(names):
        text = json.dumps({"eventID": name, "eventSource": "s3.amazonaws.com"})
        at = FIRST + 60 + number * every
        event = {"EventName": "Op", "EventId": name, "EventTime": at, "CloudTrailEvent": text}
        fake_aws.put_cloudtrail_events([event], account, region)


def lines(names, account, region, *, late, every=60):
    for number, name in enumerate(names):
        at = (FIRST + 60 + number * every) * 1000
        event = {"timestamp": at, "message": name, "ingestionTime": at + (2 * HOUR if late else 1) * 1000}
        fake_aws.put_log_events("/g", "s", [event], account, region)


def points(names, account, region, *, late, every=60):
    for name in names:
        sample = {"timestamp": FIRST + 600, "value": 1.0}
        fake_aws.put_metric_samples("Mine", name, [sample], None, account, region)


def findings(names, account, region, *, late, every=60):
    for number, name in enumerate(names):
        at = datetime.fromtimestamp(FIRST + 60 + number * every, UTC).isoformat(timespec="milliseconds")
        finding = {"Id": name, "UpdatedAt": at.replace("+00:00", "Z")}
        fake_aws.put_findings(DETECTORS[account, region], [finding], account, region)


SERVICES = {
    "audits_api": ("audit-events-all", {"types": ["audits_api"]}, trail, "eventID"),
    "mine": ("mine", {"types": ["logs"], "log_group": "/"}, lines, "message"),
    "metrics-all": ("metrics-all", {"namespaces": ["Mine"]}, points, "metricName"),
    "aws-guardduty": ("aws-guardduty", {}, findings, "id"),
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return what makes a configuration of one service in both accounts and regions."""
    with FakeAws() as aws:
        for name, value in fake_aws.environment(aws.url).items():
            monkeypatch.setenv(name, value)
        fake_aws.reset()
        fake_aws.CLOCK.freeze(FIRST + 4 * HOUR)
        for account in ACCOUNTS.values():
            for region in REGIONS:
                backend = guardduty_backends[account][region]
                DETECTORS[account, region] = backend.create_detector(1, None, None, None, {})
                fake_aws.put_log_group("/g", account, region, created=(FIRST - HOUR) * 1000)

        def make(key, settings):
            made = configuration({}, {"console": {"type": "console"}}, tmp_path)
            services = {key: {"regions": list(REGIONS), **settings}}
            made["inputs"] = {
                name: {
                    "id": name,
                    "credentials": {"access_key": number, "access_secret": "s"},
                    "services": services,
                }
                for name, number in ACCOUNTS.items()
            }
            config = tmp_path / "config.yaml"
            config.write_text(yaml.safe_dump(made))
            for unit in units(load(config)):
                ids = CollectedIds(collected_folder(tmp_path / "state", unit))
                account = ACCOUNTS[unit.account.name]
                for region in REGIONS:
                    for target in (region, f"{region}//g", f"{region}/{DETECTORS[account, region]}"):
                        ids.note(target, {}, FINAL)
            return config

        yield make
        fake_aws.CLOCK.release()


def asked(config, service):
    moments = [(NOON + timedelta(hours=hours)).isoformat() for hours in (0, 1)]
    given = ["--from", moments[0], "--to", moments[1], "--config", str(config)]
    return ["recheck", "--service", service, *given]


def events(out: bytes, key: str) -> Counter:
    """Return what stands under a key of each event; the console writes tags before events."""
    return Counter(json.loads(line[line.index(b"{") :])[key] for line in out.splitlines())


@pytest.mark.parametrize("service", SERVICES)
def test_what_came_later_is_found_in_each_account_and_region(site, capfdbinary, figures, service):
    """Of each account and region the late events are sent, all and once; the next look finds none."""
    key, settings, put, field = SERVICES[service]
    config = site(key, settings)

    def look(name):
        code = main(asked(config, f"{name}.{service}"))
        out = capfdbinary.readouterr()
        assert code in {0, 1}, out.err.decode()
        return code, events(out.out, field), out.err.decode()

    late = {}
    for name, account in ACCOUNTS.items():
        for region in REGIONS:
            put([f"{name}-{region}-known-{n}" for n in range(20)], account, region, late=False)
    for name in ACCOUNTS:
        look(name)  # stands for the collector: what is there now is known from now on
    for name, account in ACCOUNTS.items():
        late[name] = [f"{name}-{region}-late-{n}" for region in REGIONS for n in range(12)]
        for region in REGIONS:
            put([one for one in late[name] if region in one], account, region, late=True)
    for name in ACCOUNTS:
        code, found, said = look(name)
        assert (code, found) == (1, Counter(late[name])), said
        assert look(name)[:2] == (0, Counter())
    figures(f"recheck {service:14} {sum(map(len, late.values()))} late events, all found, none twice")


def test_several_inputs_are_told_apart(site, capfdbinary):
    """A service that two inputs have is named with its input; otherwise the line says so."""
    config = site("aws-guardduty", {})
    assert main(asked(config, "aws-guardduty")) == 2
    said = capfdbinary.readouterr().err.decode()
    assert "several services fit: --service aws-guardduty: name one of dev.aws-guardduty, prod." in said


@pytest.fixture
def held(monkeypatch):
    """Return a function: from so many requests of an operation on, they are answered after `release` only."""
    release, admit, seen = threading.Event(), fake_aws._admit, Counter()

    def hold(op, count):
        def held_back(environ):
            refusal, last = admit(environ), fake_aws.served()[-1].op
            seen[last] += 1
            if seen[op] > count:
                release.wait(300)
            return refusal

        monkeypatch.setattr(fake_aws, "_admit", held_back)
        return release

    yield hold
    release.set()


@pytest.mark.parametrize("service", SERVICES)
def test_a_look_that_is_killed_is_made_again(site, tmp_path, service, held, capfdbinary, figures):
    """Killed in the middle and repeated: all that came later is sent, twice only what had no receipt yet."""
    key, settings, put, field = SERVICES[service]
    config = site(key, {**settings, "requests_per_second": 50})
    fake_aws.page_size("FilterLogEvents", 25)
    release = held(*MOST[service])
    names = [f"e{n}" for n in range(1000)]
    put(names, ACCOUNTS["prod"], "us-east-1", late=True, every=3)
    look = asked(config, f"prod.{service}")
    out = tmp_path / "out"
    with out.open("wb") as file:
        command = [sys.executable, "-m", "flows", *look]
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL, cwd=ROOT, env=os.environ)
        wait_until(lambda: out.read_bytes().count(b"\n") >= len(names) * 0.4, 90, "some of them", 0.02)
        child.kill()
        child.wait()
    release.set()
    before = events(out.read_bytes().rpartition(b"\n")[0], field)
    kept = sum(path.read_bytes().count(b"\n") for path in tmp_path.rglob("*.ids"))
    assert main(look) == 1
    after = events(capfdbinary.readouterr().out, field)
    twice = before & after
    figures(
        f"recheck {service:14} killed after {len(before)} of {len(names)}, {kept} known as sent: "
        f"{len(after)} then, {len(twice)} twice, 0 lost"
    )
    assert set(before) | set(after) == set(names)
    assert max(before.values()) == max(after.values()) == 1
    assert len(after) == len(names) - kept
    assert len(twice) == len(before) - kept
    assert main(look) == 0
    assert not capfdbinary.readouterr().out


MOST = {
    "audits_api": ("cloudtrail.LookupEvents", 14),
    "mine": ("logs.FilterLogEvents", 30),
    "metrics-all": ("cloudwatch.GetMetricData", 7),
    "aws-guardduty": ("guardduty.GetFindings", 14),
}
"""About two thirds of the requests that bring a thousand: a look that is to be killed comes no further."""
