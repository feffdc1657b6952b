"""Days that certificates have left: as metric, as warning, on the status page."""

import logging
import ssl
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from flows.status import certificates
from flows.status.certificates import ends_in
from flows.status.group import Asked, merged
from flows.status.view import view
from sinks.settings import parse_output
from tests.flows.status.acting import watch

NOW = datetime.now(UTC)


@pytest.fixture
def output(tmp_path):
    """Return a maker of outputs whose certificate lasts so many days."""

    def make(days, name="devo"):
        authority = trustme.CA()
        leaf = authority.issue_cert(
            "collector@test.devo", not_before=NOW - timedelta(days=99), not_after=NOW + timedelta(days=days)
        )
        files = {one: str(tmp_path / f"{name}-{one}.pem") for one in ("chain", "cert", "key")}
        parts = (authority.cert_pem, leaf.cert_chain_pems[0], leaf.private_key_pem)
        for part, path in zip(parts, files.values(), strict=True):
            part.write_to_path(path)
        config = {"address": "devo.example", **files}
        return parse_output(name, {"type": "devo_platform", "config": config})

    return make


def test_days_of_each_file(output):
    """The certificate's days and those of its chain are told; below zero once it has ended."""
    found = {name: days for _, name, days in certificates.days_left([output(12.5)], NOW.timestamp())}
    assert found.keys() == {"cert", "chain"}
    assert found["cert"] == pytest.approx(12.5, abs=0.01)
    assert found["chain"] > 1000
    ended = next(certificates.days_left([output(-3)], NOW.timestamp()))
    assert ended[2] == pytest.approx(-3, abs=0.01)


def test_a_renewed_file_counts(output):
    """A file that was replaced is read anew at the next look."""
    made = output(2)
    output(200)
    assert next(certificates.days_left([made], NOW.timestamp()))[2] == pytest.approx(200, abs=0.01)


def test_what_has_no_certificate_or_cannot_be_read_is_left_out(output):
    """The console has none; a damaged file is told by the output itself."""
    made = output(50)
    made.config.cert.write_text("damaged")
    console = parse_output("console", {"type": "console"})
    assert not list(certificates.days_left([console, made], NOW.timestamp()))


def test_the_metric_and_one_warning_a_day(output, caplog):
    """The gauge has the days of each file; under 30 one line says so, with the cure."""
    caplog.set_level(logging.WARNING, "collector")
    logging.getLogger("collector").propagate = True
    over = threading.Event()
    over.set()
    certificates.watch([output(12.5, "soon"), output(300, "later")], over)
    labels = {"output": "soon", "file": "cert"}
    assert REGISTRY.get_sample_value("collector_certificate_days", labels) == pytest.approx(12.5, abs=0.1)
    told = [one for one in caplog.records if one.__dict__.get("event") == "certificate_ends"]
    assert [one.__dict__["fields"]["output"] for one in told] == ["soon"]


@pytest.mark.parametrize(
    ("days", "level", "told"),
    [
        (400.0, "mute", "Certificates: cert of output devo lasts 400 days."),
        (29.5, "warn", "Certificates: cert of output devo lasts 29 days. Download a new one"),
        (3.0, "bad", "Certificates: cert of output devo lasts 3 days. Download a new one"),
        (-2.0, "bad", "Certificates: cert of output devo has ended 2 d ago. Download a new one"),
    ],
)
def test_the_page_has_a_line(days, level, told):
    """The line turns yellow 30 days before the end and red a week before; the first sentence follows."""
    state = watch().state()
    for place in state["places"]:
        place |= {"targets_failing": 0, "lag_seconds": 4}
    state["quarantine"]["items"] = 0
    state["certificates"] = {"cert of output devo": days}
    cells = view(state)
    assert cells["certificates"].level == level
    assert cells["certificates"].text.startswith(told)
    assert cells["sum"].text.startswith(
        "All is well" if days > 30 else "Collecting; 1 certificate within 30 days"
    )


def test_of_several_processes_the_fewest_days_are_shown():
    """A process that has not read a new file yet decides."""
    states = [watch().state() | {"certificates": {"cert of output devo": days}} for days in (300.0, 9.0)]
    known = [(Asked(str(number), "h", 1), one) for number, one in enumerate(states)]
    assert merged("all", known, [], 1.0)["certificates"] == {"cert of output devo": 9.0}


def _made(ends: datetime) -> bytes:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = x509.CertificateBuilder(name, name, key.public_key(), 7, NOW, ends)
    return made.sign(key, SHA256()).public_bytes(Encoding.PEM)


def test_ends_are_those_of_the_library(certs):
    """The end of a certificate is read as cryptography reads it, in both forms of a time."""
    moments = (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2051, 2, 3, 4, 5, 6, tzinfo=UTC))
    pems = b"text before\n" + b"".join(map(_made, moments)) + certs.client_cert.read_bytes()
    known = [one.not_valid_after_utc.timestamp() for one in x509.load_pem_x509_certificates(pems)]
    assert ends_in(pems.decode()) == known
    assert known[:2] == [one.timestamp() for one in moments]


_PLANTED = _made(datetime(2030, 1, 2, tzinfo=UTC))


@given(st.integers(0, 400), st.integers(0, 255), st.integers(0, 400))
def test_a_damaged_certificate_is_a_value_error(at, byte, cut):
    """Whatever a file holds, the watch goes on: what cannot be read is a ValueError."""
    der = bytearray(ssl.PEM_cert_to_DER_cert(_PLANTED.decode()))
    der[at % len(der)] = byte
    pem = ssl.DER_cert_to_PEM_cert(bytes(der[: len(der) - cut]) or b"x")
    with suppress(ValueError):
        assert len(ends_in(pem)) == 1
