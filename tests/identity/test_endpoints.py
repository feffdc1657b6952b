"""Custom endpoints, FIPS, VPC endpoints and proxies are botocore's own settings, and reach every client."""

import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import trustme

from sources.aws.account import Account, Credentials
from sources.queues.sqs import Queue, SqsQueue

REGION = "eu-west-1"
ASKED = {
    "sqs": ("get_queue_url", {"QueueName": "q"}, "SQS"),
    "s3": ("list_buckets", {}, "S3"),
    "sts": ("get_caller_identity", {}, "STS"),
    "cloudtrail": ("lookup_events", {}, "CLOUDTRAIL"),
    "logs": ("describe_log_groups", {}, "CLOUDWATCH_LOGS"),
    "cloudwatch": ("list_metrics", {}, "CLOUDWATCH"),
    "guardduty": ("list_detectors", {}, "GUARDDUTY"),
}
"""Every service that the collector asks → a call, and how AWS_ENDPOINT_URL_… spells it."""


@pytest.fixture
def account(monkeypatch) -> Account:
    """Return an account whose settings are those of the test alone."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    return Account("in", Credentials(access_key="AKIA", access_secret="secret"))


class SentError(Exception):
    """Instead of sending a request: the host that it would go to."""


def host(account: Account, service: str, region: str = REGION) -> str:
    """Return the host that a service's request would go to; nothing is sent."""

    def instead(request, **_):
        raise SentError(urlsplit(request.url).netloc)

    client = account.client(service, region)
    client.meta.events.register_first("before-send", instead)
    operation, parameters, _ = ASKED[service]
    with pytest.raises(SentError) as caught:
        getattr(client, operation)(**parameters)
    return str(caught.value)


@pytest.mark.parametrize("service", ["sqs", "logs"])
def test_a_services_own_endpoint(account, monkeypatch, service):
    """AWS_ENDPOINT_URL_<SERVICE> leads one service elsewhere, a VPC endpoint for instance, and no other."""
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{ASKED[service][2]}", "https://vpce-1.example:8443")
    hosts = {name: host(account, name) for name in ASKED}
    assert hosts.pop(service) == "vpce-1.example:8443"
    assert all(other.endswith(".amazonaws.com") for other in hosts.values())


def test_each_service_has_its_spelling(account, monkeypatch):
    """The names of the seven variables are those that docs/endpoints.md gives."""
    for name, (_, _, spelling) in ASKED.items():
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{spelling}", f"https://{name}.example")
    assert {host(account, name) for name in ASKED} == {f"{name}.example" for name in ASKED}


def test_fips_endpoints(account, monkeypatch):
    """AWS_USE_FIPS_ENDPOINT=true leads every service to its FIPS endpoint."""
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    hosts = {name: host(account, name, "us-east-1") for name in ASKED}
    assert [name for name, found in hosts.items() if "fips" not in found] == []


class ConnectProxy:
    """A proxy that notes whom it shall connect to, and answers in their place, as SQS does."""

    def __init__(self, authority: trustme.CA) -> None:
        self.asked: list[str] = []
        self._authority = authority
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        head = _until_blank(connection)
        target = head.split()[1].decode()
        self.asked.append(target)
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(target.partition(":")[0]).configure_cert(context)
        with context.wrap_socket(connection, server_side=True) as tls:
            _whole(tls)  # a close with something unread would reset the connection before its reply is read
            body = json.dumps({"QueueUrl": "https://sqs.eu-west-1.amazonaws.com/1/q"}).encode()
            tls.sendall(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )


def _whole(connection: socket.socket) -> None:
    """Read a request, its body too."""
    head, _, body = _until_blank(connection).partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(65536)


def _until_blank(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    return head


@pytest.fixture
def connect(tmp_path, monkeypatch) -> Iterator[ConnectProxy]:
    """Return a proxy whose authority is in AWS_CA_BUNDLE."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "bundle.pem")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "bundle.pem"))
    proxy = ConnectProxy(authority)
    yield proxy
    proxy.close()


def test_a_proxy_and_an_authority_of_ones_own(account, connect, monkeypatch):
    """HTTPS_PROXY is asked to connect to AWS, and AWS_CA_BUNDLE says whose certificates are believed."""
    monkeypatch.setenv("HTTPS_PROXY", connect.url)
    queue = SqsQueue(Queue(account, REGION, "q"))
    assert queue.receive(0, 30) == []
    assert set(connect.asked) == {"sqs.eu-west-1.amazonaws.com:443"}
