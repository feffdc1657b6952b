"""Clients share what they trust, and trust no more than each of them would alone."""

import shutil
import socket
import ssl
import threading
from contextlib import suppress

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError

from flows.demo.receiver import make_certificates
from sources.aws.signed.authorities import share, shared
from tests.fakes.process import HOST

KEYS = {"aws_access_key_id": "A", "aws_secret_access_key": "B"}
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@pytest.fixture
def certificates(tmp_path):
    make_certificates(tmp_path)
    return tmp_path


@pytest.fixture
def port(certificates):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.pem")
    listener = socket.create_server((HOST, 0))

    def run():
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return  # it is closed
            with line, suppress(OSError), context.wrap_socket(line, server_side=True) as inner:
                asked = b""
                while not asked.endswith(b"{}") and (more := inner.recv(65536)):
                    asked += more  # the body may come by itself, and what is left unread resets the reply
                inner.sendall(REPLY)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)  # wakes accept
    thread.join(10)
    listener.close()


def client(port, verify):
    once = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
    made = boto3.client(
        "sqs", "us-east-1", endpoint_url=f"https://{HOST}:{port}", verify=verify, config=once, **KEYS
    )
    share(made)
    return made


def context_of(made):
    return made._endpoint.http_session._manager.connection_pool_kw["ssl_context"]


def test_clients_of_the_same_authorities_share_them(port, certificates):
    """One context for all of them, which each connection of each of them works with."""
    one, other = (client(port, str(certificates / "chain.crt")) for _ in range(2))
    assert context_of(one) is context_of(other) is shared(str(certificates / "chain.crt"))
    for made in (one, other, one):
        made.list_queues()


def test_other_authorities_are_not_trusted(port, certificates):
    """Who trusts the public authorities trusts none that another client does."""
    client(port, str(certificates / "chain.crt")).list_queues()
    with pytest.raises(SSLError):
        client(port, verify=True).list_queues()


def test_a_client_that_verifies_nothing_keeps_to_itself(port, certificates):
    """What it does to its context is none of the others' business."""
    careless, careful = client(port, verify=False), client(port, str(certificates / "chain.crt"))
    with pytest.warns(Warning, match="Unverified"):
        careless.list_queues()
    assert context_of(careless) is not context_of(careful)
    assert context_of(careful).verify_mode is ssl.CERT_REQUIRED


def test_a_file_that_has_changed_is_read_again(port, certificates, tmp_path_factory):
    """A renewed bundle needs no restart; and who begins after that trusts nothing of the old one."""
    strangers, bundle = tmp_path_factory.mktemp("strangers"), certificates / "bundle.crt"
    make_certificates(strangers)
    shutil.copy(strangers / "chain.crt", bundle)
    made, before = client(port, str(bundle)), shared(str(bundle))
    with pytest.raises(SSLError):
        made.list_queues()
    bundle.write_bytes((certificates / "chain.crt").read_bytes() + b"\n")
    made.list_queues()
    assert shared(str(bundle)) is not before


def test_a_file_that_is_not_there_is_told_by_the_call(port, tmp_path):
    """Sharing is no new way to fail: what botocore says of it is said when it is asked."""
    with pytest.raises(Exception, match=r"(?i)none.pem|CA bundle|ssl"):
        client(port, str(tmp_path / "none.pem")).list_queues()
