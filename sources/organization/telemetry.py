"""Named events of organizations."""

import logging

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
