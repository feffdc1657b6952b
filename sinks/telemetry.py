"""Named events of the sinks: log line and metric together. Labels: output, reason, strength, error."""

import logging

from transforms.telemetry import add, counter, gauge, notify, say

_STRENGTHS = ("receipt", "closed", "kernel", "written", "none")

_BLOCKED = ("output_blocked", "1 while an output takes nothing", "output")
_REFUSALS = ("refusals", "Times that a certificate, a token or requests began to be refused", "output")
_MISSED = ("events_missed", "Events that an output with required: false missed", "output")

_WEAKER = {
    "kernel": "the receiver never answers close_notify; delivery is now as strong as its kernel's "
    "acknowledgement: what it has not read when it dies is lost",
    "closed": "the receiver ends the connection in order, but without close_notify: it has read everything, "
    "as far as one in between did not end it",
}


def _strength(output: str, strength: str) -> None:
    """Show the strength of an output's delivery: 1 for the present one, 0 for all others."""
    shown = gauge("output_strength", "1 for how strong delivery is at present", "output", "strength")
    for each in _STRENGTHS:
        shown.labels(output, each).set(each == strength)


def block_written(output: str, events: int, size: int) -> None:
    """Count a block that was handed to an output; it is not receipted yet."""
    add("events_sent", "Events handed to an output, repeats included", events, output=output)
    add("bytes_sent", "Payload bytes handed to an output", size, output=output)


def receipt_taken(output: str, strength: str, events: int, seconds: float) -> None:
    """Log that everything since the last receipt has arrived, with this strength."""
    add("receipts", "Receipts taken", output=output, strength=strength)
    add("events_delivered", "Events with a receipt", events, output=output, strength=strength)
    gauge("receipt_seconds", "How long the last receipt took", "output").labels(output).set(seconds)
    gauge("receipt_timestamp_seconds", "When the last receipt was taken", "output").labels(
        output
    ).set_to_current_time()
    say(
        logging.DEBUG,
        "receipt_taken",
        output=output,
        strength=strength,
        events=events,
        seconds=round(seconds, 3),
    )


def window_opened(output: str, limit: int) -> None:
    """Show how many bytes may be without receipt: one more connection's share, or one less if negative."""
    gauge("window_limit_bytes", "Bytes that may wait for their receipt", "output").labels(output).inc(limit)


def window_changed(output: str, size: int) -> None:
    """Show how many bytes are without receipt: so many more, or less if negative."""
    gauge("window_bytes", "Bytes that wait for their receipt", "output").labels(output).inc(size)


def delivery_waited(output: str) -> None:
    """Tell listeners that a receiver is being waited for: several times a second."""
    notify("delivery_waited", output=output)


def output_declared(output: str, kind: str, strength: str, *, required: bool) -> None:
    """Say how strong the delivery of an output is meant to be, before anything is sent.

    What may never happen begins at zero: the first time is a change only then.
    """
    _strength(output, strength)
    gauge(*_BLOCKED).labels(output).set(0)
    for rare in (_REFUSALS, _MISSED):
        counter(*rare).labels(output)
    say(logging.INFO, "output_declared", output=output, type=kind, strength=strength, required=required)


def certificate_days(output: str, file: str, days: float) -> None:
    """Show how long a certificate lasts. file: `cert` or `chain`. days: below 0 once it has ended."""
    gauge("certificate_days", "Days until a certificate of an output ends", "output", "file").labels(
        output, file
    ).set(days)


def certificate_ends(output: str, file: str, days: float) -> None:
    """Warn that a certificate will end soon, or has ended."""
    hint = "download a new one; files that change are read again without a restart"
    say(logging.WARNING, "certificate_ends", output=output, file=file, days=round(days, 1), hint=hint)


def receipt_fallback(output: str, where: str, strength: str) -> None:
    """Say once that a receiver gives no receipt, and how strong delivery is from now on."""
    add("receipt_fallbacks", "Receivers found silent", output=output)
    _strength(output, strength)
    say(
        logging.WARNING,
        "receipt_fallback",
        output=output,
        where=where,
        strength=strength,
        meaning=_WEAKER.get(strength, strength),
    )


def receipt_restored(output: str, strength: str) -> None:
    """Say that a receiver thought silent has answered: receipts are strict again."""
    _strength(output, strength)
    say(logging.WARNING, "receipt_restored", output=output, strength=strength)


