"""The Devo sink inside real dataflows, with one and two workers and as a cluster of processes."""

import json
import threading
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSource, cluster_main
from prometheus_client import REGISTRY

from flows.aws import flow
from sinks.connection import ReceiptStrength
from sinks.devo import PARTITIONS, DevoPartition, DevoSink, Process, own_partitions, place
from sinks.errors import DeliveryError
from sinks.settings import parse_output
from tests.fakes.http_devo import HttpDevo
from tests.fakes.tls_sink import TlsSink, answer
from tests.sinks.lines import http, relay
from transforms.block import Block, Origin, Poison

ORIGIN = Origin("t")


@dataclass(frozen=True)
class Launch:
    process: Process = field(default_factory=Process)
    workers: int = 1


def settings(sink, certs, **options):
    files = {"chain": str(certs.ca), "cert": str(certs.client_cert), "key": str(certs.client_key)}
    config = {"address": "127.0.0.1", "port": sink.port, "host": "host-1", **files, **options}
    return parse_output("devo", {"type": "devo_platform", "config": config})


def block(number):
    return Block(b"event %d\n" % number, 1, ORIGIN, "my.app.test")


def lines(numbers):
    return [b"<14>Jan  1 00:00:00 host-1 my.app.test: event %d" % number for number in numbers]


def run(sink, items, workers, recovery=None):
    dataflow = Dataflow("test")
    stream = op.input("in", dataflow, TestingSource(items, batch_size=3))
    op.output("devo", stream, sink)
    cluster_main(
        dataflow,
        [],
        0,
        worker_count_per_proc=workers,
        epoch_interval=timedelta(0),
        recovery_config=recovery,
    )


def dealt(sink, numbers):
    keys = sink.keys()
    return [(keys[number % len(keys)], block(number)) for number in numbers]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("connections", [1, 3])
def test_everything_arrives(certs, workers, connections):
    """Whatever the number of workers and connections, every event arrives once."""
    with TlsSink(certs) as receiver:
        sink = DevoSink(
            [settings(receiver, certs, concurrent_connections=connections)], Launch(workers=workers)
        )
        assert len(sink.keys()) == max(workers, connections)
        run(sink, dealt(sink, range(40)), workers)
        assert sorted(receiver.lines) == sorted(lines(range(40)))


@pytest.mark.parametrize("workers", [1, 2])
def test_keys_are_shared_by_all_workers(workers):
    """A key reaches the partition of its own name, and the first keys fall to different workers."""
    seen = {}

    class Spy(DevoSink):
        def build_part(self, _step_id, for_part, resume_state):
            seen[for_part] = (threading.get_ident(), SpyPartition([], resume_state))
            return seen[for_part][1]

    class SpyPartition(DevoPartition):
        def write_batch(self, values):
            self.got = getattr(self, "got", []) + values

    sink = Spy([], Launch(workers=workers))
    run(sink, [(key, key) for key in sorted(PARTITIONS)] * 2, workers)
    assert {key: part.got for key, (_, part) in seen.items()} == {key: [key, key] for key in PARTITIONS}
    assert len({seen[key][0] for key in sink.keys()}) == workers  # noqa: SIM118 - a method, not a mapping


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_processes_share_the_partitions(count):
    """Each partition belongs to one process, and each process has enough of them."""
    shares = [own_partitions(Process(index, count)) for index in range(count)]
    assert sorted(key for share in shares for key in share) == sorted(PARTITIONS)
    for index, share in enumerate(shares):
        sink = DevoSink([], Launch(Process(index, count), workers=4))
        assert sink.list_parts() == share
        assert set(sink.keys()) <= set(share)
        assert len(sink.keys()) == 4


def test_place_is_that_of_the_sorted_names():
    """Bytewax numbers partitions in the order of their names as text."""
    assert [place(key) for key in sorted(PARTITIONS)] == list(range(64))
    assert place("p2") > place("p10")


def test_h22_a_state_of_two_processes_resumes_in_one(certs, tmp_path):
    """Fewer processes than before: the partitions of those that are gone are found again."""
    init_db_dir(tmp_path, 1)
    with TlsSink(certs) as receiver:
        sink = DevoSink([settings(receiver, certs)], Launch())
        recovery = RecoveryConfig(str(tmp_path), timedelta(0))
        items = [("p0", block(0)), ("p1", block(1))]  # the keys of two processes
        run(sink, items, 1, recovery)
        run(sink, [*items, ("p1", block(2))], 1, recovery)
        assert receiver.lines == lines([0, 1, 2])


