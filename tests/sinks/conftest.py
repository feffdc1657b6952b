"""Certificates that all tests of the sinks share."""

import pytest

from tests.fakes.certs import Certs, make_certs


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    """Return good certificates."""
    return make_certs(tmp_path_factory.mktemp("certs"))
