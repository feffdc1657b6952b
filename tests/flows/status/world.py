"""A collector with its status port open, on the demo's embedded AWS and a Devo that can be taken away."""

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from msgspec.structs import replace

from flows.demo.configuration import EVENT_QUEUES, OBJECT_QUEUES, configuration
from flows.demo.demo import DemoInput
from flows.demo.embedded import EmbeddedAws, embedded_aws, isolated
from flows.demo.sample_apis import put_history
from flows.demo.sample_events import messages
from flows.demo.samples import objects
from tests.fakes.certs import Certs
from tests.fakes.collector import ROOT, output
from tests.fakes.process import HOST, Child, free_port, wait_until
from tests.fakes.tls_sink import TlsSink

PATIENCE = 90.0
HOSTILE = 'evil<script>alert("x")</script>'
"""A setting's name cannot be this, but an error's text may hold anything."""


class World:
    """A running collector. events: what was put in so far, and must arrive. quiet: the APIs have none.

    prefix: what stands before its command at the next start.
    """

    def __init__(
        self, aws: EmbeddedAws, sink: TlsSink, folder: Path, certs: Certs, *, quiet: bool = False
    ) -> None:
        self.aws, self.sink, self.folder = aws, sink, folder
        self.port = free_port()
        self.events = self.lots = 0
        now = time.time()
        for queue in OBJECT_QUEUES.values():
            aws.announced_bucket(queue, queue)
        for queue in EVENT_QUEUES.values():
            aws.event_queue(queue)
        if not quiet:
            self.events += len(put_history(aws, 3, now))
        config = configuration(sink.port, _as_demo(certs), now)
        config["outputs"] = output(sink.port, certs)
        config["inputs"]["aws"]["services"]["audit-archive"] = {
            "types": ["logs"],
            "regions": ["eu-west-3"],
            "log_group": "/not/there",
        }
        for name, service in config["inputs"]["aws"]["services"].items():
            if "audits_s3" in service.get("types", ()) or name == "aws_sqs_cloudtrail":
                service["prove"] = "continuous"
        self.config = folder / "config.yaml"
        self.config.write_text(yaml.safe_dump(config, sort_keys=False))
        self.child: Child | None = None
        self.prefix: list[str] = []

    def start(self, **environment: str) -> "World":
        """Start the collector."""
        status = {"COLLECTOR_STATUS": f"{HOST}:{self.port}"}
        env = {
            **isolated(os.environ),
            **self.aws.environment(),
            "PYTHONPATH": str(ROOT),
            **status,
            **environment,
        }
        run = [sys.executable, "-m", "flows", "run", "--config", str(self.config), "--interval", "1"]
        command = [*self.prefix, *run]
        self.child = Child(command, self.folder / "log", env, self.folder)
        self.child.await_port(self.port, PATIENCE)
        return self

    def put(self, count: int = 2) -> None:
        """Put some objects in, at first some messages too; objects come again under other keys."""
        self.lots += 1
        samples = [replace(one, key=f"lot-{self.lots}/{one.key}") for one in objects(count)]
        more = DemoInput(samples, list(messages(count)) if self.lots == 1 else [])
        more.put(self.aws)
        self.events += len(more.events)

    def put_nonsense(self) -> None:
        """Put in a message that is no event, and whose text is an attack on whoever shows it."""
        self.aws.send(EVENT_QUEUES["service-events-all"], HOSTILE)

    def put_unread(self) -> None:
        """Announce an object that is not there, and something that is no object."""
        queue = OBJECT_QUEUES["flowlogs"]
        self.aws.send(queue, json.dumps({"s3Bucket": queue, "s3ObjectKey": ["gone.log.gz"]}))
        self.aws.send(queue, json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent"}))

    def get(self, path: str) -> tuple[int, dict[str, str], str]:
        """Return status, headers (in small letters) and body of a path of the status port."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=30) as reply:
                return reply.status, _small(reply.headers), reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _small(error.headers), error.read().decode()

    def state(self) -> dict[str, Any]:
        """Return what `/status.json` tells."""
        status, _, body = self.get("/status.json")
        assert status == 200, body
        return json.loads(body)

    def await_delivered(self) -> None:
        """Wait until all that was put in has arrived."""
        wait_until(lambda: len(self.sink.lines) >= self.events, PATIENCE, "everything is delivered", 0.1)

    def devo_goes(self) -> None:
        """Take Devo away, and put events in that cannot be delivered, until the collector has noticed."""
        self.sink.stop_listening()
        self.sink.drop()
        self.put()
        wait_until(lambda: self.get("/readyz")[0] == 503, PATIENCE, "the outage is noticed", 0.2)

    def devo_comes(self) -> None:
        """Bring Devo back, and wait until everything is delivered."""
        self.sink.listen_again()
        self.await_delivered()
        wait_until(lambda: self.get("/readyz")[0] == 200, PATIENCE, "the end of the outage is noticed", 0.2)

    def stop(self) -> int:
        """Let the collector drain; returns its exit code."""
        assert self.child is not None
        self.child.signal(signal.SIGTERM)
        return self.child.wait(60)


def _small(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _as_demo(certs: Certs) -> Any:
    from flows.demo.receiver import Certificates  # noqa: PLC0415

    return Certificates(certs.ca, certs.ca, certs.client_cert, certs.client_key)


@contextmanager
def running(folder: Path, certs: Certs, *, quiet: bool = False, **environment: str) -> Iterator[World]:
    """Start everything, and end everything with the block. environment: of the collector."""
    folder.mkdir(parents=True, exist_ok=True)
    with embedded_aws(folder) as aws, TlsSink(certs) as sink:
        world = World(aws, sink, folder, certs, quiet=quiet)
        try:
            yield world.start(**environment)
        finally:
            if world.child is not None:
                world.child.kill()
