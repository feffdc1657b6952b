"""What all tests of the sinks share."""

import pytest
from hypothesis import settings

from tests.fakes.certs import Certs, make_certs

settings.register_profile("calm", deadline=None)  # timing is never asserted
settings.load_profile("calm")


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    """Return good certificates."""
    return make_certs(tmp_path_factory.mktemp("certs"))
