"""What all tests of the sinks share."""

from hypothesis import settings

settings.register_profile("calm", deadline=None)  # timing is never asserted
settings.load_profile("calm")
