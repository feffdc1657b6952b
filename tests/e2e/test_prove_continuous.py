"""A running collector with `prove: continuous`: what it tells of digests that its queue announces."""

import json
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.fakes import prometheus
from tests.fakes.collector import ROOT, Launch
from tests.fakes.fake_aws.cloudtrail import put_public_key
from tests.fakes.fake_aws.server import FakeAws
from tests.fakes.process import HOST, free_port, wait_until
from tests.flows.proof.trails import ACCOUNT, FINGERPRINT, Trail, log_name, public_key
from tests.flows.proof.worlds import World

WHOLE, ALTERED, CUT = "eu-west-1", "us-east-1", "ap-south-1"
_LOOK_OFTEN = "from flows.proof import continuous\ncontinuous.LOOK_SECONDS = 1.0\n"
_ALERTS = Path(ROOT) / "deploy/prometheus/alerts.yml"
_TIMEOUT = 90.0


def signed(world):
    """Store trails of three regions: one whole, one with a log file altered, one whose chain is cut."""
    made = {region: Trail(2, world.bucket, region) for region in (WHOLE, ALTERED, CUT)}
    made[CUT].again(1, before=None)
    for trail in made.values():
        world.trail = trail
        world.sign()
    world.put(log_name(1, 0, ALTERED), b'{"Records": [{"eventName": "Altered"}]}')
    return made


def announce(world, trail, hour):
    """Announce an hour's log files and its digest in the same queue."""
    for key in (*trail.logs[hour], trail.names[hour]):
        told = world.aws.client("s3").head_object(Bucket=world.bucket, Key=key)
        world.announce(key, told["ETag"].strip('"'))


def asked(port, path):
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=20) as reply:
        return reply.read().decode()


def counted(port):
    """Return (result, account, region) → count of digests and log files."""
    found = {}
    for line in asked(port, "/metrics").splitlines():
        name, _, rest = line.partition("{")
        if name in {"collector_digests_total", "collector_signed_log_files_total"}:
            labels = dict(part.split("=", 1) for part in rest.partition("}")[0].split(","))
            where = tuple(labels[label].strip('"') for label in ("result", "account", "region"))
            if value := float(line.rpartition(" ")[2]):
                found[where] = int(value)
    return found


@pytest.fixture
def running(aws, unique, stage):
    """Return a world, the status port of a collector that runs over it, and the collector."""
    world, port = World(aws, unique, stage.folder), free_port()
    given = yaml.safe_load(world.config.read_text())
    given["globals"]["status"] = f"{HOST}:{port}"
    (options,) = given["inputs"]["aws"]["services"].values()
    options["prove"] = "continuous"
    collector = stage.collector(given, Launch("flows"))
    hook = stage.folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(_LOOK_OFTEN)
    with FakeAws() as cloudtrail:
        for region in (WHOLE, ALTERED, CUT):
            put_public_key(FINGERPRINT, public_key(), region=region)
        collector.environment = {
            "PYTHONPATH": f"{hook}:{ROOT}",
            "AWS_ENDPOINT_URL_CLOUDTRAIL": cloudtrail.url,
        }
        try:
            yield world, port, collector
        finally:
            collector.kill()


def told_everywhere(world, port, collector):
    """Announce the trails of three regions; return once figures and status page tell all of it."""
    trails = signed(world)
    collector.start()
    collector.children[0].await_port(port, _TIMEOUT)

    def announced(hour, due):
        for trail in trails.values():
            announce(world, trail, hour)
        try:
            wait_until(lambda: counted(port) == due, _TIMEOUT, f"verdicts of hour {hour}", 0.2)
        except AssertionError as error:
            raise AssertionError(f"{counted(port)}:\n{collector.tail()}") from error

    due = {("valid", ACCOUNT, region): 1 for region in trails}
    due |= {("intact", ACCOUNT, region): 2 for region in trails}
    announced(0, due)
    due |= {("valid", ACCOUNT, region): 2 for region in trails}
    due |= {("intact", ACCOUNT, region): 4 for region in trails}
    due |= {("intact", ACCOUNT, ALTERED): 3, ("modified", ACCOUNT, ALTERED): 1}
    due |= {("chain_gap", ACCOUNT, CUT): 1}
    announced(1, due)
    wait_until(lambda: world.aws.depth(world.queue) == (0, 0), _TIMEOUT, "all is deleted")


def test_harm_is_told_by_account_and_region_and_what_is_whole_is_not(running):
    """One trail whole, one with an altered log file, one cut: in the figures and on the status page."""
    world, port, collector = running
    told_everywhere(world, port, collector)
    shown = json.loads(asked(port, "/status.json"))
    text = json.dumps(shown)
    assert f"modified of {ACCOUNT} {ALTERED} (audits_s3)" in text
    assert f"chain_gap of {ACCOUNT} {CUT} (audits_s3)" in text
    assert f"{ACCOUNT} {WHOLE} (audits_s3)" not in text
    assert shown["health"]["ready"]
    collector.drain()


@pytest.mark.timeout(400)
def test_an_alert_names_account_and_region(running, tmp_path):
    """A real Prometheus with the alerts of `deploy`: it fires for both that are harmed, not for the other."""
    world, port, collector = running
    prometheus.find("prometheus")
    told_everywhere(world, port, collector)
    with prometheus.scraping(port, "devo-aws-collector", _ALERTS, tmp_path / "prometheus") as started:

        def fired():
            found = [one["labels"] for one in started.ask("alerts")["alerts"] if one["state"] == "firing"]
            return {
                (one["result"], one["account"], one["region"])
                for one in found
                if one["alertname"] == "SignatureBroken"
            }

        due = {("modified", ACCOUNT, ALTERED), ("chain_gap", ACCOUNT, CUT)}
        wait_until(lambda: fired() == due, _TIMEOUT, "the alert", 0.5)
