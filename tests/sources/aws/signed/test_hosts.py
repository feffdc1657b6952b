"""A client's endpoints are reached as the client reaches them: authorities, proxies, timeouts."""

import socket
import ssl
import threading
from contextlib import suppress

import boto3
import pytest

from flows.demo.receiver import make_certificates
from sources.aws.signed import hosts, wire
from sources.aws.signed.hosts import Hosts
from sources.aws.signed.wire import WireError
from tests.fakes.process import HOST, wait_until

ASKED = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


def serve(answer):
    """Answer one connection after the other by a function; return the port."""
    listener = socket.create_server((HOST, 0))

    def run():
        while True:
            line, _ = listener.accept()
            with line:
                try:
                    answer(line)
                except OSError:
                    continue

    threading.Thread(target=run, daemon=True).start()
    return listener.getsockname()[1]


def secure(certificates):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.pem")

    def answer(line):
        with context.wrap_socket(line, server_side=True) as inner:
            while inner.recv(65536):
                inner.sendall(REPLY)

    return serve(answer)


def proxy(status, said, minor=1):
    """Lead on to wherever is asked, or refuse; what was asked is noted."""

    def pump(one, other):
        with suppress(OSError):  # the other direction has ended
            while data := one.recv(65536):
                other.sendall(data)

    def answer(line):
        said.append(line.recv(65536).decode())
        host, _, port = said[-1].split()[1].partition(":")
        line.sendall(f"HTTP/1.{minor} {status} said\r\n\r\n".encode())
        if status == 200:
            with socket.create_connection((host, int(port))) as onward:
                threading.Thread(target=pump, args=(onward, line), daemon=True).start()
                pump(line, onward)

    return serve(answer)


def made(verify):
    return Hosts(boto3.client("sqs", region_name="us-east-1", verify=str(verify)))


def test_the_servers_certificate_is_verified(certificates):
    """By the authorities that the client was given, and by no others."""
    base = f"https://{HOST}:{secure(certificates)}"
    assert made(certificates / "chain.crt").wire(base).ask(ASKED).body == b"{}"
    with pytest.raises(WireError, match=r"(?i)certificate"):
        Hosts(boto3.client("sqs", region_name="us-east-1")).wire(base).ask(ASKED)


@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize(("user", "by"), [("", ""), ("me:a%40b@", "Basic bWU6YUBi")])
def test_a_proxy_leads_on_to_tls(certificates, monkeypatch, user, by, minor):
    """`HTTPS_PROXY`, with its user where it names one: the connection behind it is the endpoint's own."""
    said = []
    at = f"http://{user}{HOST}:{proxy(200, said, minor)}"
    monkeypatch.setattr(hosts, "get_environ_proxies", lambda _url: {"https": at})
    port = secure(certificates)
    through = made(certificates / "chain.crt").wire(f"https://{HOST}:{port}")
    assert [through.ask(ASKED).body, through.ask(ASKED).body] == [b"{}"] * 2
    assert len(said) == 1
    assert said[0].startswith(f"CONNECT {HOST}:{port} HTTP/1.1\r\n")
    assert (f"proxy-authorization: {by}" in said[0]) == bool(by)


def test_a_proxy_that_refuses_is_an_error(certificates, monkeypatch):
    """The client is asked then, and says what the proxy said."""
    monkeypatch.setattr(
        hosts, "get_environ_proxies", lambda _url: {"https": f"http://{HOST}:{proxy(407, [])}"}
    )
    with pytest.raises(WireError, match="407"):
        made(certificates / "chain.crt").wire(f"https://{HOST}:1").ask(ASKED)


@pytest.mark.parametrize(
    ("base", "named"),
    [
        ("http://sqs.example", {"http": "http://proxy:3128"}),
        ("https://sqs.example", {"https": "https://proxy:3128"}),
        ("https://sqs.example", {"https": "socks5://proxy:1080"}),
    ],
)
def test_other_proxies_are_the_clients(monkeypatch, base, named):
    """What leads on without TLS, or speaks another language, only boto3 goes through."""
    monkeypatch.setattr(hosts, "get_environ_proxies", lambda _url: named)
    with pytest.raises(ValueError, match="boto3"):
        Hosts(boto3.client("sqs", region_name="us-east-1")).wire(base)


def test_endpoints_are_bounded():
    """S3 has one for each bucket: those longest unused are forgotten, and their connections closed."""
    many = Hosts(boto3.client("s3", region_name="us-east-1"))
    first = many.wire("http://first.example")
    for number in range(hosts._HOSTS - 1):
        many.wire(f"http://{number}.example")
    assert many.wire("http://first.example") is first
    many.wire("http://one-more.example")
    assert many.wire("http://first.example") is first
    assert len(many._wires) == hosts._HOSTS


def test_hosts_that_nobody_asks_keep_no_connection(monkeypatch):
    """AWS closes idle connections: theirs are closed here too, whoever is asked next."""
    many, ended = Hosts(boto3.client("s3", region_name="us-east-1")), []

    def answer(line):
        line.recv(65536)
        line.sendall(REPLY)
        ended.append(line.recv(65536))

    first = many.wire(f"http://{HOST}:{serve(answer)}")
    first.ask(ASKED)
    many.wire("http://other.example")
    assert len(first._idle) == 1
    for module in (hosts, wire):
        monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    many.wire("http://other.example")
    assert not first._idle
    wait_until(lambda: ended == [b""], 5, "the server has seen the end")
