"""What a collector writes to disk, idle and busy: printed, beside what its state holds.

By the kernel's count of pages that the process made dirty: a file system's own journal is not in it.
"""

import os
import random
import time
from pathlib import Path

import pytest
import yaml

from flows.demo.configuration import QUEUES
from flows.demo.embedded import embedded_aws
from flows.positions.store import QUIET_SECONDS, Positions
from flows.process.recovery_store import prepare
from tests.fakes.collector import Launch, configuration, output, services, settle
from tests.fakes.corpus import FULL, corpus, expected
from tests.fakes.process import wait_until
from tests.fakes.tls_sink import TlsSink
from tests.flows.status.world import World

_TIMEOUT = 60.0
_DAY = 86_400


def written(pid: int) -> int:
    """Return how many bytes a process has made the kernel write to disks."""
    text = Path(f"/proc/{pid}/io").read_text()
    return int(text.partition("\nwrite_bytes: ")[2].split()[0])


@pytest.mark.full
@pytest.mark.parametrize("interval", [1, 3])
def test_s7_what_a_state_costs(stage, rsyslog, figures, interval):
    """Bytes to disk per epoch and day, idle and busy, are printed; the state itself stays small."""
    site = stage.site()
    settings = configuration(services([site], auto=True), output(rsyslog.port, stage.certs), stage.folder)
    collector = stage.collector(settings, Launch("flows", interval=interval))
    samples = corpus({kind: max(1, count // 5) for kind, count in FULL.items()}, seed=1)
    try:
        collector.start()
        site.put(samples[:1])
        rsyslog.wait_for(1, _TIMEOUT)
        pid = collector.children[0].pid
        site.put(samples[1:])
        before, began = written(pid), time.monotonic()
        settle(collector, rsyslog, [site], expected(samples, auto=True).total(), _TIMEOUT)
        busy = (written(pid) - before) / (time.monotonic() - began)
        wait_until(lambda: time.monotonic() - began > 5 * interval, _TIMEOUT, "it is idle")
        before, began = written(pid), time.monotonic()
        time.sleep(20)
        idle = (written(pid) - before) / (time.monotonic() - began)
        collector.drain()
    finally:
        collector.kill()
    size = sum(path.stat().st_size for path in collector.state.glob("part-*"))
    for name, rate in (("busy", busy), ("idle", idle)):
        each, day = rate * interval / 1024, rate * _DAY / 1e6
        figures(f"state, interval {interval} s, {name}: {each:.0f} KiB an epoch, {day:.0f} MB a day")
    assert size < 4 << 20


GROUPS, KILLS = 300, 50
_IDLE_DAY_BYTES = 100e6


def ten_services(world: World) -> None:
    """Have the demo's ten services polled as often as they are by themselves, and many log groups."""
    content = yaml.safe_load(world.config.read_text())
    services = content["inputs"]["aws"]["services"]
    services.pop("audit-archive")
    for service in services.values():
        service.pop("request_period_in_seconds", None)
    world.config.write_text(yaml.safe_dump(content))
    logs = world.aws.client("logs")
    for number in range(GROUPS):
        logs.create_log_group(logGroupName=f"/app/{number}")


def read(world: World) -> None:
    """Wait until all queues are empty: what a killed process held comes back after minutes."""
    queues = QUEUES.values()
    wait_until(lambda: not any(world.aws.waiting(queue) for queue in queues), 600, "all is read", 0.5)


@pytest.mark.full
@pytest.mark.timeout(2400)
def test_s7_what_ten_idle_services_write(tmp_path, certs, figures):
    """Ten services, 300 log groups, an interval of 1 s, after 50 kills in work: 100 MB a day at most.

    Watched for as long as quiet positions may wait, and extrapolated.
    """
    dice = random.Random(7)
    with embedded_aws(tmp_path) as aws, TlsSink(certs) as sink:
        world = World(aws, sink, tmp_path, certs, quiet=True)
        ten_services(world)
        try:
            for _ in range(KILLS):
                world.start()
                world.put(1)
                time.sleep(dice.uniform(0, 2))
                world.child.kill()
            world.start()
            world.put(20)
            read(world)
            before, began = written(world.child.pid), time.monotonic()
            for _ in range(10):
                world.put(20)
            read(world)
            busy = (written(world.child.pid) - before) / (time.monotonic() - began)
            time.sleep(30)
            before, began = written(world.child.pid), time.monotonic()
            time.sleep(QUIET_SECONDS)
            idle = (written(world.child.pid) - before) / (time.monotonic() - began)
            assert world.stop() == 0
        finally:
            world.child.kill()
    for name, rate in (("busy", busy), ("idle", idle)):
        each, day = rate / 1024, rate * _DAY / 1e6
        figures(f"ten services, {GROUPS} log groups, {name}: {each:.1f} KiB an epoch, {day:.0f} MB a day")
    assert idle * _DAY < _IDLE_DAY_BYTES


@pytest.mark.full
@pytest.mark.timeout(600)
def test_s7_what_positions_of_an_organization_write(tmp_path, figures):
    """1,000 accounts in 17 regions and four APIs, each target polled every five minutes, without events.

    A quarter of an hour by a clock of the test; with ids and journal: `python -m tests.bench.organization`.
    """
    prepare(tmp_path / "state", first=True)
    seconds, minutes, targets = 0, 16, 1_000 * 17
    kept = Positions(tmp_path / "state", lambda: seconds)
    now = 1_764_540_000_000
    lanes = {
        (f"aws.1-all-{service}", f"lane-{lane}"): {
            f"eu-west-1/{number:012d}/{service}": {"v": 2, "done": now - number * 7, "late": {"since": now}}
            for number in range(lane, targets, 8)
        }
        for service in ("audits_api", "logs", "metrics", "aws-guardduty")
        for lane in range(8)
    }
    for place in lanes:
        kept.resumed(place)
    before = written(os.getpid())
    for seconds in range(minutes * 60):
        for place, positions in lanes.items():
            polled = [*positions][seconds % 300 :: 300]
            moved = {key: {**positions[key], "done": now + seconds * 1000} for key in polled}
            lanes[place] = {**positions, **moved}
            kept.seal(place, seconds, {"v": 1, "targets": lanes[place]}, busy=False)
        kept.receipted(seconds + 1)
    rate = (written(os.getpid()) - before) / minutes / (1 << 20)
    kept.finish()
    figures(f"{4 * targets} idle targets, interval 1 s: positions write {rate:.2f} MiB a minute")
    assert rate < 84 / 10
