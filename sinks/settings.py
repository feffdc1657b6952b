"""Settings of the outputs, in Devo's own shape: `outputs.<name>: {type: ..., config: {...}}`.

    OutputSettings   any one output, told apart by `type`
    Outputs          a mapping of them; each learns its name from its key

Keys of Devo's collector that mean nothing here are accepted, so that its files load unchanged.
"""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AliasChoices,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from transforms.setting import SettingsModel, setting, without_effect

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5"),
    *("local6", "local7"),
)
SEVERITIES = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
MOST_BODY_BYTES = 31_000_000
"""Devo's limit of one HTTP request is 32 MB, before or after compression it does not say."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class _Model(SettingsModel):
    model_config = ConfigDict(populate_by_name=True)


class Delivery(_Model):
    """What every output has: how its lines begin, how large an event may be, whether it may fail."""

    host: str = setting(example="collector-1", ours=True, default_factory=socket.gethostname)
    """HOST of each line; by default the machine's name"""
    facility: str = setting("user", example="local0", ours=True, pattern=f"^({'|'.join(FACILITIES)})$")
    """Syslog facility of each line"""
    severity: str = setting("info", example="notice", ours=True, pattern=f"^({'|'.join(SEVERITIES)})$")
    """Syslog severity of each line"""
    timestamp: Literal["constant", "iso8601"] = setting("constant", example="iso8601", ours=True)
    """Date of each line: `Jan  1 00:00:00` (Devo stamps arrival), or the time of sending"""
    max_event_bytes: int = setting(1 << 20, example=1048576, unit="bytes", ours=True, ge=64)
    """Larger events go to quarantine"""
    required: bool = setting(default=True, example=False, ours=True)
    """false: best effort; what this output misses is counted and holds nothing up"""
    period_sender_stats_in_seconds: float | None = without_effect(300)
    activate_final_queue: bool | None = without_effect(example=False)
    generate_metrics: bool | None = without_effect(example=False)


class Remote(Delivery):
    """What outputs over a network have: how long they wait for what is not there."""

    connect_timeout_seconds: float = setting(15.0, example=15, unit="seconds", ours=True, gt=0)
    """Limit of connecting, handshake included"""
    sending_timeout: float = setting(30.0, example=30, unit="seconds", gt=0)
    """A send without progress for so long has failed"""
    receipt_timeout_seconds: float = setting(30.0, example=30, unit="seconds", ours=True, gt=0)
    """Wait for the receiver's answer"""
    outage_limit_seconds: float = setting(43_200.0, example=43200, unit="seconds", ours=True, ge=0)
    """The process ends when nothing could be delivered for so long"""
    drain_grace_seconds: float = setting(20.0, example=20, unit="seconds", ours=True, ge=0)
    """The same limit when told to end"""


class Network(Remote):
    """What outputs over a connection of their own have: address, compression."""

    address: str = setting(
        example="collector-eu.devo.io",
        min_length=1,
        validation_alias=AliasChoices("address", "url", "location"),
    )
    """Host name or IP address of the receiver"""
    concurrent_connections: int = setting(1, example=2, ge=1, le=64)
    """Connections of each process"""
    receipt_fallback: bool = setting(default=True, example=False, ours=True)
    """A receiver that never answers close_notify: trust its kernel's acknowledgement instead"""
    threshold_for_using_gzip_in_transport_layer: float = setting(1.1, example=0.75)
    """Gzip: below 0 always, 0 to 1 when the resend window is so full, above 1 never"""
    compression_level: int = setting(6, example=6, ge=-1, le=9)
    """Gzip level, 1 fast, 9 small"""
    # Devo's keys without effect here: one back-off serves all (`outage_limit_seconds` bounds it).
    compression_buffer_in_bytes: int | None = without_effect(51200)
    connecting_retries: int | None = without_effect(5)
    connecting_max_wait_in_seconds: float | None = without_effect(60)
    connecting_initial_wait_in_seconds: float | None = without_effect(2)
    sending_retries: int | None = without_effect(5)
    sending_max_wait_in_seconds: float | None = without_effect(60)
    sending_initial_wait_in_seconds: float | None = without_effect(2)
    sending_wait_between_retries_in_seconds: float | None = without_effect(1)


class DevoConfig(Network):
    """Devo, or a Devo relay, over mutual TLS."""

    port: int = setting(443, example=443, ge=1, le=65_535)
    """TCP port"""
    type: Literal["SSL", "TCP"] = setting("SSL", example="SSL")
    """TLS is used whatever stands here, as Devo's collector does"""
    chain: Path = setting(example="chain.crt", validation_alias=AliasChoices("chain", "chain_loc"))
    """PEM file of the authorities that Devo's certificate is checked against"""
    cert: Path = setting(example="domain.crt", validation_alias=AliasChoices("cert", "cert_loc"))
    """PEM file of the domain's certificate"""
    key: Path = setting(example="domain.key", validation_alias=AliasChoices("key", "key_loc"))
    """PEM file of the certificate's private key"""
    verify_server_name: bool = setting(default=True, example=True, ours=True)
    """Check that the certificate bears the address's name"""


