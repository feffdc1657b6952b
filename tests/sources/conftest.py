"""What the tests of APIs share: AWS as boto3 finds it."""

import pytest

from tests.fakes.fake_aws import server as fake_aws


@pytest.fixture
def served(monkeypatch):
    """Serve an empty fake AWS and point boto3 at it."""
    with fake_aws.FakeAws() as aws:
        fake_aws.reset()
        for name, value in fake_aws.environment(aws.url).items():
            monkeypatch.setenv(name, value)
        yield aws
