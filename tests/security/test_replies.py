"""Endpoints that answer without an end, or a byte at a time: a call of any client ends, with an error."""

import itertools
import socket
import threading
from contextlib import suppress
from typing import Self

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from sources.aws import pace
from sources.aws.botocore_internals import receive_at_once
from sources.aws.sessions import new_session
from sources.aws.signed.wire import Wire, WireEndpoint, WireError
from tests.fakes.process import HOST
from tests.sources.aws.signed.test_wire import ASKED

OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"content-type: application/x-amz-json-1.0\r\n"
CHUNKED = JSON + b"transfer-encoding: chunked\r\n\r\n"
SIZED = JSON + b"content-length: 9000000000\r\n\r\n"
DRIPS = {
    "head": (JSON + b"x-a: ", b"a"),
    "lines of a head": (JSON, b"a: b\r\n"),
    "body": (JSON + b"content-length: 100000\r\n\r\n", b" "),
    "body without a length": (JSON + b"connection: close\r\n\r\n", b" "),
    "chunks": (CHUNKED, b"1\r\n \r\n"),
    "chunk extension": (CHUNKED + b"1", b";a"),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"a: b\r\n"),
}
FLOODS = {
    "a header": (JSON + b"x-a: ", b"a" * 65536),
    "headers": (JSON, b"a: b\r\n" * 10_000),
    "heads": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
    "body": (SIZED, b" " * 65536),
    "body without a length": (JSON + b"connection: close\r\n\r\n", b" " * 65536),
    "chunks": (CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "small chunks": (CHUNKED, b"1\r\n \r\n" * 10_000),
    "chunk extension": (CHUNKED + b"1", b";a" * 32768),
    "chunk extensions": (CHUNKED, b"1" + b";a" * 500 + b"\r\n \r\n"),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"a: b\r\n" * 10_000),
}
MIB = 1 << 20
CLIENTS = {
    "sqs": lambda made: made.list_queues(),
    "sts": lambda made: made.get_caller_identity(),
    "cloudtrail": lambda made: made.lookup_events(),
    "logs": lambda made: made.describe_log_groups(),
    "cloudwatch": lambda made: made.list_metrics(),
    "guardduty": lambda made: made.list_detectors(),
    "s3": lambda made: made.list_objects_v2(Bucket="b"),
}


class Endpoint:
    """Answers each connection with a beginning, and then a piece again and again. sent: their bytes."""

    def __init__(self, begin: bytes, piece: bytes, seconds: float = 0.0) -> None:
        self.begin, self.piece, self.seconds, self.sent = begin, piece, seconds, 0
        self.ended = threading.Event()
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    def _accept(self) -> None:
        while not self.ended.is_set():
            with suppress(OSError):
                line = self.listener.accept()[0]
                self.threads.append(threading.Thread(target=self._answer, args=(line,), daemon=True))
                self.threads[-1].start()

    def _answer(self, line: socket.socket) -> None:
        with line, suppress(OSError):
            line.recv(65536)
            line.sendall(self.begin)
            while not self.ended.wait(self.seconds):
                line.sendall(self.piece)
                self.sent += len(self.piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(10)

    def client(self, service: str, session: object = None, **more: object):
        config = Config(
            retries={"total_max_attempts": 1}, **{"read_timeout": 20, "connect_timeout": 20, **more}
        )
        keys = {"aws_access_key_id": "A", "aws_secret_access_key": "B"}
        made = session or new_session()
        return made.create_client(
            service, "eu-west-1", endpoint_url=f"http://{HOST}:{self.port}", config=config, **keys
        )

    def wire(self) -> Wire:
        return Wire(WireEndpoint(HOST, self.port, None, 20.0, 20.0))


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """Bounds that a test can reach."""
    monkeypatch.setattr(pace, "WINDOW_SECONDS", 0.4)
    monkeypatch.setattr("sources.aws.signed.wire.WINDOW_SECONDS", 0.4)
    monkeypatch.setattr(pace, "WHOLE_BYTES", MIB)
    monkeypatch.setattr("sources.aws.signed.wire.WHOLE_BYTES", MIB)


@pytest.fixture(scope="module")
def session():
    return new_session()


def by_boto3(endpoint, session):
    with pytest.raises(BotoCoreError):
        endpoint.client("sqs", session).list_queues()


def by_wire(endpoint, _session):
    with pytest.raises(WireError):
        endpoint.wire().ask(ASKED)


@pytest.mark.parametrize("ask", [by_boto3, by_wire])
@pytest.mark.parametrize("how", DRIPS)
def test_a14_what_drips_is_left(how, ask, session):
    """Each byte comes within the timeout of a receive, and a call would go on for days."""
    with Endpoint(*DRIPS[how], seconds=0.02) as endpoint:
        ask(endpoint, session)
        assert endpoint.sent < 64 << 10


@pytest.mark.parametrize("ask", [by_boto3, by_wire])
@pytest.mark.parametrize("how", FLOODS)
def test_a14_what_has_no_end_is_left(how, ask, session):
    """What comes fast enough and never ends would fill the memory."""
    with Endpoint(*FLOODS[how]) as endpoint:
        ask(endpoint, session)
        assert endpoint.sent < 16 * MIB  # what the kernel holds of it among them


@pytest.mark.parametrize("how", [DRIPS["body"], FLOODS["body"]])
@pytest.mark.parametrize("service", CLIENTS)
def test_a14_of_every_client(service, how, session):
    """Whatever is asked, and by which protocol."""
    with Endpoint(*how, seconds=0.01 if how in DRIPS.values() else 0.0) as endpoint:
        with pytest.raises(BotoCoreError):
            CLIENTS[service](endpoint.client(service, session))
        assert endpoint.sent < 16 * MIB


def test_a14_more_than_a_reply_is_no_next_one(session):
    """What an endpoint sends behind a reply is not read as the answer to the next request."""
    begin = (
        JSON + b'content-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{"QueueUrls":"f"}'
    )
    with Endpoint(begin, b"more", 0.01) as endpoint:
        client = endpoint.client("sqs", session)
        for _ in range(3):
            with suppress(BotoCoreError):  # of what comes behind it, as far as that is no end of a connection
                assert "QueueUrls" not in client.list_queues()


def test_a14_an_objects_body_is_its_readers(session, monkeypatch):
    """A body that is streamed may be of any size, and rest for longer than a reply that is read whole."""
    size = 3 * MIB
    with Endpoint(OK + b'etag: "a"\r\ncontent-length: %d\r\n\r\n' % size, b"x" * (MIB // 4), 0.0) as endpoint:
        endpoint.seconds = 0.1
        monkeypatch.setattr(pace, "FLOOR", 1 << 30)
        client = endpoint.client("s3", session, s3={"addressing_style": "path"})
        body = client.get_object(Bucket="b", Key="k")["Body"]
        assert (
            sum(len(part) for part in itertools.takewhile(bool, iter(lambda: body.read(65536), None))) == size
        )


def test_a14_only_single_receives_of_a_streamed_body_have_a_time(session):
    """Waiting for all of its bytes may take longer than the timeout of each."""
    begin = OK + b'etag: "a"\r\ncontent-length: 20\r\n\r\n'
    with Endpoint(begin, b"x", 0.1) as endpoint:
        client = endpoint.client("s3", session, read_timeout=1)
        body = client.get_object(Bucket="b", Key="k")["Body"]
        receive_at_once(body)
        assert b"".join(body.read(1) for _ in range(20)) == b"x" * 20
