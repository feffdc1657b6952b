"""Every kind of failure: its code, what it means, what happens by itself, and what a person does."""

from collections.abc import Mapping

from flows.config.errors import SettingsError
from flows.process.ownership import OwnedError
from flows.process.private_folder import ForeignFolderError
from flows.process.recovery_store import StateError
from sinks import errors as sinks
from sources import errors as sources
from sources.queues.lease_life import LeaseStepError
from transforms.errors import CollectorError

FAMILIES = {
    "init": "Before it runs",
    "setup": "The configuration",
    "api": "Calls of AWS",
    "pull": "S3 objects",
    "delivery": "Devo and other outputs",
}


ENTRIES: Mapping[type[CollectorError], tuple[str, str]] = {
    StateError: (
        "It ends with exit code 1 before anything is collected.",
        "Do what the line says: make room, restore the folder, or remove it and let API services begin anew.",
    ),
    OwnedError: (
        "It ends with exit code 1: a second owner of the same cursors would send every event once more.",
        "Let one process read the APIs, and start others with `--only queues`; or stop the one it names.",
    ),
    ForeignFolderError: (
        "It ends with exit code 1 before the state is read: whoever writes it runs code in the collector.",
        "If nobody else has written it, give it to the collector's user and close it: `chown`, `chmod 700`.",
    ),
    SettingsError: (
        "It ends with exit code 2; every mistake is told, one line each, with its path in the file.",
        "Correct it; `python -m flows check --offline` looks again, [settings](settings.md) has all keys.",
    ),
    sources.SourceError: (
        "It is tried again after a growing pause; positions and messages stay.",
        "Read the line; it names the call, the place and the identity.",
    ),
    sources.Transient: (
        "It is tried again, first soon, then after up to five minutes. It is told when it goes on for long.",
        "Nothing. If it lasts: network, proxy, or the health of the region.",
    ),
    sources.SlowBody: (
        "The object is left for later and its message comes again; others of its bucket go on.",
        "If it lasts: the network and proxies between here and S3.",
    ),
    sources.Throttled: (
        "It slows down and tries again; nothing is lost.",
        "If other tools share the account's quota, set `requests_per_second`.",
    ),
    sources.Denied: (
        "That service asks again ever more rarely, at least every quarter of an hour; others go on.",
        (
            "Do what the line says: allow the action where it is missing, lift a deny, or mend the KMS key. "
            "`python -m flows policy` prints all actions that are needed."
        ),
    ),
    sources.BadCredentials: (
        "That input rests and tries again; others go on.",
        (
            "Correct the key, or the trust policy of the role that the line names: it must trust the hop "
            "before it, with the same external id."
        ),
    ),
    sources.IdentityAbsent: (
        "It is asked for again for ever, at least every minute; `/readyz` names the input until it is there.",
        "See what the line names: the instance's or the task's role, the token, profile or process.",
    ),
    sources.RegionDisabled: (
        "That region rests and tries again; others go on.",
        "Switch the region on in the account, STS too, or take it out of `regions`.",
    ),
    sources.ExpiredCredentials: (
        "The session is renewed before it ends and after AWS refuses it; then it is tried again.",
        "Temporary keys (`session_token`) cannot be renewed: give new ones. Else see the machine's clock.",
    ),
    sources.Missing: (
        "It asks again ever more rarely: what is missing may be made yet.",
        "Correct the name or the region, or make the queue.",
    ),
    sources.ReceiptHandleInvalid: (
        "The message comes again and is recognised if it was done.",
        "Nothing. If often: something else reads the queue, or `visibility_timeout_seconds` is too short.",
    ),
    LeaseStepError: (
        "The process ends; nothing of it is acknowledged, and it starts again.",
        "Report it: it is a defect of the collector.",
    ),
    sources.ObjectError: ("Its message goes back to the queue.", "Read the line."),
    sources.ObjectBusy: ("The repeat waits until the first is done.", "Nothing."),
    sources.ObjectGone: (
        (
            "Its message is settled with a warning, or kept (`object_gone: keep`). Should the object come "
            "later, its next notice is read."
        ),
        "See what deletes objects before they are collected: a lifecycle rule, perhaps.",
    ),
    sources.ObjectChanged: (
        "It is read again from its beginning.",
        "Nothing. Log objects should not change: see what overwrites them.",
    ),
    sources.ObjectArchived: (
        "It goes to quarantine.",
        "Restore the object, then `python -m flows replay QUARANTINE`.",
    ),
    sources.ObjectBroken: (
        "What could be read is delivered; the object goes to quarantine, with the number of the record.",
        "Mend or replace it, then `python -m flows replay QUARANTINE`.",
    ),
    sources.ObjectTooLarge: (
        "It goes to quarantine: a bomb must not fill the memory.",
        "If it is genuine, raise the setting that the message names, then replay the quarantine.",
    ),
    sinks.DeliveryError: (
        "Nothing that is in hand is acknowledged; it comes again after the next start.",
        "Read the line; `--debug` shows where it came from.",
    ),
    sinks.Interrupted: (
        "It connects again after a growing pause and sends everything without a receipt once more.",
        "Nothing, unless it lasts.",
    ),
    sinks.ConnectFailed: (
        "It connects again after a growing pause; queues and cursors wait.",
        "Address, port, firewall, DNS: `python -m flows check` tries it.",
    ),
    sinks.CertificateRejected: (
        "It tries again; a certificate file that was renewed is read anew.",
        "The line says whose it is. Download chain, certificate and key of your Devo domain again.",
    ),
    sinks.ConnectionLost: (
        "It connects again and sends everything without a receipt once more.",
        "Nothing, unless it lasts.",
    ),
    sinks.NoReceipt: (
        "Everything on that connection is sent once more.",
        "If it is always so, the receiver never answers: see `receipt_fallback`.",
    ),
    sinks.OutputThrottled: (
        "It waits as long as the receiver asks, then goes on.",
        "Ask Devo for more, if it lasts.",
    ),
    sinks.ServerFailed: ("It waits and sends the request again.", "Nothing, unless it lasts."),
    sinks.Refused: (
        "Nothing is dropped; it asks again once a minute.",
        "Correct `endpoint`, `domain` or `token`.",
    ),
    sinks.OutageTooLong: (
        "It ends with exit code 1 so that a supervisor notices; nothing in hand is acknowledged.",
        "See why the output was away; `outage_limit_seconds` is how long it may be.",
    ),
    sinks.OutputBroken: (
        "It ends with exit code 1; nothing in hand is acknowledged.",
        "Make the file or folder writable, or make room.",
    ),
    sinks.ReaderGone: ("It ends: nobody reads standard output any more.", "Nothing: `| head` does that."),
}
"""Every kind of failure → what the collector does by itself, and what a person does, if anything."""

