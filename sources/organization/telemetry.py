"""Named events of organizations."""

import logging

from sources.errors import SourceError
from sources.telemetry import loud, over
from transforms.telemetry import say


def accounts_changed(source: str, new: int, gone: int, active: int, resting: int) -> None:
    """Log which accounts an organization has. source: the input. resting: those that are suspended."""
    say(
        logging.INFO,
        "accounts_changed",
        input=source,
        new=new,
        gone=gone,
        active=active,
        resting=resting,
    )


def account_refused(where: str, error: SourceError) -> None:
    """Log that an account lets nobody in, once while that lasts: it rests, and all others go on."""
    say(loud(error, ("account", where), otherwise=False), "account_refused", place=where, error=error)


def account_admitted(where: str, cause: str) -> None:
    """Log that an account lets the collector in again. cause: of its last refusal."""
    say(over(cause, ("account", where)), "account_admitted", place=where)
