"""The private attributes of botocore are there and do what they are used for, in the version installed."""

import socket
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime

import boto3
import botocore
import pytest
from botocore.config import Config
from botocore.credentials import Credentials, DeferredRefreshableCredentials
from botocore.session import Session

from sources.aws import botocore_internals as internals
from sources.aws.signed.get import SignedGet

LATER = "2099-01-01T00:00:00Z"


@pytest.fixture
def told() -> str:
    """Return what a failure says first: of which version it is known, and which one is here."""
    return (
        f"known of botocore {internals.KNOWN}, installed is {botocore.__version__}: mend {internals.__name__}"
    )


@pytest.fixture
def client():
    return Session().create_client("s3", "eu-west-1", aws_access_key_id="A", aws_secret_access_key="B")


def test_a_client_signs_with_these_credentials(client, told):
    """A client's credentials are found, and are the ones that it was made with."""
    try:
        found = internals.signing_credentials(client)
    except AttributeError as error:
        pytest.fail(f"{error}; {told}")
    assert found.get_frozen_credentials().access_key == "A", told


def test_a_client_verifies_with_this(client, told):
    """What a client verifies servers with is found."""
    try:
        assert internals.verification(client), told
    except AttributeError as error:
        pytest.fail(f"{error}; {told}")


def test_a_client_connects_with_this_context(client, told):
    """The context that a client is given is what its connections are made with."""
    context = ssl.create_default_context()
    try:
        internals.use_tls(client, context)
        pool = client._endpoint.http_session._manager.connection_from_url("https://127.0.0.1:1")
    except AttributeError as error:
        pytest.fail(f"{error}; {told}")
    assert pool.conn_kw["ssl_context"] is context, told


def test_a_credential_process_is_started_by_ours(told, tmp_path, monkeypatch):
    """The process of a profile is started by what is given, which may bound it."""
    config = tmp_path / "config"
    config.write_text("[default]\ncredential_process = any command\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    session, started = Session(), []

    class Started(Exception):
        pass

    def popen(command, **_):
        started.append(command)
        raise Started

    internals.run_processes_by(session, popen)
    with suppress(Started, FileNotFoundError):
        session.get_credentials()
    assert started == [["any", "command"]], told


def test_the_end_of_credentials_is_known(told):
    """When refreshable credentials end can be told, and that fixed keys never do."""

    def fetch():
        return {"access_key": "A", "secret_key": "B", "token": "T", "expiry_time": LATER}

    found = DeferredRefreshableCredentials(fetch, "test")
    found.get_frozen_credentials()
    try:
        ends = internals.end_of(found)
    except AttributeError as error:
        pytest.fail(f"{error}; {told}")
    assert ends == datetime(2099, 1, 1, tzinfo=UTC), told
    assert internals.end_of(Credentials("A", "B")) is None, told


def test_the_version_pinned_is_the_one_known(told):
    """Who lifts the pin looks at these attributes again."""
    assert botocore.__version__.startswith(f"{internals.KNOWN}."), told


def test_s9_a_body_reads_what_one_receive_brings(monkeypatch):
    """A reply of which only a part has come is not waited for; all of it comes in the end, once."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    body = b"first" + b"x" * 100_000
    listener = socket.create_server(("127.0.0.1", 0))
    go_on = threading.Event()

    def serve():
        connection, _ = listener.accept()
        connection.recv(65_536)
        connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: %d\r\n\r\nfirst' % len(body))
        go_on.wait(20)
        connection.sendall(body[5:])
        connection.close()

    threading.Thread(target=serve, daemon=True).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = Config(s3={"addressing_style": "path"}, response_checksum_validation="when_required")
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", config=config)
    reply = SignedGet(client).get_object(Bucket="b", Key="k")
    assert reply["Body"].read(50_000) == b"first"
    go_on.set()
    assert b"".join(iter(lambda: reply["Body"].read(50_000), b"")) == body[5:]
    listener.close()
