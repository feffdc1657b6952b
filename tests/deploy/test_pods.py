"""Processes as pods of a StatefulSet are: a host file, names with numbers, and no disk in common."""

import os
import sys

import pytest
import yaml

from tests.deploy.image import ROOT
from tests.fakes.collector import configuration, first_difference, output, services, settle, verdict
from tests.fakes.corpus import FULL, corpus, expected
from tests.fakes.process import HOST, Child, free_port

_TIMEOUT = 90.0


class Pods:
    """A collector as its chart runs it; `settle` takes it for one."""

    def __init__(self, aws, folder):
        self.aws, self.folder, self.children, self.lives = aws, folder, [], 0

    @property
    def alive(self):
        return all(child.alive for child in self.children)

    def tail(self, size=6000):
        return "\n".join(child.tail(size) for child in self.children)

    def start(self, count):
        """Start pods 0 to count - 1, each with a volume of its own."""
        self.lives += 1
        (self.folder / "hosts").write_text("\n".join(f"{HOST}:{free_port()}" for _ in range(count)))
        self.children = [self._pod(number) for number in range(count)]

    def _pod(self, number):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "BYTEWAX_"))}
        env = {
            "AWS_ENDPOINT_URL": self.aws.url,
            "PYTHONPATH": str(ROOT),
            "COLLECTOR_CONFIG": str(self.folder / "config.yaml"),
            "BYTEWAX_HOSTFILE_PATH": str(self.folder / "hosts"),
            "BYTEWAX_STATEFULSET_NAME": "siem",
            "BYTEWAX_POD_NAME": f"siem-{number}",
        }
        run = [sys.executable, "-m", "flows", "run", "--interval=1", f"--state={self.folder}/volume-{number}"]
        return Child(run, self.folder / f"log-{self.lives}-{number}", {**kept, **env}, self.folder)


@pytest.mark.slow
def test_h22_pods_share_no_disk_and_are_resized(stage, rsyslog):
    """2, 3 and 1 pods: all state lies on the volume of pod 0, and every event arrives once."""
    site = stage.site()
    made = configuration(services([site], auto=True), output(rsyslog.port, stage.certs), stage.folder)
    (stage.folder / "config.yaml").write_text(yaml.safe_dump(made))
    pods, sent = Pods(stage.aws, stage.folder), []
    try:
        for life, count in enumerate((2, 3, 1)):
            more = corpus({kind: max(1, total // 20) for kind, total in FULL.items()}, seed=90 + life)
            sent += more
            site.put(more)
            pods.start(count)
            settle(pods, rsyslog, [site], expected(sent, auto=True).total(), _TIMEOUT)
            for child in pods.children:
                child.signal(15)
            assert [child.wait(_TIMEOUT) for child in pods.children] == [0] * count, pods.tail()
    finally:
        for child in pods.children:
            child.kill()
    due, arrived = expected(sent, auto=True), rsyslog.events()
    assert verdict(due, arrived).exactly_once, first_difference(due, arrived)
    assert list((stage.folder / "volume-0").glob("part-*"))
    assert not list((stage.folder / "volume-1").glob("part-*"))
