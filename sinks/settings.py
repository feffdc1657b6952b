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
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from transforms.setting import About, without_effect

FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5"),
    *("local6", "local7"),
)
SEVERITIES = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
MOST_BODY_BYTES = 31_000_000
"""Devo's limit of one HTTP request is 32 MB, before or after compression it does not say."""

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class _Model(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, populate_by_name=True)


class Delivery(_Model):
    """What every output has: how its lines begin, how large an event may be, whether it may fail."""

    host: str = Field(
        default_factory=socket.gethostname,
        description="HOST of each line; by default the machine's name",
        examples=["collector-1"],
        json_schema_extra=About(ours=True),
    )
    facility: str = Field(
        "user",
        pattern=f"^({'|'.join(FACILITIES)})$",
        description="Syslog facility of each line",
        examples=["local0"],
        json_schema_extra=About(ours=True),
    )
    severity: str = Field(
        "info",
        pattern=f"^({'|'.join(SEVERITIES)})$",
        description="Syslog severity of each line",
        examples=["notice"],
        json_schema_extra=About(ours=True),
    )
    timestamp: Literal["constant", "iso8601"] = Field(
        "constant",
        description="Date of each line: `Jan  1 00:00:00` (Devo stamps arrival), or the time of sending",
        examples=["iso8601"],
        json_schema_extra=About(ours=True),
    )
    max_event_bytes: int = Field(
        1 << 20,
        ge=64,
        description="Larger events go to quarantine",
        examples=[1048576],
        json_schema_extra=About(unit="bytes", ours=True),
    )
    required: bool = Field(
        default=True,
        description="false: best effort; what this output misses is counted and holds nothing up",
        examples=[False],
        json_schema_extra=About(ours=True),
    )
    period_sender_stats_in_seconds: float | None = without_effect(300)
    activate_final_queue: bool | None = without_effect(example=False)
    generate_metrics: bool | None = without_effect(example=False)


class Remote(Delivery):
    """What outputs over a network have: how long they wait for what is not there."""

    connect_timeout_seconds: float = Field(
        15.0,
        gt=0,
        description="Limit of connecting, handshake included",
        examples=[15],
        json_schema_extra=About(unit="seconds", ours=True),
    )
    sending_timeout: float = Field(
        30.0,
        gt=0,
        description="A send without progress for so long has failed",
        examples=[30],
        json_schema_extra=About(unit="seconds"),
    )
    receipt_timeout_seconds: float = Field(
        30.0,
        gt=0,
        description="Wait for the receiver's answer",
        examples=[30],
        json_schema_extra=About(unit="seconds", ours=True),
    )
    outage_limit_seconds: float = Field(
        43_200.0,
        ge=0,
        description="The process ends when nothing could be delivered for so long",
        examples=[43200],
        json_schema_extra=About(unit="seconds", ours=True),
    )
    drain_grace_seconds: float = Field(
        20.0,
        ge=0,
        description="The same limit when told to end",
        examples=[20],
        json_schema_extra=About(unit="seconds", ours=True),
    )


class Network(Remote):
    """What outputs over a connection of their own have: address, compression."""

    address: str = Field(
        min_length=1,
        validation_alias=AliasChoices("address", "url", "location"),
        description="Host name or IP address of the receiver",
        examples=["collector-eu.devo.io"],
    )
    concurrent_connections: int = Field(
        1, ge=1, le=64, description="Connections of each process", examples=[2]
    )
    receipt_fallback: bool = Field(
        default=True,
        description="A receiver that never answers close_notify: trust its kernel's acknowledgement instead",
        examples=[False],
        json_schema_extra=About(ours=True),
    )
    threshold_for_using_gzip_in_transport_layer: float = Field(
        1.1,
        description="Gzip: below 0 always, 0 to 1 when the resend window is so full, above 1 never",
        examples=[0.75],
    )
    compression_level: int = Field(6, ge=-1, le=9, description="Gzip level, 1 fast, 9 small", examples=[6])
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

    port: int = Field(443, ge=1, le=65_535, description="TCP port", examples=[443])
    type: Literal["SSL", "TCP"] = Field(
        "SSL", description="TLS is used whatever stands here, as Devo's collector does", examples=["SSL"]
    )
    chain: Path = Field(
        validation_alias=AliasChoices("chain", "chain_loc"),
        description="PEM file of the authorities that Devo's certificate is checked against",
        examples=["chain.crt"],
    )
    cert: Path = Field(
        validation_alias=AliasChoices("cert", "cert_loc"),
        description="PEM file of the domain's certificate",
        examples=["domain.crt"],
    )
    key: Path = Field(
        validation_alias=AliasChoices("key", "key_loc"),
        description="PEM file of the certificate's private key",
        examples=["domain.key"],
    )
    verify_server_name: bool = Field(
        default=True,
        description="Check that the certificate bears the address's name",
        examples=[True],
        json_schema_extra=About(ours=True),
    )


