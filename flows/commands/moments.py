"""Moments as a person writes them in `--from` and `--to`."""

from datetime import UTC, datetime

from flows.config.load import SettingsError


def moment(option: str, text: str) -> datetime:
    """Return a date or an ISO 8601 time, UTC unless it says otherwise. Raises SettingsError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"no date: {text}", option, "write 2026-01-31 or 2026-01-31T12:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def between(start: str, end: str) -> tuple[datetime, datetime]:
    """Return `--from` and `--to`, which is exclusive. Raises SettingsError."""
    first, last = moment("--from", start), moment("--to", end)
    if first >= last:
        raise SettingsError("nothing lies between", f"--from {start} --to {end}", "--to is exclusive")
    return first, last