def delivery_retried(
    output: str, error: Exception, pause: float, events: int, *, quiet: bool = False
) -> None:
    """Log that delivery failed: what has no receipt goes out again after `pause` seconds."""
    kind = type(error).__name__
    add("delivery_retries", "Attempts to deliver that failed", output=output, error=kind)
    add("events_resent", "Events sent again", events, output=output)
    level = logging.DEBUG if quiet else logging.WARNING
    say(level, "delivery_retried", output=output, error=error, pause=round(pause, 2), events=events)


def delivery_refused(output: str, error: Exception, events: int) -> None:
    """Say once that a receiver refuses us, or we it: events are held back until a person has helped."""
    counter(*_REFUSALS).labels(output).inc()
    say(logging.ERROR, "delivery_refused", output=output, error=error, held_back=events)


def request_split(output: str, most: int) -> None:
    """Log that the receiver found a request too large: from now on none exceeds `most` bytes."""
    add("requests_split", "Requests found too large", output=output)
    say(logging.WARNING, "request_split", output=output, most_bytes=most)


def next_connection_failed(output: str, error: Exception) -> None:
    """Log that the next epoch's connection could not be opened ahead; the next write opens it."""
    say(logging.INFO, "next_connection_failed", output=output, error=error)


def output_blocked(output: str, *, blocked: bool) -> None:
    """Log that an output has stopped taking events, or takes them again; sources feel backpressure."""
    gauge(*_BLOCKED).labels(output).set(blocked)
    say(logging.WARNING, "output_blocked" if blocked else "output_recovered", output=output)


def window_full(output: str, size: int) -> None:
    """Log that the resend window is full: a receipt is taken before the epoch's end."""
    add("windows_full", "Receipts taken early", output=output)
    say(logging.DEBUG, "window_full", output=output, bytes=size)


def connection_opened(output: str, where: str, seconds: float) -> None:
    """Log that a connection to an output is open."""
    add("connections", "Connections opened", output=output)
    say(logging.DEBUG, "connection_opened", output=output, where=where, seconds=round(seconds, 3))


def peer_closed_idle(output: str, where: str) -> None:
    """Log that the receiver closed an idle connection, as Devo's balancer does."""
    add("idle_closes", "Connections that the receiver closed while idle", output=output)
    say(logging.DEBUG, "peer_closed_idle", output=output, where=where)


def key_readable_by_others(path: str, mode: int) -> None:
    """Warn that a private key can be read by other users."""
    say(logging.WARNING, "key_readable_by_others", path=path, mode=oct(mode), hint=f"chmod 600 {path}")


def credentials_loaded(where: str) -> None:
    """Log that certificate, key and chain were read, at first or because their files have changed."""
    counter("credentials_loaded", "Times that certificate files were read").inc()
    say(logging.INFO, "credentials_loaded", where=where)


def best_effort_missed(output: str, events: int, error: Exception) -> None:
    """Log that an output that is not required has missed events."""
    counter(*_MISSED).labels(output).inc(events)
    _strength(output, "none")
    say(logging.WARNING, "best_effort_missed", output=output, events=events, error=error)


def best_effort_restored(output: str, strength: str) -> None:
    """Log that an output that is not required takes events again."""
    _strength(output, strength)
    say(logging.INFO, "best_effort_restored", output=output, strength=strength)


def quarantine_full(where: str, held: int, limit: int) -> None:
    """Warn that quarantine takes no more: what cannot be read stays in its queue."""
    say(
        logging.WARNING,
        "quarantine_full",
        where=where,
        held_bytes=held,
        limit_bytes=limit,
        what="messages of what cannot be read stay in their queues",
        hint="read, replay and delete what it holds, or raise globals.quarantine_max_bytes",
    )


def quarantine_room(held: int, limit: int) -> None:
    """Show how much of its room quarantine has taken."""
    gauge("quarantine_bytes", "What the quarantine folder takes on disk").set(held)
    gauge("quarantine_limit_bytes", "What the quarantine folder may take").set(limit)


def poison_kept(reason: str, service: str, detail: str) -> None:
    """Log that something unreadable is in quarantine."""
    add("poison", "Items in quarantine", reason=reason, service=service)
    say(logging.WARNING, "poison_kept", reason=reason, service=service, detail=detail)
