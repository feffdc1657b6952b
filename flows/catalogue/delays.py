"""How long the API services wait for what AWS shows late, as keys of their settings."""

from typing import Any

from pydantic import Field

from transforms.setting import About

AUTO = "true: the tag's last level tells the event's type"
"""What `auto_event_type` means wherever it has an effect."""


def _seconds(default: int, told: str) -> object:
    text = told[0].upper() + told[1:]
    return Field(
        default,
        ge=0,
        description=text,
        examples=[default],
        json_schema_extra=About(unit="seconds", ours=True),
    )


def settle(default: int, of: str = "") -> Any:
    """Declare `settle_seconds`. of: what it is for, where a service has other types too."""
    told = f"{of}events younger than this are not asked for, AWS may not show all of them yet"
    return _seconds(default, told)


def overlap(default: int, of: str = "", what: str = "events") -> Any:
    """Declare `overlap_seconds`. what: comes late."""
    told = f"{of}how far requests reach back at least, for {what} that AWS shows late; repeats are dropped"
    return _seconds(default, told)


def reach(default: int, told: str) -> Any:
    """Declare another delay of this kind."""
    return _seconds(default, told)


def max_reach(default: int, of: str = "") -> Any:
    """Declare `max_reach_seconds`."""
    told = f"{of}how late events are is measured, and how far back requests reach follows it, up to this age"
    return _seconds(default, told)


def linked(what: str) -> Any:
    """Declare `include_linked_accounts`."""
    return Field(
        default=False,
        description=f"true: in a monitoring account, collect the {what} of all accounts linked to it too",
        examples=[True],
        json_schema_extra=About(ours=True),
    )
