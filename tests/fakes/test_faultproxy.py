"""Each planned fault looks to boto3 as it does on a real network."""

import gc
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError, ReadTimeoutError

from flows.demo.wire import operation
from tests.fakes.faultproxy import FaultProxy, Rule
from tests.fakes.process import wait_until

EVENTS = b'{"Events": [{"EventId": "1"}, {"EventId": "2"}]}'


class Upstream(ThreadingHTTPServer):
    daemon_threads = True
    calls = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.calls += 1
        self._reply(EVENTS)

    def do_GET(self):
        self._reply(b"x" * 1000)

    def _reply(self, body: bytes):
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object):
        pass


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    server = Upstream(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[FaultProxy]:
    upstream.calls = 0
    with FaultProxy(f"http://127.0.0.1:{upstream.server_port}") as running:
        yield running


def client(proxy: FaultProxy, service: str = "cloudtrail", attempts: int = 1):
    retries = {"mode": "standard", "total_max_attempts": attempts}
    config = Config(retries=retries, read_timeout=0.3, connect_timeout=1)
    return closing(
        boto3.client(
            service,
            endpoint_url=proxy.url,
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="s",
            config=config,
        )
    )


def test_without_rules_everything_passes(proxy):
    """A proxy without rules is transparent, and notes what went through."""
    with client(proxy) as cloudtrail:
        assert len(cloudtrail.lookup_events()["Events"]) == 2
    assert [(call.op, call.outcome, call.size) for call in proxy.log] == [
        ("cloudtrail.LookupEvents", "200", len(EVENTS))
    ]


@pytest.mark.parametrize(
    ("service", "call", "code", "status"),
    [
        ("cloudtrail", "lookup_events", "ThrottlingException", 400),
        ("s3", "list_buckets", "SlowDown", 503),
        ("guardduty", "list_detectors", "TooManyRequestsException", 429),
        ("sts", "get_caller_identity", "Throttling", 400),
        ("cloudwatch", "list_metrics", "ThrottlingException", 400),
    ],
)
def test_errors_come_in_the_services_wire_form(proxy, service, call, code, status):
    """Botocore parses code and status of every protocol; upstream is not called."""
    proxy.add("error", op=f"{service}.*")
    with client(proxy, service) as aws, pytest.raises(ClientError) as raised:
        getattr(aws, call)()
    assert raised.value.response["Error"]["Code"] == code
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert [call.outcome for call in proxy.log] == ["error"]


@pytest.mark.parametrize("do", ["short", "junk", "truncate"])
def test_h19_half_a_json_reply_never_holds_the_mandatory_key(proxy, do):
    """Half a JSON text and a proxy's page come out of boto3 without an error, but without the key, too."""
    proxy.add(do, size=10)
    reply = {}
    # urllib3 2.8 compares Content-Length with what came; older ones hand out the truncated body in silence
    silent = do != "truncate"
    with client(proxy) as cloudtrail, nullcontext() if silent else suppress(ConnectionClosedError):
        reply = cloudtrail.lookup_events()
    assert "Events" not in reply


@pytest.mark.parametrize(
    ("do", "raised", "reached"),
    [
        ("reset", ConnectionClosedError, 0),
        ("hang", ReadTimeoutError, 0),
        ("lost", ConnectionClosedError, 1),
        ("cut", BotoCoreError, 1),
        ("stall", ReadTimeoutError, 1),
    ],
)
def test_broken_connections_are_errors(proxy, upstream, do, raised, reached):
    """Resets, silence and lost replies are exceptions; a lost reply was carried out all the same."""
    proxy.add(do)
    with client(proxy) as cloudtrail, pytest.raises(raised):
        cloudtrail.lookup_events()
    assert upstream.calls == reached


def test_slow_replies_arrive_whole(proxy):
    """Latency and a dripping body change the time, not the content."""
    proxy.add("latency", seconds=0.01, times=1)
    proxy.add("drip", seconds=0.001, size=7, times=1)
    with client(proxy) as cloudtrail:
        assert [len(cloudtrail.lookup_events()["Events"]) for _ in range(3)] == [2, 2, 2]
    assert [call.outcome for call in proxy.log] == ["latency", "drip", "200"]


def test_corrupt_flips_one_bit(proxy):
    """One bit of an object is different, its length is not."""
    proxy.add("corrupt", op="s3.GetObject", path="/key", size=3)
    with client(proxy, "s3") as s3:
        with s3.get_object(Bucket="bucket", Key="key")["Body"] as body:
            assert body.read() == b"xxxy" + b"x" * 996
        with s3.get_object(Bucket="bucket", Key="other")["Body"] as body:
            assert body.read() == b"x" * 1000


def test_retries_of_botocore_get_through(proxy):
    """`after` and `times` place a fault exactly: botocore's own retries then succeed."""
    throttle = proxy.add("error", after=1, times=2)
    with client(proxy, attempts=4) as cloudtrail:
        cloudtrail.lookup_events()
        cloudtrail.lookup_events()
    assert [call.outcome for call in proxy.log] == ["200", "error", "error", "200"]
    assert (throttle.seen, throttle.fired) == (4, 2)
    assert proxy.count("cloudtrail.*", "error") == 2


def test_call_runs_a_function_before_the_request(proxy, upstream):
    """What a test does between two calls of the collector happens exactly there."""
    calls = []
    proxy.add("call", then=lambda: calls.append(upstream.calls), after=1, times=1)
    with client(proxy) as cloudtrail:
        for _ in range(3):
            cloudtrail.lookup_events()
    assert calls == [1]


def test_token_bucket_lets_rate_and_burst_through():
    """A rate rule fires exactly when its bucket is empty."""
    rule = Rule("rate", rate=2, burst=2)
    chance = random.Random(0)
    fired = [
        rule.fires("cloudtrail.LookupEvents", "/", chance, at) for at in (0, 0, 0, 0.4, 0.5, 0.6, 9, 9, 9)
    ]
    assert fired == [False, False, True, True, False, True, False, False, True]


@pytest.mark.parametrize(
    ("method", "target", "service", "expected"),
    [
        ("GET", "/", "s3", "s3.ListBuckets"),
        ("GET", "/bucket?list-type=2", "s3", "s3.ListObjectsV2"),
        ("GET", "/bucket/a/key", "s3", "s3.GetObject"),
        ("POST", "/detector/d1/findings/get", "guardduty", "guardduty.GetFindings"),
        ("GET", "/detector", "guardduty", "guardduty.ListDetectors"),
    ],
)
def test_operations_are_recognised(method, target, service, expected):
    """The operation is read from path and signature where no header names it."""
    headers = {"authorization": f"AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/{service}/aws4_request"}
    assert operation(method, target, headers, b"") == expected


def test_stopping_ends_open_connections(upstream):
    """A stopped proxy leaves no thread and no connection behind, even in the middle of a fault."""
    proxy = FaultProxy(f"http://127.0.0.1:{upstream.server_port}").start()
    proxy.add("stall")
    failed = []

    def call():
        with client(proxy) as cloudtrail:
            try:
                cloudtrail.lookup_events()
            except BotoCoreError as error:
                failed.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    while not proxy.log:
        time.sleep(0.005)
    proxy.stop()
    caller.join()
    assert failed


def test_the_exchange_of_a_client_that_has_gone_comes_to_its_end():
    """An exchange under way is not lost to the garbage collector when its client is killed."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        FaultProxy(f"http://127.0.0.1:{listener.getsockname()[1]}") as proxy,
    ):
        port = int(proxy.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as killed:
            killed.sendall(b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
            upstream, _ = listener.accept()
            assert upstream.recv(4096)
        with upstream:
            for _ in range(10):  # meanwhile the proxy hears of the client's end
                time.sleep(0.01)
                gc.collect()
            upstream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        wait_until(lambda: proxy.log, 60, "the end of the exchange")
