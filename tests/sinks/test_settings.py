"""Settings of the outputs."""

import pytest
from pydantic import BaseModel, ValidationError

from sinks.settings import (
    Console,
    DevoHttp,
    DevoPlatform,
    File,
    Outputs,
    Syslog,
    parse_output,
)
from transforms.setting import ineffective

DEVO = {"address": "collector-eu.devo.io", "chain": "chain.crt", "cert": "my.crt", "key": "my.key"}
TCP = {"address": "relay", "port": 13000}
HTTP = {"endpoint": "https://http-us.devo.io", "domain": "acme", "token": "planted-secret"}


class Configuration(BaseModel):
    outputs: Outputs


@pytest.mark.parametrize(
    ("spelling", "config", "model"),
    [
        ("devo_platform", DEVO, DevoPlatform),
        ("relay", DEVO, DevoPlatform),
        ("syslog", TCP, Syslog),
        ("in_house_relay", TCP, Syslog),
        ("sidecar", TCP, Syslog),
        ("console", {}, Console),
        ("stdout", {}, Console),
        ("file", {"path": "events.log"}, File),
        ("devo_http", HTTP, DevoHttp),
    ],
)
def test_every_spelling_of_a_type_loads(spelling, config, model):
    """Each type that Devo's collector knows, and each of our own, gives its settings."""
    output = parse_output("out", {"type": spelling, "config": config})
    assert isinstance(output, model)
    assert output.name == "out"


def test_defaults_are_what_devo_expects():
    """An output without options speaks the contract's wire form, bounded and required."""
    config = parse_output("devo", {"type": "devo_platform", "config": DEVO}).config
    assert (config.port, config.verify_server_name, config.concurrent_connections) == (443, True, 1)
    assert (config.facility, config.severity, config.timestamp) == ("user", "info", "constant")
    assert (config.required, config.max_event_bytes, config.outage_limit_seconds) == (True, 1 << 20, 43_200)
    assert config.host


@pytest.mark.parametrize("missing", ["address", "chain", "cert", "key"])
def test_devo_refuses_to_run_without_its_files(missing):
    """Devo without address, chain, certificate or key is a configuration error that names it."""
    config = {key: value for key, value in DEVO.items() if key != missing}
    with pytest.raises(ValidationError, match=missing):
        parse_output("devo", {"type": "devo_platform", "config": config})


def test_unknown_keys_are_errors():
    """A misspelt option is refused, not ignored."""
    with pytest.raises(ValidationError, match="adress"):
        parse_output("relay", {"type": "syslog", "config": {**TCP, "adress": "x"}})


def test_devos_own_keys_load_and_are_reported():
    """Keys and spellings of Devo's collector load unchanged; those without effect are named."""
    theirs = {
        "url": "collector-us.devo.io",
        "chain_loc": "chain.crt",
        "cert_loc": "my.crt",
        "key_loc": "my.key",
        "type": "SSL",
        "connecting_retries": 5,
        "sending_retries": 5,
        "sending_timeout": 5,
        "compression_level": 6,
        "compression_buffer_in_bytes": 51200,
        "threshold_for_using_gzip_in_transport_layer": 1.1,
        "period_sender_stats_in_seconds": 300,
    }
    output = parse_output("devo", {"type": "relay", "config": theirs})
    assert output.config.address == "collector-us.devo.io"
    assert list(ineffective(output.config)) == [
        "compression_buffer_in_bytes",
        "connecting_retries",
        "period_sender_stats_in_seconds",
        "sending_retries",
    ]


def test_outputs_learn_their_names_from_their_keys():
    """A mapping of outputs gives each its key as name, for messages and metrics."""
    outputs = Configuration.model_validate({"outputs": {"screen": {"type": "console"}}}).outputs
    assert outputs["screen"].name == "screen"


def test_tokens_never_show():
    """A token is in no representation of its output."""
    output = parse_output("http", {"type": "devo_http", "config": HTTP})
    assert "planted-secret" not in f"{output!r} {output} {output.model_dump_json()}"


def test_every_option_is_documented():
    """Each option has a description and an example: the reference page is printed from them."""
    definitions = Configuration.model_json_schema()["$defs"]
    options = {
        f"{model}.{name}": option
        for model, definition in definitions.items()
        if model.endswith("Config")
        for name, option in definition["properties"].items()
    }
    assert options
    assert not [name for name, option in options.items() if not option.get("description")]
    assert not [name for name, option in options.items() if not option.get("examples")]


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("http://http-eu.devo.io", "not https"),
        ("http-eu.devo.io", "not https"),
        ("ftp://http-eu.devo.io", "not https"),
        ("https://", "more than an address"),
        ("https://http-eu.devo.io:99999", "no URL"),
        ("https://[::1", "no URL"),
        ("https://me:planted-secret@http-eu.devo.io", "more than an address"),
        ("https://http-eu.devo.io/stream/acme/token!planted-secret/h/my.app", "more than an address"),
        ("https://http-eu.devo.io?planted-secret", "more than an address"),
    ],
)
def test_endpoint_is_an_address_and_no_error_repeats_it(endpoint, why):
    """An endpoint in clear text, or with more than an address, is refused; what was pasted is not shown."""
    with pytest.raises(ValidationError, match=why) as caught:
        parse_output("http", {"type": "devo_http", "config": {**HTTP, "endpoint": endpoint}})
    assert "planted-secret" not in str(caught.value)


def test_errors_of_outputs_show_no_token():
    """A wrong key beside a token is named, the token is not."""
    with pytest.raises(ValidationError, match="domian") as caught:
        parse_output("http", {"type": "devo_http", "config": {**HTTP, "domian": "acme"}})
    assert "planted-secret" not in str(caught.value)


def test_http_events_fit_into_a_request():
    """An event that no request could hold is refused by the settings, not by the receiver."""
    with pytest.raises(ValidationError, match="max_event_bytes"):
        parse_output("http", {"type": "devo_http", "config": {**HTTP, "max_event_bytes": 32_000_000}})