class SyslogConfig(Network):
    """A relay over plain TCP."""

    port: int = setting(example=13000, ge=1, le=65_535)
    """TCP port"""
    type: Literal["TCP"] = setting("TCP", example="TCP")
    """Plain TCP"""
    receiver_max_event_bytes: int = setting(1 << 20, example=65536, unit="bytes", ours=True, ge=1024)
    """Longest line that the receiver takes whole, header included; longer events go to quarantine, since
    what a receiver cuts off arrives as an event of its own, with any tag. Devo's relay cuts none; rsyslog
    cuts at 8096 and syslog-ng at 65536 unless told otherwise: `check --probe` shows it"""
    framing: Literal["newline", "octet_counting"] = setting("newline", example="octet_counting", ours=True)
    """How the receiver tells lines apart: by their ends, or by a count of bytes before each (RFC 6587;
    rsyslog's imtcp takes both, syslog-ng in its syslog driver)"""


class ConsoleConfig(Delivery):
    """Standard output: one line each, exactly the bytes that would go over the wire."""

    destination: str | None = without_effect("standard")


class FileConfig(Delivery):
    """A file: the same lines, appended, on disk before they count as delivered."""

    path: Path = setting(example="events.log", ours=True)
    """File to append to; made when missing"""


class DevoHttpConfig(Remote):
    """Devo's HTTP endpoint; its response is the receipt."""

    endpoint: str = setting(example="https://http-us.devo.io", ours=True)
    """Address of the endpoint, nothing behind it"""
    domain: str = setting(example="acme", ours=True, min_length=1)
    """Devo domain"""
    token: SecretStr = setting(example="${DEVO_TOKEN}", ours=True, min_length=1)
    """Devo HTTP token (secret)"""
    chain: Path | None = setting(None, example="chain.crt")
    """PEM file of the authorities that the endpoint's certificate is checked against; by default those
    that this system trusts"""
    concurrent_connections: int = setting(4, example=4, ge=1, le=64)
    """Connections of each worker, each with one request under way"""
    gzip: bool = setting(default=True, example=False, ours=True)
    """Compress the bodies of requests"""
    compression_level: int = setting(1, example=1, ge=1, le=9)
    """Gzip level, 1 fast, 9 small"""
    max_event_bytes: int = setting(
        1 << 20, example=1048576, unit="bytes", ours=True, ge=64, le=MOST_BODY_BYTES
    )
    """Larger events go to quarantine"""

    @model_validator(mode="after")
    def _is_address(self) -> Self:
        """Check the endpoint, here because no error may repeat it: a whole URL pasted holds the token."""
        try:
            parts = urlsplit(self.endpoint)
            bare = (parts.port or 1) and parts.path.strip("/") == parts.query == parts.fragment == ""
        except ValueError:
            raise ValueError("endpoint is no URL: write https://host or https://host:port") from None
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise ValueError(
                "endpoint is not https: the token is in each request (http on this machine only)"
            )
        if not parts.hostname or parts.username is not None or not bare:
            raise ValueError(
                "endpoint is more than an address: write https://host, the rest has its own keys"
            )
        return self


class _Output(_Model):
    name: SkipJsonSchema[str] = setting("", exclude=True)
    """Set from the key under `outputs`"""


class DevoPlatform(_Output):
    """Output `devo_platform`, also spelt `relay`."""

    type: Literal["devo_platform", "relay"]
    config: DevoConfig


class Syslog(_Output):
    """Output `syslog`, also spelt `in_house_relay` or `sidecar`."""

    type: Literal["syslog", "in_house_relay", "sidecar"]
    config: SyslogConfig


class Console(_Output):
    """Output `console`, also spelt `stdout`."""

    type: Literal["console", "stdout"]
    config: ConsoleConfig = setting(default_factory=ConsoleConfig)


class File(_Output):
    """Output `file`."""

    type: Literal["file"]
    config: FileConfig


class DevoHttp(_Output):
    """Output `devo_http`."""

    type: Literal["devo_http"]
    config: DevoHttpConfig


OutputSettings: TypeAlias = Annotated[
    DevoPlatform | Syslog | Console | File | DevoHttp, Field(discriminator="type")
]


def _named(outputs: Mapping[str, OutputSettings]) -> dict[str, OutputSettings]:
    return {name: output.model_copy(update={"name": name}) for name, output in outputs.items()}


Outputs: TypeAlias = Annotated[dict[str, OutputSettings], AfterValidator(_named)]
"""Field type of `outputs`: name → output, each knowing its own name."""

_ADAPTER: TypeAdapter[OutputSettings] = TypeAdapter(
    OutputSettings, config=ConfigDict(defer_build=True, hide_input_in_errors=True)
)
"""Its errors never show what was given: a token may be in it."""


def parse_output(name: str, raw: Mapping[str, Any]) -> OutputSettings:
    """Return the settings of one output, e.g. `parse_output("devo", {"type": "console"})`.

    Raises pydantic's ValidationError.
    """
    return _ADAPTER.validate_python(dict(raw)).model_copy(update={"name": name})
