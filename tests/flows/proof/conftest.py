"""An AWS whose CloudTrail knows the key that trails of these tests are signed with."""

import pytest

from tests.fakes.fake_aws.cloudtrail import put_public_key
from tests.fakes.fake_aws.server import FakeAws
from tests.flows.proof.trails import FINGERPRINT, public_key


@pytest.fixture(scope="module")
def cloudtrail():
    """Serve the public keys."""
    with FakeAws() as running:
        yield running


@pytest.fixture
def keys_known(aws, cloudtrail, monkeypatch):
    """Lead this process to that AWS."""
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDTRAIL", cloudtrail.url)
    put_public_key(FINGERPRINT, public_key())