def test_window_of_the_main_job_is_the_configured_queue(tmp_path, monkeypatch):
    """`queue_max_size_in_mb` bounds what each output holds without a receipt, shared by its connections."""
    made = []
    monkeypatch.setattr(
        "sinks.devo.opener", lambda output, window, _drain: made.append((output.name, window))
    )
    config = {
        "globals": {"queue_max_size_in_mb": 8, "persistence": {"type": "memory"}},
        "outputs": {
            "one": {"type": "console"},
            "two": {
                "type": "syslog",
                "config": {"address": "localhost", "port": 1, "concurrent_connections": 4},
            },
        },
        "inputs": {"main": {"id": "1", "services": {"aws-guardduty": {"regions": ["eu-west-1"]}}}},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    monkeypatch.setattr("flows.aws.drain_on_signals", lambda *_: threading.Event())
    flow(str(path))
    assert made == [("one", 2 << 20), ("two", 2 << 20)]


class Recorder:
    """An output that notes what is asked of it."""

    def __init__(self, name, log, fails=()):
        self.name, self.log, self.fails = name, log, fails

    def note(self, what):
        self.log.append((self.name, what))
        if what in self.fails:
            raise DeliveryError("broken", self.name, "wait")

    def write(self, one):
        self.note(one.payload)

    def begin(self):
        self.note("begin")

    def finish(self):
        self.note("finish")
        return ReceiptStrength.RECEIPT

    def close(self):
        self.note("close")


def test_all_outputs_are_asked_before_any_is_waited_for():
    """With several outputs their receipts are taken side by side, and all count."""
    log = []
    partition = DevoPartition([Recorder("a", log), Recorder("b", log)], None)
    partition.write_batch([block(1)])
    assert partition.snapshot() == {"v": 1, "receipts": 1}
    assert log == [
        ("a", b"event 1\n"),
        ("b", b"event 1\n"),
        ("a", "begin"),
        ("b", "begin"),
        ("a", "finish"),
        ("b", "finish"),
    ]


@pytest.mark.parametrize("step", ["begin", "finish", b"event 1\n"])
def test_one_failing_output_fails_all(step):
    """When one output cannot deliver there is no snapshot, so nothing is acknowledged."""
    partition = DevoPartition([Recorder("a", []), Recorder("b", [], {step})], None)
    with pytest.raises(DeliveryError):  # noqa: PT012 - whichever of the two steps fails
        partition.write_batch([block(1)])
        partition.snapshot()


def test_close_never_flushes():
    """Closing a partition asks for no receipt: nothing could come of it."""
    log = []
    partition = DevoPartition([Recorder("a", log)], {"v": 1, "receipts": 7})
    partition.close()
    assert log == [("a", "close")]
    assert partition.snapshot() == {"v": 1, "receipts": 8}


def test_the_epoch_waits_for_the_receipt(certs):
    """A source is not called for the next epoch before the receiver has read everything of this one."""
    read_at_each_call = []
    with TlsSink(certs) as receiver:

        def slow(sink, sock):
            sink.over.wait(0.05)
            answer(sink, sock)

        receiver.behaves = slow

        class Watched(TestingSource):
            def build_part(self, step_id, for_part, resume_state):
                part = super().build_part(step_id, for_part, resume_state)
                following = part.next_batch

                def next_batch():
                    read_at_each_call.append(len(receiver.lines))
                    return following()

                part.next_batch = next_batch
                return part

        sink = DevoSink([settings(receiver, certs)], Launch())
        dataflow = Dataflow("test")
        stream = op.input("in", dataflow, Watched(dealt(sink, range(4))))
        op.output("devo", stream, sink)
        cluster_main(dataflow, [], 0, worker_count_per_proc=1, epoch_interval=timedelta(0))
    assert read_at_each_call == [0, 1, 2, 3, 4]


def test_idle_partitions_open_nothing(certs):
    """A sink that nothing is written to opens no connection."""
    with TlsSink(certs) as receiver:
        run(DevoSink([settings(receiver, certs)], Launch()), [], 1)
        assert receiver.accepted == 0


def test_h21_fit_turns_large_events_into_poison(certs):
    """Events above the smallest limit of all outputs become poison before the sink; poison passes."""
    with TlsSink(certs) as receiver:
        sink = DevoSink([settings(receiver, certs, max_event_bytes=64)], Launch())
    large = Block(b"x" * 65 + b"\ny\n", 2, ORIGIN, "my.app.test")
    poison, rest = sink.fit(large)
    assert (poison.reason, rest.payload) == ("event_too_large", b"y\n")
    other = Poison("object_broken", "", ORIGIN)
    assert sink.fit(other) == [other]


def test_several_outputs_all_have_every_event(certs):
    """Events go to every output, each in its own form; the epoch ends when all have given their receipt."""
    with TlsSink(certs) as receiver, TlsSink(None) as relay_, HttpDevo() as http_:
        outputs = [settings(receiver, certs), relay(relay_), http(http_)]
        sink = DevoSink(outputs, Launch())
        run(sink, dealt(sink, range(30)), 1)
        assert receiver.lines == relay_.lines == lines(range(30))
        assert http_.lines == {"my.app.test": [b"event %d" % number for number in range(30)]}


def test_one_output_down_holds_back_by_default(certs):
    """An output that is down holds back the snapshot, and with it every acknowledgement, until it is back."""
    with TlsSink(certs) as receiver, HttpDevo() as http_:
        http_.stop_listening()
        sink = DevoSink([settings(receiver, certs), http(http_)], Launch())
        partition = sink.build_part("devo", "p0", None)
        partition.write_batch([block(1)])
        snapshots = []
        taking = threading.Thread(target=lambda: snapshots.append(partition.snapshot()))
        taking.start()
        receiver.wait_for(1)
        assert receiver.lines == lines([1])
        assert snapshots == []
        http_.listen_again()
        taking.join(60)
        partition.close()
        assert snapshots == [{"v": 1, "receipts": 1}]
        assert http_.all_lines == [b"event 1"]


def test_best_effort_outputs_hold_nothing_up(certs, caplog):
    """With `required: false` an output that is down is left out, and what it missed is counted and told."""
    labels = {"output": "http"}
    before = REGISTRY.get_sample_value("collector_events_missed_total", labels) or 0
    with TlsSink(certs) as receiver, HttpDevo() as http_:
        http_.stop_listening()
        sink = DevoSink([settings(receiver, certs), http(http_, required=False)], Launch())
        with caplog.at_level("WARNING", "collector"):
            run(sink, dealt(sink, range(30)), 1)
        assert receiver.lines == lines(range(30))
    assert REGISTRY.get_sample_value("collector_events_missed_total", labels) == before + 30
    assert "best_effort_missed output=http" in caplog.text