class SyslogConfig(Network):
    """A relay over plain TCP."""

    port: int = Field(ge=1, le=65_535, description="TCP port", examples=[13000])
    type: Literal["TCP"] = Field("TCP", description="Plain TCP", examples=["TCP"])
    receiver_max_event_bytes: int = Field(
        1 << 20,
        ge=1024,
        description="Longest line that the receiver takes whole, header included; longer events go to "
        "quarantine, since what a receiver cuts off arrives as an event of its own, with any tag. Devo's "
        "relay cuts none; rsyslog cuts at 8096 and syslog-ng at 65536 unless told otherwise: `check --probe` "
        "shows it",
        examples=[65536],
        json_schema_extra=About(unit="bytes", ours=True),
    )
    framing: Literal["newline", "octet_counting"] = Field(
        "newline",
        description="How the receiver tells lines apart: by their ends, or by a count of bytes before each "
        "(RFC 6587; rsyslog's imtcp takes both, syslog-ng in its syslog driver)",
        examples=["octet_counting"],
        json_schema_extra=About(ours=True),
    )


class ConsoleConfig(Delivery):
    """Standard output: one line each, exactly the bytes that would go over the wire."""

    destination: str | None = without_effect("standard")


class FileConfig(Delivery):
    """A file: the same lines, appended, on disk before they count as delivered."""

    path: Path = Field(
        description="File to append to; made when missing",
        examples=["events.log"],
        json_schema_extra=About(ours=True),
    )


class DevoHttpConfig(Remote):
    """Devo's HTTP endpoint; its response is the receipt."""

    endpoint: str = Field(
        description="Address of the endpoint, nothing behind it",
        examples=["https://http-us.devo.io"],
        json_schema_extra=About(ours=True),
    )
    domain: str = Field(
        min_length=1, description="Devo domain", examples=["acme"], json_schema_extra=About(ours=True)
    )
    token: SecretStr = Field(
        min_length=1,
        description="Devo HTTP token (secret)",
        examples=["${DEVO_TOKEN}"],
        json_schema_extra=About(ours=True),
    )
    chain: Path | None = Field(
        None,
        description="PEM file of the authorities that the endpoint's certificate is checked against; by "
        "default those that this system trusts",
        examples=["chain.crt"],
    )
    concurrent_connections: int = Field(
        4,
        ge=1,
        le=64,
        description="Connections of each worker, each with one request under way",
        examples=[4],
    )
    gzip: bool = Field(
        default=True,
        description="Compress the bodies of requests",
        examples=[False],
        json_schema_extra=About(ours=True),
    )
    compression_level: int = Field(1, ge=1, le=9, description="Gzip level, 1 fast, 9 small", examples=[1])
    max_event_bytes: int = Field(
        1 << 20,
        ge=64,
        le=MOST_BODY_BYTES,
        description="Larger events go to quarantine",
        examples=[1048576],
        json_schema_extra=About(unit="bytes", ours=True),
    )

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
    name: SkipJsonSchema[str] = Field("", description="Set from the key under `outputs`", exclude=True)


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
    config: ConsoleConfig = Field(default_factory=ConsoleConfig)


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
