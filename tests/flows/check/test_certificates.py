"""Certificate files without a network: each fault has its one line."""

from datetime import UTC, datetime, timedelta

import pytest
import trustme

from tests.fakes.certs import make_certs
from tests.flows.check.conftest import config, flow_logs

NOW = datetime.now(UTC)


@pytest.fixture
def devo(look):
    """Return what checks, offline, an output with these files."""

    def check(chain, cert, key):
        files = {"chain": str(chain), "cert": str(cert), "key": str(key)}
        output = {"devo": {"type": "devo_platform", "config": {"address": "devo.example", **files}}}
        return look({**config(flow_logs("flow")), "outputs": output}, offline=True, now=lambda: NOW)

    return check


def issued(folder, **more):
    """Write a certificate of a new authority; returns chain, certificate, key."""
    authority = trustme.CA()
    leaf = authority.issue_cert("collector@test.devo", **more)
    paths = [folder / name for name in ("chain.pem", "cert.pem", "key.pem")]
    for part, path in zip(
        (authority.cert_pem, leaf.cert_chain_pems[0], leaf.private_key_pem), paths, strict=True
    ):
        part.write_to_path(path)
        path.chmod(0o600)
    return paths


def test_files_that_fit(devo, certs):
    """A certificate that fits its key and chain is ok, with its last day."""
    found = devo(certs.ca, certs.client_cert, certs.client_key)
    assert "fits its key and chain, until 3000-01-01: outputs.devo.config.cert" in found.line("certificate")
    assert not found.of("warn")
    assert not found.of("fail")


def test_an_expired_certificate(devo, tmp_path):
    """An expired certificate fails with its day."""
    line = devo(*issued(tmp_path, not_after=NOW - timedelta(days=1))).only("fail", "certificate_expired")
    assert f"has expired on {NOW - timedelta(days=1):%Y-%m-%d}: outputs.devo.config.cert" in line


@pytest.mark.parametrize(("days", "told"), [(29.5, "in 29 days"), (1.5, "in 1 day,"), (0.5, "in 0 days")])
def test_a_certificate_near_its_end(devo, tmp_path, days, told):
    """A certificate that expires within 30 days is told, with the days that are left."""
    files = issued(tmp_path, not_after=NOW + timedelta(days=days, seconds=60))
    assert told in devo(*files).only("warn", "certificate_expiring")


def test_a_certificate_with_more_than_30_days(devo, tmp_path):
    """31 days before its end nothing is told."""
    assert not devo(*issued(tmp_path, not_after=NOW + timedelta(days=31))).of("warn")


def test_a_certificate_that_has_not_begun(devo, tmp_path):
    """A certificate of the future points at the clock."""
    start = NOW + timedelta(days=2)
    files = issued(tmp_path, not_before=start, not_after=start + timedelta(days=90))
    assert "check this machine's clock" in devo(*files).only("fail", "certificate_expired")


def test_a_key_of_another_certificate(devo, certs, tmp_path):
    """A key that does not match its certificate fails."""
    other = make_certs(tmp_path)
    found = devo(certs.ca, certs.client_cert, other.client_key)
    line = found.only("fail", "certificate_key")
    assert "key and certificate do not belong together" in line
    assert not found.of("warn")


def test_a_chain_of_another_authority(devo, certs, tmp_path):
    """A chain that did not issue the certificate is told; the live part tells whether it is a failure."""
    other = make_certs(tmp_path)
    line = devo(other.ca, certs.client_cert, certs.client_key).only("warn", "certificate_chain")
    assert "chain does not hold the authority of cert (Testing CA" in line


@pytest.mark.parametrize(
    ("chain", "beside", "level"),
    [("root between", "", "ok"), ("root", "between", "ok"), ("root", "", "warn"), ("between", "", "warn")],
)
def test_an_authority_between(devo, tmp_path, chain, beside, level):
    """The chain, and what lies beside the certificate, must lead to an authority that signed itself."""
    root = trustme.CA()
    between = root.create_child_ca()
    pems = {"root": root.cert_pem.bytes(), "between": between.cert_pem.bytes()}
    leaf = between.issue_cert("collector@test.devo")
    files = [tmp_path / name for name in ("chain.pem", "cert.pem", "key.pem")]
    files[0].write_bytes(b"".join(pems[name] for name in chain.split()))
    files[1].write_bytes(leaf.cert_chain_pems[0].bytes() + b"".join(pems[name] for name in beside.split()))
    files[2].touch(mode=0o600)
    leaf.private_key_pem.write_to_path(files[2])
    found = devo(*files)
    assert [one.code for one in found.of("warn")] == (["certificate_chain"] if level == "warn" else [])


def test_a_key_that_others_may_read(devo, tmp_path):
    """A private key that others may read is told, with what to do."""
    chain, cert, key = issued(tmp_path)
    key.chmod(0o640)
    line = devo(chain, cert, key).only("warn", "key_readable")
    assert f"readable by others (mode 640): {key}: chmod 600 {key}" in line


def test_a_file_that_is_no_certificate(devo, certs, tmp_path):
    """A file of something else fails, by name."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    line = devo(certs.ca, wrong, certs.client_key).only("fail", "certificate")
    assert f"not a usable PEM file: {wrong}" in line


def test_a_file_that_is_not_there(devo, certs, tmp_path):
    """A missing file fails when the configuration is read."""
    assert "no file" in devo(certs.ca, tmp_path / "none.pem", certs.client_key).only("fail", "file_missing")


def test_certificate_and_key_swapped(devo, certs):
    """A key where the certificate should be, and the other way round, is told as that."""
    line = devo(certs.ca, certs.client_key, certs.client_cert).only("fail", "certificate_swapped")
    assert f"certificate and key are swapped: {certs.client_key}: exchange `cert` and `key`" in line


def test_certificate_and_chain_swapped(devo, certs):
    """So is the chain in the certificate's place."""
    line = devo(certs.client_cert, certs.ca, certs.client_key).only("fail", "certificate_swapped")
    assert f"certificate and chain are swapped: {certs.ca}: exchange `chain` and `cert`" in line


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("ca", "client_cert", "client_cert"), "a certificate is where `key` names a private key"),
        (("ca", "client_key", "client_key"), "a private key is where `cert` names a certificate"),
        (("client_key", "client_cert", "client_key"), "a private key is where `chain` names a certificate"),
        (("client_key", "client_cert", "ca"), "a private key is where `chain` names a certificate"),
    ],
)
def test_a_file_in_another_ones_place(devo, certs, names, told):
    """One file that is of another kind than its key says is told with both kinds."""
    line = devo(*(getattr(certs, name) for name in names)).only("fail", "certificate_swapped")
    assert told in line
    assert line.rpartition(": ")[2].startswith("name the file with the ")


def test_a_request_is_no_certificate(devo, certs, tmp_path):
    """A certificate request, which is what people have before they have a certificate, is named."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n")
    line = devo(certs.ca, wrong, certs.client_key).only("fail", "certificate_swapped")
    assert "a certificate request is where `cert` names a certificate" in line