REASONS: dict[str, str] = {
    "customer_key": "the object is encrypted with a key of its writer's (SSE-C); nobody else can read it",
    "encoding_unknown": "an object is UTF-16, or in the frames of its upload (aws-chunked) as S3 keeps none",
    "event_broken": "one event of an API is no JSON; its bytes are in the file",
    "event_too_large": "one event is larger than `max_event_bytes`, or with its header than "
    "`receiver_max_event_bytes`; raise that where the receiver takes it, then replay",
    "gzip_garbage": "bytes after the last gzip member are not gzip",
    "gzip_truncated": "a gzip object has no end; what came before is delivered",
    "header_unknown": "the first line of a VPC flow or CloudFront file names no fields",
    "inflate_failed": "compressed data is damaged; what came before is delivered",
    "json_broken": "a record, or what is around it, is no JSON; the records before are delivered",
    "json_truncated": "a JSON object has no end; the records before are delivered",
    "line_too_long": "a line is larger than 16 MiB, or `max_event_bytes` when that is more; the file has its "
    "beginning, and the lines behind it are delivered",
    "message_unknown": "a queue's message is no event of its service; its bytes are in the file",
    "not_text": "the object is an archive, a picture or other binary data",
    "inflate_truncated": "a compressed object has no end; what came before is delivered",
    "snappy_truncated": "a snappy object has no end; what came before is delivered",
    "not_json": "an object that should be JSON is none",
    "notice_unknown": "a queue's message announces no object in any known form; its bytes are in the file",
    "object_archived": "the object is in an archive storage class; restore it, then replay",
    "object_bomb": "the object is beyond `max_inflation_ratio`, `max_object_bytes`, `max_spool_bytes`, "
    "`max_window_bytes` or `max_object_cpu_seconds`",
    "object_broken": "the object is damaged; what came before is delivered",
    "object_deadly": "reading the object ended the process three times; it is not opened again",
    "object_too_large": "the object inflates beyond the limits",
    "object_unknown": "the object is of a kind that this service does not read",
    "object_unreadable": "an object of a replay could not be had; told on stderr only",
    "parquet_broken": "the object is no readable Parquet file",
    "parquet_too_large": "a page, row group, footer or schema of a Parquet file would take too much memory",
    "record_too_large": "a record is larger than 16 MiB, or `max_event_bytes` when that is more; the file "
    "has its beginning (of a row of Parquet its small columns), and those behind it are delivered",
    "records_missing": "a JSON object has not the records that its service has",
    "row_width": "a line has fewer or more fields than its header; only with `format: json`",
    "rows_unreadable": "lines cannot be read as the header says; only with `format: json`",
    "version_unknown": "the notice names a version that S3 cannot have; replay reads the object as it is",
    "mask_failed": "a line begins as JSON and is none, so `mask` cannot tell what to hide; unmasked here",
    "transform_failed": "an error of ours met these events; report it, then replay",
    "zstd_truncated": "a zstd object has no end; what came before is delivered",
}
"""Folders of the quarantine → why something lies there."""

WARNINGS: dict[str, str] = {
    "clock_ahead": "this machine's clock is ahead of AWS's: set it, by NTP for instance. Nothing is lost: "
    "APIs are read by AWS's clock; from five minutes on AWS refuses all calls",
    "ids_forgotten": "LookupEvents has more events of a region than ids are remembered of (100,000). What is "
    "read once more may be sent twice; what comes later than the configured reach only `flows recheck` or "
    "`recheck: daily` finds. Let the trail's bucket tell these events instead",
    "ids_not_kept": "the ids of what was collected cannot be written beside the state: make room there. That "
    "target's second look begins anew",
    "lateness_near_reach": "events of an API became visible almost later than is looked for (alert "
    "EventsComeLate). The reach grows by itself up to `max_reach_seconds`; raise that if the warning stays. "
    "`flows recheck` or `recheck: daily` sends what came later still",
    "recheck_left_out": "`recheck: daily` does not look at that time: the ids of what was collected then are "
    "not here, since it was down for over a week, or began with this target. It goes on with the time after",
    "start_clamped": "the service knows nothing older than it says; what is older is not collected",
    "target_unreadable": "a log group or metric is left out for the reason that is told; the others go on",
}
"""Log events of what may be missing though nothing failed → what to do."""
