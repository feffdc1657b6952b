"""`python -m flows demo`: samples of every service go into an embedded AWS and come out at an embedded Devo.

The collector runs as it would in production: a process of its own, `python -m flows run`, with mutual TLS,
real queues and notifications, and a recovery directory.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import FrameType

import orjson
import yaml
from msgspec import Struct

from flows.demo.configuration import EVENT_QUEUES, OBJECT_QUEUES, QUEUES, configuration
from flows.demo.embedded import EmbeddedAws, embedded_aws, isolated, module
from flows.demo.receiver import DemoReceiver, make_certificates
from flows.demo.sample_apis import put_history
from flows.demo.sample_events import SampleMessage, messages
from flows.demo.samples import Sample, objects
from flows.demo.show import COMPLETE, report, say, show, summary
from flows.demo.strict import strictly
from flows.demo.tally import Expected, Tally
from flows.process.interrupt import until_interrupted
from flows.process.supervisor import free_ports

_POLL_SECONDS = 0.25
_DRAIN_SECONDS = 40.0
_LOG_LINES = 30
_MORE_SECONDS = 5.0
_FIRST_SEED = 1000
"""Of what is put in while the demo is kept up: other objects than those before."""


class DemoRequest(Struct, frozen=True):
    """What `flows demo` was asked for.

    per_type: sample objects of each type. timeout: seconds. as_json: the summary goes to stdout as one JSON
    object. strict: the policy that the embedded AWS enforces, "" = none; see `strict.py`. keep: stay up
    afterwards, with the status page. processes: of the collector, for queues.
    """

    per_type: int
    timeout: float
    as_json: bool = False
    strict: str = ""
    keep: bool = False
    processes: int = 1


def demo(asked: DemoRequest) -> int:
    """Run the demo; 0 when everything put in has arrived, nothing else, and every queue is empty."""
    isolate()
    say("Starting an embedded AWS and an embedded Devo.")
    put = DemoInput(list(objects(asked.per_type)), list(messages(asked.per_type)), asked.per_type)
    with tempfile.TemporaryDirectory(prefix="devo-aws-demo-") as name, ExitStack() as stack:
        aws = stack.enter_context(embedded_aws(Path(name), auth=bool(asked.strict)))
        if asked.strict:
            say(f"It enforces the {asked.strict} policy; buckets keep versions, all is encrypted.")
            aws = stack.enter_context(strictly(aws, asked.strict))
        return _run(Path(name), aws, put, asked)


def isolate() -> None:
    """Make this process and its children deaf to the user's AWS settings, and end them with SIGTERM too."""
    clean = isolated(os.environ)
    os.environ.clear()
    os.environ.update(clean)
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class DemoInput(Struct, frozen=True):
    """What is put into buckets and queues while the collector runs. per_type: of what the APIs have."""

    samples: Sequence[Sample]
    sent: Sequence[SampleMessage]
    per_type: int = 0

    @property
    def events(self) -> list[Expected]:
        """What shall arrive of it."""
        lots = [one.events for one in self.samples] + [one.events for one in self.sent]
        return [event for lot in lots for event in lot]

    def put(self, aws: EmbeddedAws) -> None:
        """Put objects into S3 and events into their queues."""
        for sample in self.samples:
            aws.client("s3").put_object(
                Bucket=OBJECT_QUEUES[sample.service], Key=sample.key, Body=sample.body
            )
        for one in self.sent:
            aws.send(EVENT_QUEUES[one.service], one.body)


def _run(folder: Path, aws: EmbeddedAws, put: DemoInput, asked: DemoRequest) -> int:
    for queue in OBJECT_QUEUES.values():
        aws.announced_bucket(queue, queue)
    for queue in EVENT_QUEUES.values():
        aws.event_queue(queue)
    now = time.time()
    tally = Tally([*put.events, *put_history(aws, put.per_type, now)])
    certificates = make_certificates(folder / "certs")
    receiver = DemoReceiver(certificates, tally.arrive)
    settings = folder / "config.yaml"
    content = configuration(receiver.port, certificates, now, aws.keys)
    settings.write_text(yaml.safe_dump(content, sort_keys=False))
    aws.admit(settings)
    status = f"127.0.0.1:{free_ports(1)[0]}" if asked.keep else ""
    variables = {**aws.environment(), "COLLECTOR_STATUS": status}
    collector = _start(settings, asked.processes, variables, folder / "collector.log")
    try:
        put.put(aws)
        delivered = _watch(tally, aws, collector, asked.timeout)
        if asked.keep and delivered:
            tally.stop()
            _keep(aws, collector, f"http://{status}/status")
    finally:
        code = _stop(collector)
    receiver.close()
    log = (folder / "collector.log").read_text(errors="replace")
    objection = aws.objection(log)
    found, complete = tally.found(), delivered and tally.pure and code == 0 and not objection
    if asked.as_json:
        sys.stdout.buffer.write(
            orjson.dumps(report(found, complete=complete), option=orjson.OPT_INDENT_2) + b"\n"
        )
    else:
        sys.stdout.write(summary(found))
    sys.stdout.flush()
    if complete:
        say(COMPLETE)
        return 0
    say("The collector's last log lines:")
    say("\n".join(log.splitlines()[-_LOG_LINES:]))
    told = f"{objection}; " if objection else ""
    say(f"demo incomplete: {told}collector exit code {code}: see the table and the log lines above")
    return 1


def _start(
    settings: Path, processes: int, variables: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    options = ["--interval", "1", *(["--processes", str(processes)] if processes > 1 else [])]
    say(f"Starting the collector: python -m flows run {' '.join(options)}")
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - fixed command line
            module("flows", "run", "--config", str(settings), *options),
            env={**os.environ, **variables},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _watch(tally: Tally, aws: EmbeddedAws, collector: "subprocess.Popen[bytes]", timeout: float) -> bool:
    """Show what arrives until all has and every queue is empty; False when that does not come."""
    deadline = time.monotonic() + timeout
    with show() as update:
        while time.monotonic() < deadline and collector.poll() is None:
            complete, waiting = tally.complete, sum(map(aws.waiting, QUEUES.values()))
            update(tally.progress(), waiting)
            if complete and not waiting:
                return True
            time.sleep(_POLL_SECONDS)
    return False


def _keep(aws: EmbeddedAws, collector: "subprocess.Popen[bytes]", page: str) -> None:
    """Put in a little more every few seconds, until it is interrupted or the collector ends."""
    say(f"All has arrived. The status page: {page}")
    say(f"A few more objects and events come every {_MORE_SECONDS:g} s. Ctrl-C ends it, with the table.")
    seeds = count(_FIRST_SEED)
    with until_interrupted(signal.SIGINT, signal.SIGTERM) as interrupted:
        while not interrupted() and collector.poll() is None:
            DemoInput(list(objects(1, seed=next(seeds))), list(messages(1))).put(aws)
            time.sleep(_MORE_SECONDS)
    if interrupted():
        say("Ending.")


def _stop(collector: "subprocess.Popen[bytes]") -> int:
    if collector.poll() is None:
        collector.send_signal(signal.SIGTERM)
    try:
        return collector.wait(_DRAIN_SECONDS)
    except subprocess.TimeoutExpired:
        collector.kill()
        return collector.wait()
