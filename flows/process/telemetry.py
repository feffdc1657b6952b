"""Named events of the process as a whole: log line and metric together."""

import logging
from collections.abc import Mapping, Sequence

from transforms.telemetry import add, gauge, say


def epoch_closed() -> None:
    """Show when an epoch was last closed: what came before it is delivered."""
    gauge("epoch_timestamp_seconds", "When an epoch was last closed").set_to_current_time()


def status_opened(url: str) -> None:
    """Log where the status page is."""
    say(logging.INFO, "status_opened", url=url)


def status_unavailable(address: str, error: OSError) -> None:
    """Warn that the status port cannot be opened; collecting goes on without it."""
    say(
        logging.WARNING,
        "status_unavailable",
        address=address,
        what=f"cannot listen ({error.strerror or error})",
        hint="choose a free port of this machine in COLLECTOR_STATUS or globals.status",
    )


def status_defect(error: Exception) -> None:
    """Log that the status page could not be made; collecting is not concerned."""
    say(logging.ERROR, "status_defect", error=f"{type(error).__name__} {error}")


def journal_not_compacted(folder: str, what: str) -> None:
    """Warn that the journal's logs stay as they are; rows are written and read all the same."""
    say(
        logging.WARNING,
        "journal_not_compacted",
        folder=folder,
        what=what,
        hint="see that the disk has room and the folder is writable; it is tried again each hour",
    )


def journal_not_recalled(folder: str, what: str) -> None:
    """Warn that what former lives had delivered cannot be looked up: what they did not delete comes twice."""
    say(
        logging.WARNING,
        "journal_not_recalled",
        folder=folder,
        what=what,
        hint="nothing is lost; objects whose messages were not deleted are sent again",
    )


def collecting(service: str, owner: str, regions: str) -> None:
    """Log what one service of one input begins to collect."""
    say(logging.INFO, "collecting", service=service, input=owner, regions=regions or "of its queue's URL")


def draining() -> None:
    """Log that the process was asked to end, and what it does until then."""
    say(logging.INFO, "draining", what="nothing new is taken, what is in hand is delivered")


_TAKEN = ("config_last_reload_successful", "1 while the configuration file is in force, 0 = it was refused")
_TAKEN_AT = ("config_last_reload_success_timestamp_seconds", "When a configuration was last begun with")


def configuration_taken(*, again: bool) -> None:
    """Show since when the configuration is in force. again: it was read anew, in the same process."""
    gauge(*_TAKEN).set(1)
    gauge(*_TAKEN_AT).set_to_current_time()
    if again:
        say(logging.INFO, "configuration_reloaded", what="the process goes on with what was read")


def reload_begun(path: str) -> None:
    """Log that a configuration is right, and that the process begins anew with it."""
    say(logging.INFO, "reload_begun", path=path, what="what is in hand is delivered first")


def reload_refused(error: Exception) -> None:
    """Log why the configuration file was not taken; collecting goes on as before."""
    gauge(*_TAKEN).set(0)
    say(logging.ERROR, "reload_refused", error=error, what="what was in force before is in force")


def cluster_broken(cause: str) -> None:
    """Log why this process of a cluster ends: it cannot go on without the others."""
    what = "this process ends, all begin again when all are there"
    say(logging.ERROR, "cluster_broken", cause=cause, what=what)


def peers_awaited(missing: Sequence[str], seconds: float) -> None:
    """Warn that a cluster has not begun: processes are missing."""
    say(
        logging.WARNING,
        "peers_awaited",
        missing=", ".join(missing) or "none, but not all see each other",
        seconds=round(seconds),
        hint="start them, and see that the network lets them reach each other's ports",
    )


def stranger_refused(where: str, error: Exception) -> None:
    """Warn that somebody came to the cluster's port who is no peer; nothing of it was read on."""
    say(
        logging.WARNING,
        "stranger_refused",
        address=where,
        what=str(error),
        hint="if it is a peer: give all processes of the cluster the same secret and the same addresses",
    )


def process_ended(cause: str) -> None:
    """Log why this process ends by itself: it could not go on."""
    what = "this process ends, nothing is lost; its supervisor starts it again"
    say(logging.ERROR, "process_ended", cause=cause, what=what)


def cursors_not_held(error: Exception) -> None:
    """Warn that a second process with the same cursors would not be noticed."""
    say(logging.WARNING, "cursors_not_held", error=error)


def owner_looked_for(owner: str, seconds: float) -> None:
    """Log that a state was another machine's, and that it is seen whether that one still works on it."""
    what = "another machine had this state; it is taken when that one is gone"
    say(logging.INFO, "owner_looked_for", owner=owner, seconds=round(seconds), what=what)


_TOLD_NAMES = 20
_SCOPE = ("service", "input", "account", "region")
_SILENT = ("silent", "1 while nothing comes of a scope that used to bring something")


def fell_silent(  # noqa: PLR0913, PLR0917 - a scope, and two times
    owner: str, service: str, account: str, region: str, seconds: float, usual: float
) -> None:
    """Warn that nothing comes of a scope any more. usual: longest pause that is usual at this hour."""
    scope = {"service": service, "input": owner, "account": account, "region": region}
    gauge(*_SILENT, *_SCOPE).labels(*scope.values()).set(1)
    say(
        logging.WARNING,
        "fell_silent",
        **scope,
        seconds=round(seconds),
        usual_seconds=round(usual),
        hint="see whether its trail, flow log or subscription is on; expect_every_seconds says what is usual",
    )


def more_silent(count: int) -> None:
    """Warn of many that fell silent at once: one cause has them all, most likely."""
    say(logging.WARNING, "more_fell_silent", count=count)


def heard_again(owner: str, service: str, account: str, region: str) -> None:
    """Log that something comes again."""
    scope = {"service": service, "input": owner, "account": account, "region": region}
    gauge(*_SILENT, *_SCOPE).labels(*scope.values()).set(0)
    say(logging.INFO, "heard_again", **scope)


def silent_scopes(count: int, left_out: int) -> None:
    """Show how many are silent now, and how often something came of one beyond those that are watched."""
    gauge("silent_scopes", "Accounts and regions of services of which nothing comes any more").set(count)
    text = "Signs of accounts and regions beyond the 100,000 that are watched for silence"
    gauge("unwatched_scope_signs", text).set(left_out)


def schema_changed(service: str, changes: Mapping[str, Sequence[str]]) -> None:
    """Warn that a service's events look otherwise. changes: field_new, field_gone, event_new → names."""
    text = "Top-level fields and names of events that are new or come no more, by change"
    for change, names in changes.items():
        add("schema_changes", text, len(names), service=service, change=change)
    told = {change: ", ".join(names[:_TOLD_NAMES]) for change, names in changes.items()}
    counts = {f"{change}_count": len(names) for change, names in changes.items() if len(names) > _TOLD_NAMES}
    hint = "see whether parsers, filters and alerts that read these fields still hold"
    say(logging.WARNING, "schema_changed", service=service, **told, **counts, hint=hint)


def silence_not_kept(file: str, error: OSError) -> None:
    """Warn that what is usual will be learned anew after a restart."""
    say(logging.WARNING, "silence_not_kept", file=file, error=error.strerror or str(error))


def silence_look_failed(error: Exception) -> None:
    """Warn of a minute in which nobody was looked for; the next one looks again."""
    say(logging.WARNING, "silence_look_failed", error=f"{type(error).__name__}: {error}")
