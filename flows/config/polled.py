"""Settings of services that ask an API every so often."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from flows.config.base import ServiceSettings
from flows.config.types import Moment, OneOrSeveral, RequestLimit
from transforms.setting import About, setting


def recheck_setting(of: str = "") -> Any:
    """Declare `recheck`. of: what it is for, where a service has other types too."""
    told = f"{of}daily: each day is read once more when it is final, and what came later is sent"
    return Field(
        None,
        description=told[0].upper() + told[1:],
        examples=["daily"],
        json_schema_extra=About(ours=True),
    )


class PolledSettings(ServiceSettings):
    """What every service has that asks an API every so often."""

    request_period_in_seconds: float = setting(300, example=60, unit="seconds", gt=0)
    """From one poll of a region, group or detector to the next"""
    requests_per_second: float | None = setting(None, example=2, unit="requests/s", gt=0)
    """Most requests of each API, region and account, counted by each service and process for itself; by
    default the input's, else what AWS allows CloudWatch's APIs by default"""
    requests_limits: OneOrSeveral[RequestLimit] = setting(
        (), example=[{"period": "1d", "number_of_requests": 10_000}]
    )
    """Most requests in longer periods, counted likewise, from the process's start on; after it, or a rest,
    up to twice as many"""
    start_time: Moment | None = setting(None, example="2026-01-02T03:04:05Z")
    """Collect from this time (ISO 8601) on, by default from the first start. Changing it begins anew from
    there"""

    recheck: Literal["daily"] | None = recheck_setting()

    def beginning(self, moment: datetime) -> Self:
        """Return the settings with this start time, unless they give one."""
        return self if self.start_time else self.model_copy(update={"start_time": moment})

    @model_validator(mode="after")
    def _knows_its_regions(self) -> Self:
        if self.enabled:
            self._known_regions()
        return self
