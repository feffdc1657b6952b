"""A configuration is found, read and checked: Devo's own shapes, and every error with its place and hint."""

import json
from pathlib import Path

import pytest
import yaml

from flows.catalogue.cloudtrail import AuditEventsSettings
from flows.catalogue.guardduty import GuardDutySettings
from flows.catalogue.line_logs import NonCloudwatchLogsSettings
from flows.catalogue.logs import CloudWatchLogsSettings
from flows.catalogue.services import units
from flows.config.load import SettingsError, SettingsErrors, find, load
from flows.config.read import read
from sources.aws.partitions import known_by
from transforms.block import Block, Origin

ROOT = Path(__file__).parents[3]
INPUT = {"id": "10001", "services": {"aws-guardduty": {"regions": ["eu-west-1"]}}}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Return an empty working directory with Devo's certificates in ./certs/."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "certs").mkdir()
    for name in ("chain.crt", "my-domain.crt", "my-domain.key"):
        (tmp_path / "certs" / name).write_text("PEM")
    return tmp_path


def write(content, name="config.yaml"):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    path.write_text(text)
    return path


def loaded(content, env=(), name="config.yaml", **more):
    return load(write(content, name), dict(env), **more)


def refused(content, env=(), name="config.yaml"):
    with pytest.raises(SettingsError) as caught:
        loaded(content, env, name)
    return str(caught.value)


def with_input(**changes):
    return {"inputs": {"aws": INPUT | changes}}


def with_service(name, **options):
    return with_input(services={name: options})


# where it lies


def test_search_order():
    """--config wins over $COLLECTOR_CONFIG, that over $CONFIG_FILE, that over ./ and ./config/."""
    env = {"COLLECTOR_CONFIG": "own.yaml", "CONFIG_FILE": "devo.yaml"}
    for name in ("given.yaml", "own.yaml", "config/devo.yaml", "config.yaml", "config/config.yaml"):
        write("", name)
    found = []
    for path, variables in (
        (Path("given.yaml"), env),
        (None, env),
        (None, {"CONFIG_FILE": "devo.yaml"}),
        (None, {}),
    ):
        found.append(str(find(path, variables)))
    Path("config.yaml").unlink()
    found.append(str(find(None, {})))
    assert found == ["given.yaml", "own.yaml", "config/devo.yaml", "config.yaml", "config/config.yaml"]


def test_devo_looks_under_config_first():
    """$CONFIG_FILE means ./config/NAME as in Devo's collector, --config means NAME first."""
    write("", "devo.yaml")
    write("", "config/devo.yaml")
    write("", "config/only.yaml")
    assert find(None, {"CONFIG_FILE": "devo.yaml"}) == Path("config/devo.yaml")
    assert find(Path("devo.yaml"), {}) == Path("devo.yaml")
    assert find(Path("only.yaml"), {}) == Path("config/only.yaml")


def test_none_found_names_places_and_demo():
    """Without any file the error names every place that was looked at, and the demo."""
    with pytest.raises(SettingsError) as caught:
        find(None, {})
    for name in ("--config", "$COLLECTOR_CONFIG", "$CONFIG_FILE", "./config.yaml", "python -m flows demo"):
        assert name in str(caught.value)


@pytest.mark.parametrize("variable", ["COLLECTOR_CONFIG", "CONFIG_FILE"])
def test_named_but_missing(variable):
    """A variable that names no file is an error, not a reason to look elsewhere."""
    write({"inputs": {}})
    with pytest.raises(SettingsError) as caught:
        load(None, {variable: "gone.yaml"})
    assert f"no configuration file gone.yaml: ${variable}" in str(caught.value)


# Devo's own shapes


def test_on_premise_file_loads_unchanged(here):
    """The file of an on-premise collector of Devo loads as it is, with what has no effect told."""
    settings = loaded(
        """
globals:
  debug: false
  id: not_used
  name: aws
  persistence:
    type: filesystem
    config:
      directory_name: state
  queue_max_size_in_mb: 1024
  queue_max_size_in_messages: 1000
  multiprocessing: false
  devo_sender_threshold_for_using_gzip_in_transport_layer: -1
outputs:
  devo_1:
    type: devo_platform
    config:
      address: collector-us.devo.io
      port: 443
      type: SSL
      chain: chain.crt
      cert: my-domain.crt
      key: my-domain.key
  console_1:
    type: console
inputs:
  aws:
    id: 12345
    enabled: true
    requests_per_second: 5
    autoconfig: {enabled: false}
    environment: production
    credentials: {access_key: AKIA, access_secret: verysecret}
    services:
      audit-events-all:
        types: [audits_api]
        regions: [us-east-1]
        start_time: 2026-01-02T03:04:05Z
      non-cloudwatch-logs:
        types: [flowlogs]
        regions: [us-east-1]
        vpcflowlogs_sqs_queue_name: flow
        start_time: 2026-01-02T03:04:05Z
      my-logs:
        types: [logs]
        log_group: /
        regions: [us-east-1]
""",
        name="config/config.yaml",
    )
    one = settings.inputs["aws"]
    assert (one.id, one.environment, one.enabled) == ("12345", "production", True)
    kinds = [type(service) for service in one.services.values()]
    assert kinds == [AuditEventsSettings, NonCloudwatchLogsSettings, CloudWatchLogsSettings]
    assert one.services["audit-events-all"].start_time.isoformat() == "2026-01-02T03:04:05+00:00"
    assert one.services["audit-events-all"].requests_per_second == 5
    assert settings.state_directory == here / "state"
    assert settings.globals.prefetch_bytes == 1 << 30
    devo = settings.outputs["devo_1"]
    assert devo.name == "devo_1"
    assert devo.config.chain == here / "certs/chain.crt"
    assert devo.config.threshold_for_using_gzip_in_transport_layer == -1
    assert {warning.partition(": ")[0] for warning in settings.warnings} == {
        "globals.queue_max_size_in_messages",
        "globals.multiprocessing",
        "inputs.aws.autoconfig",
        "inputs.aws.services.non-cloudwatch-logs.start_time",
    }


def test_hosted_json_loads_unchanged():
    """The JSON of a hosted collector has no outputs: the console is the output, and a warning says so."""
    content = {"global_overrides": {"debug": True}, **with_input(id=7)}
    settings = loaded(json.dumps(content), name="job_config.json")
    assert settings.globals.debug
    assert [output.type for output in settings.outputs.values()] == ["console"]
    assert settings.warnings == ("outputs: none is given, so events go to the console",)


def test_hosted_json_with_outputs_added():
    """global_overrides win over globals when both are there."""
    settings = loaded({"globals": {"name": "a", "id": 1}, "global_overrides": {"name": "b"}, **with_input()})
    assert (settings.globals.name, settings.globals.id) == ("b", "1")


def test_example_configuration_loads():
    """The example that is shipped is right."""
    example = (ROOT / "deploy/examples/config.yaml").read_text()
    assert loaded(example, {"DEVO_EXTERNAL_ID": "an-external-id"}).inputs["production"].services


def test_readme_configuration_loads(here):
    """The configuration in README.md is right."""
    readme = (ROOT / "README.md").read_text()
    block = readme.partition("```yaml\n")[2].partition("```")[0]
    (here / "aws").write_text("secret\n")
    settings = loaded(block.replace("/run/secrets/aws", "aws"), {"AWS_KEY": "AKIA"})
    assert settings.inputs["production"].credentials.access_secret.get_secret_value() == "secret"


def test_yaml_keeps_text_as_text():
    """Timestamps stay text, account ids keep leading zeros, a region is no sum of minutes."""
    settings = loaded(
        "inputs: {aws: {id: 00123, services: {aws-guardduty: "
        "{regions: [eu-west-1], start_time: 2026-01-02T03:04:05Z}}}}"
    )
    assert settings.inputs["aws"].id == "00123"
    assert (
        settings.inputs["aws"].services["aws-guardduty"].start_time.isoformat() == "2026-01-02T03:04:05+00:00"
    )


def test_service_without_settings_is_one_of_defaults():
    """`aws-guardduty:` with nothing behind it is a service, its region the environment's."""
    settings = loaded("inputs: {aws: {id: 1, services: {aws-guardduty: }}}", {"AWS_REGION": "eu-west-3"})
    service = settings.inputs["aws"].services["aws-guardduty"]
    assert isinstance(service, GuardDutySettings)
    assert service.regions == ("eu-west-3",)


def test_empty_values_are_absent():
    """Empty values, of which templates are full, mean the default."""
    options = {"regions": ["eu-west-1"], "start_time": "", "tag": None}
    service = loaded(with_service("aws-guardduty", **options)).inputs["aws"].services["aws-guardduty"]
    assert (service.start_time, service.tag) == (None, None)


def test_anchors_and_merges():
    """YAML anchors and merge keys are understood, and a merged key may be given anew."""
    settings = loaded(
        """
inputs:
  one: &one {id: a, services: {aws-guardduty: {regions: [eu-west-1]}}}
  two: {<<: *one, id: b}
"""
    )
    assert [one.id for one in settings.inputs.values()] == ["a", "b"]


# files beside it


@pytest.mark.parametrize("name", ["certs/chain.crt", "conf/chain.crt"])
def test_certificates_are_looked_up_beside_the_configuration(here, name):
    """A certificate's name counts from ./certs/, then from the configuration."""
    output = {"address": "x", "chain": "chain.crt", "cert": "my-domain.crt", "key": "my-domain.key"}
    content = {"outputs": {"devo": {"type": "relay", "config": output}}, **with_input()}
    (here / "certs/chain.crt").unlink()
    path = write(content, "conf/collector.yaml")
    write("PEM", name)
    assert load(path, {}).outputs["devo"].config.chain == here / name


def test_certificate_as_file_reference_is_a_name(here):
    """`key: {file: PATH}` means the file itself, not its content."""
    output = {"address": "x", "chain": "chain.crt", "cert": "my-domain.crt", "key": {"file": "my-domain.key"}}
    settings = loaded({"outputs": {"devo": {"type": "devo_platform", "config": output}}, **with_input()})
    assert settings.outputs["devo"].config.key == here / "certs/my-domain.key"


def test_missing_certificate_names_the_places(here):
    """A certificate that is nowhere is told with every place that was looked at."""
    output = {"address": "x", "chain": "chain.crt", "cert": "other.crt", "key": "my-domain.key"}
    told = refused({"outputs": {"devo": {"type": "devo_platform", "config": output}}, **with_input()})
    assert told.startswith("no file other.crt: config.yaml: outputs.devo.config.cert: put it at one of ")
    assert str(here / "certs/other.crt") in told


def test_pasted_key_is_not_shown():
    """A private key's text in place of its file's name is refused and not repeated."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END PRIVATE KEY-----"
    output = {"address": "x", "chain": "chain.crt", "cert": "my-domain.crt", "key": key}
    told = refused({"outputs": {"devo": {"type": "devo_platform", "config": output}}, **with_input()})
    assert "outputs.devo.config.key: save it as a file" in told
    assert "MIIsecret" not in told


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "state/quarantine"),
        ({"quarantine": "q"}, "q"),
        ({"quarantine": "s3://bucket/q"}, "s3://bucket/q"),
    ],
)
def test_quarantine_lies_in_the_state(here, given, expected):
    """Quarantine is in the recovery directory, which a container keeps, unless it is named."""
    settings = loaded({"globals": given, **with_input()})
    assert settings.globals.quarantine == (expected if "://" in expected else str(here / expected))


@pytest.mark.parametrize(
    ("kind", "state", "word"), [("memory", None, "no state survives"), ("redis", "state", "not supported")]
)
def test_other_persistence_says_what_happens(here, kind, state, word):
    """Both redis and memory say what happens instead."""
    persistence = {"type": kind, "config": {"host": "redis.local"}}
    settings = loaded({"globals": {"persistence": persistence}, **with_input()})
    assert settings.state_directory == (here / state if state else None)
    assert any(word in warning for warning in settings.warnings)


# secrets


def test_references():
    """${VARIABLE} and {file: PATH} stand for secrets; PATH counts from the configuration."""
    write("from-a-file\n", "conf/secret")
    credentials = {"access_key": "${KEY}", "access_secret": {"file": "secret"}}
    settings = loaded(with_input(credentials=credentials), {"KEY": "AKIA"}, "conf/c.yaml")
    found = settings.inputs["aws"].credentials
    values = [one.get_secret_value() for one in (found.access_key, found.access_secret)]
    assert values == ["AKIA", "from-a-file"]


def test_a_variable_in_the_path_of_a_secret(here):
    """{file: ${DIR}/x} is read where the variable says; one not set is named, what one holds is not shown."""
    credentials = {"access_key": "AKIA", "access_secret": {"file": "${DIR}/${NAME}"}}
    content = with_input(credentials=credentials)
    write("from-a-file", "elsewhere/secret")
    env = {"DIR": str(here / "elsewhere"), "NAME": "secret"}
    found = loaded(content, env).inputs["aws"].credentials
    assert found.access_secret.get_secret_value() == "from-a-file"
    where = "config.yaml: inputs.aws.credentials.access_secret"
    told = f"environment variable NAME is not set: {where}: set NAME, or write the value"
    assert refused(content, {"DIR": "/"}) == told
    assert refused(content, env | {"NAME": "pasted-secret"}) == (
        f"file ${{DIR}}/${{NAME}} cannot be read: {where}: put the secret there, readable for this user "
        "(No such file or directory)"
    )


def test_missing_references_are_all_named(here):
    """Each variable and file that is not there is named with its place."""
    told = refused(with_input(environment="${NOPE}", credentials={"access_key": {"file": "gone"}}))
    assert "environment variable NOPE is not set: config.yaml: inputs.aws.environment: set NOPE" in told
    assert f"file {here / 'gone'} cannot be read: config.yaml: inputs.aws.credentials.access_key" in told


def test_secrets_are_never_shown():
    """Neither errors nor the settings' text repeat a secret, wherever it was put by mistake."""
    write('fi"le\\secret', "file")
    env = {"LEAK": "env-leaked-secret"}
    content = with_input(
        credentials={
            "access_key": "AKIA",
            "access_secret": "lit-secret",
            "assume_role_external_id": "ext-secret",
        },
        enabled="${LEAK}",
        requests_per_second={"file": "file"},
        services={"${LEAK}": {}, "aws-guardduty": {"regions": ["${LEAK}"], "tag_suffix": "lit-secret"}},
    )
    told = refused(content, env)
    assert "enabled is not accepted" in told
    assert "tag_suffix is not accepted" in told
    for secret in ("env-leaked", "lit-secret", "ext-secret", "le\\secret", "le\\\\secret"):
        assert secret not in told


def test_settings_do_not_show_secrets():
    """The settings' own text, as a traceback or a log would show it, holds no secret."""
    output = {"endpoint": "https://x", "domain": "d", "token": "${T}"}
    settings = loaded(
        {"outputs": {"http": {"type": "devo_http", "config": output}}}
        | with_input(credentials={"access_key": "AKIA", "access_secret": "lit-secret"}),
        {"T": "token-secret"},
    )
    assert "lit-secret" not in repr(settings)
    assert "token-secret" not in repr(settings)


# what is wrong


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"inptus": {}, **with_input()}, "unknown key inptus: config.yaml: inptus: did you mean inputs?"),
        (
            with_service("aws-guardduty", regions=["eu-west-1"], strat_time="x"),
            (
                "unknown key strat_time: config.yaml: inputs.aws.services.aws-guardduty.strat_time: "
                "did you mean start_time?"
            ),
        ),
        (
            with_service("audit-event-all"),
            (
                "unknown service audit-event-all: config.yaml: inputs.aws.services.audit-event-all: "
                "did you mean audit-events-all? (a service of any name needs types: [metrics-all] "
                "or types: [logs], or file_format and routing_template)"
            ),
        ),
        (
            {"outputs": {"devo": {"type": "devo_plattform"}}, **with_input()},
            "unknown type devo_plattform: config.yaml: outputs.devo: did you mean devo_platform?",
        ),
        (
            {"outputs": {"relay": {"type": "syslog", "config": {"address": "x", "prot": 1}}}, **with_input()},
            "unknown key prot: config.yaml: outputs.relay.config.prot: did you mean port?",
        ),
        (
            {"globals": {"persistence": {"config": {}, "typ": 1}}, **with_input()},
            "unknown key typ: config.yaml: globals.persistence.typ: did you mean type?",
        ),
        (
            with_input(credentials={"access_key": "A", "acess_secret": "B"}),
            (
                "unknown key acess_secret: config.yaml: inputs.aws.credentials.acess_secret: "
                "did you mean access_secret?"
            ),
        ),
        (
            with_service("mine", types=["logs"], regions=["eu-west-1"], log_groups=[{"log_groop": "x"}]),
            (
                "unknown key log_groop: config.yaml: inputs.aws.services.mine.log_groups.0.log_groop: "
                "did you mean log_group?"
            ),
        ),
        (
            with_service("audit-events-all", types=["audits_s4"], regions=["eu-west-1"]),
            (
                "types.0 'audits_s4' is not accepted: config.yaml: "
                "inputs.aws.services.audit-events-all.types.0: did you mean audits_s3? "
                "known are audits_api, audits_s3"
            ),
        ),
        (
            with_service("metrics-all", regions=["eu-west-1"], period="often"),
            (
                "period 'often' is not accepted (it should be a valid integer, unable to parse string "
                "as an integer): config.yaml: inputs.aws.services.metrics-all.period: Length of a point: "
                "1, 5, 10, 20, 30 or whole minutes. Unit: seconds, e.g. 60"
            ),
        ),
        (
            with_service("aws-guardduty", regions=["eu-west-1"], start_time="yesterday"),
            (
                "start_time 'yesterday' is no ISO 8601 time, like 2026-01-02T03:04:05Z: config.yaml: "
                "inputs.aws.services.aws-guardduty.start_time: Collect from this time"
            ),
        ),
        (
            with_service("aws-guardduty"),
            (
                "aws-guardduty has no regions: config.yaml: inputs.aws.services.aws-guardduty: "
                "add regions: [eu-west-1], or set AWS_REGION"
            ),
        ),
        (
            {"inputs": {"aws": {"services": INPUT["services"]}}},
            "id is missing: config.yaml: inputs.aws: Part of the state's identity",
        ),
        (with_input(id="a b"), "id 'a b' is not accepted (it should match pattern"),
        (with_input(services={}), "services is empty: config.yaml: inputs.aws.services: name a service"),
        (with_input(services=["x"]), "services is not accepted (it should be a mapping)"),
        ({"inputs": {"aws": "x"}}, "aws is no mapping: config.yaml: inputs.aws: write key: value below it"),
        ({"inputs": ["x"]}, "inputs is no mapping: config.yaml: inputs: write key: value below it"),
        (
            {"outputs": {"c": {"type": "console"}}},
            "inputs are missing: config.yaml: inputs: say what to collect",
        ),
        (with_service("a b", types=["logs"]), "unknown service a b: "),
        (with_service("aws-guardduty", regions=["eu-west-1"], enabled=3), "enabled 3 is not accepted"),
    ],
)
def test_what_is_wrong_is_told_with_place_and_hint(content, expected):
    """Each error names what, where (file and path of keys) and what to do."""
    assert refused(content).startswith(expected)


@pytest.mark.parametrize(
    ("name", "types", "expected"),
    [
        (
            "non-cloudwatch-logs",
            ["flowlog"],
            "types.0: did you mean flowlogs? known are cloudfrontlogs, flowlogs",
        ),
        (
            "non-cloudwatch-logs",
            ["logs", "flowlogs"],
            "types.0: did you mean flowlogs? known are cloudfrontlogs, flowlogs",
        ),
        ("non-cloudwatch-logs", ["x"], "types.0: known are cloudfrontlogs, flowlogs"),
        ("non-cloudwatch-logs", "x", "types: known are cloudfrontlogs, flowlogs"),
        ("non-cloudwatch-logs", [], "types: known are cloudfrontlogs, flowlogs"),
        ("audit-events-all", {"audits_s3": True}, "types: known are audits_api, audits_s3"),
        ("audit-events-all", [7], "types.0: known are audits_api, audits_s3"),
        ("metrics-all", ["metrics"], "types.0: write metrics-all"),
        ("mine", ["logs", "x"], "types.1: write logs"),
    ],
)
def test_a_wrong_type_is_told_in_one_line_with_the_known_ones(name, types, expected):
    """A wrong `types` is one error, ours, and its hint has every type that there is."""
    told = refused(with_service(name, types=types, regions=["eu-west-1"]))
    assert "\n" not in told
    assert "Tuple" not in told
    assert told.endswith(f"config.yaml: inputs.aws.services.{name}.{expected}")


def test_everything_wrong_is_told_at_once():
    """Several errors come together, one line each."""
    content = {
        "globals": {"debgu": True},
        "inputs": {"aws": {"id": "1", "services": {"aws-guarduty": {}, "metrics-all": {"regions": ["x"]}}}},
    }
    with pytest.raises(SettingsErrors) as caught:
        loaded(content)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.errors) == 3
    assert [line.partition(": ")[0] for line in lines] == [
        "unknown key debgu",
        "unknown service aws-guarduty",
        f"regions.0 'x' is no region that {known_by()} knows, like eu-west-1",
    ]
    assert all(error.what and error.where and error.hint for error in caught.value.errors)


def test_two_inputs_with_one_id():
    """Two inputs would share their state if they had one id; one that is switched off does not count."""
    content = {"inputs": {"one": INPUT, "two": INPUT}}
    assert "id 10001 of one and two is one: config.yaml: inputs.two.id: give another" in refused(content)
    assert loaded({"inputs": {"one": INPUT, "two": INPUT | {"enabled": False}}}).inputs["two"].id == "10001"


def test_nothing_to_collect_is_a_warning():
    """A configuration with everything switched off loads, with a warning."""
    settings = loaded(with_input(enabled=False))
    assert "inputs: every one is switched off, nothing is collected" in settings.warnings


def test_replay_needs_no_inputs():
    """A configuration for replay may have outputs only."""
    settings = loaded({"outputs": {"c": {"type": "console"}}}, need_inputs=False)
    assert settings.inputs == {}
    assert list(settings.outputs) == ["c"]


def test_globals_reach_connections_only():
    """Devo's sender settings in globals win over an output's own, and leave the console alone."""
    whole = {"receiver_max_event_bytes": 8096}
    outputs = {
        "relay": {
            "type": "syslog",
            "config": {"address": "x", "port": 1, "concurrent_connections": 2, **whole},
        },
        "console": {"type": "console", "config": {}},
    }
    content = {"globals": {"sender_concurrent_connections": 3}, "outputs": outputs, **with_input()}
    settings = loaded(content)
    assert settings.outputs["relay"].config.concurrent_connections == 3
    assert settings.warnings == ()
    content["globals"] = {"sender_concurrent_connections": 300}
    assert "concurrent_connections 300 is not accepted" in refused(content)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "c.yaml", "no YAML (key a stands twice): c.yaml: line 3, column 1: "),
        (
            "a: [1",
            "c.yaml",
            "no YAML (expected ',' or ']', but got '<stream end>'): c.yaml: line 1, column 6: ",
        ),
        ("a: !!python/object:x {}", "c.yaml", "no YAML (could not determine a constructor"),
        ("a: \x07", "c.yaml", "cannot be understood ("),
        ('{"a": 1, "a": 2}', "c.json", "cannot be understood (key a stands twice): c.json: "),
        ('{"a": }', "c.json", "no JSON (Expecting value): c.json: line 1, column 7: "),
        ("- a", "c.yaml", "configuration is no mapping: c.yaml: "),
        ("", "c.yaml", "configuration is no mapping: c.yaml: "),
        ("a: &a {b: *a}", "c.yaml", "configuration refers to itself: c.yaml: "),
    ],
)
def test_unreadable_text_is_told_with_its_place(text, name, expected):
    """A file that is no YAML or JSON says where."""
    assert refused(text, name=name).startswith(expected)


def test_not_utf8():
    """A file in another encoding says so."""
    path = write("")
    path.write_bytes(b"a: \xff")
    with pytest.raises(SettingsError, match="is not UTF-8"):
        load(path, {})


def test_byte_order_mark_is_no_matter():
    """An editor's byte order mark is skipped, in JSON too."""
    path = write("")
    for name, text in (("c.yaml", yaml.safe_dump(with_input())), ("c.json", json.dumps(with_input()))):
        path = Path(name)
        path.write_text("\ufeff" + text, encoding="utf-8")
        assert load(path, {}).inputs


def test_folder_in_place_of_a_file():
    """A folder is no configuration."""
    Path("config.yaml").mkdir()
    with pytest.raises(SettingsError, match="no configuration file"):
        find(None, {})


def test_under_systemd_state_lies_in_its_state_directory(tmp_path):
    """A unit reads its configuration where it may not write."""
    file = tmp_path / "config.yaml"
    file.write_text("inputs: {a: {id: '1', services: {aws-guardduty: {regions: [eu-west-1]}}}}")
    settings = load(file, {"STATE_DIRECTORY": "/var/lib/collector"})
    assert str(settings.state_directory) == "/var/lib/collector/state"
    assert settings.globals.quarantine == "/var/lib/collector/state/quarantine"


def test_tables_of_cloudtrail_may_be_named():
    """`globals.tables.cloudtrail` adds tables and maps eventSources to them, wherever records come from."""
    tables = {"cloudtrail": {"add": "bedrock", "map": {"sso.amazonaws.com": "identitystore"}}}
    services = {
        "audit-events-all": {"types": ["audits_s3"], "sqs_queue_name": "q", "auto_event_type": True},
        "aws_sqs_cloudtrail": {"sqs_queue_name": "r"},
        "aws_sqs_cloudtrail_kinesis": {"sqs_queue_name": "s"},
    }
    around = {"globals": {"tables": tables}, **with_input(services=services)}
    names = (b"bedrock", b"sso", b"kiro", b"s3")
    block = Block(b"".join(b'{"eventSource":"%b.amazonaws.com"}\n' % name for name in names), 4, Origin("x"))
    for unit in units(loaded(around, {"AWS_REGION": "eu-west-1"})):
        made = unit.service.transform(unit)(block)
        assert [one.tag.rpartition(".")[2] for one in made] == ["bedrock", "identitystore", "events", "s3"]
    wrong = {"cloudtrail": {"add": ["a.b"]}}
    assert "globals.tables.cloudtrail.add" in refused({"globals": {"tables": wrong}, **with_input()})


@pytest.mark.parametrize(
    ("key", "form"),
    [("include", int), ("include", list), ("exclude", list), ("external_id", int), ("role_name", int)],
)
def test_a_number_where_digits_are_text_is_to_be_quoted(key, form):
    """An account's number may begin with zeros, which a number does not have."""
    content = with_input(
        organization={key: 123456789012}, services={"audits_api": {"regions": ["us-east-1"]}}
    )
    assert "write it in quotes" in refused(content)


@pytest.mark.parametrize("wrong", [{"include": ["Sandbox"]}, {"role_name": "arn:aws:iam::1:role/x"}])
def test_services_lack_no_regions_because_their_organization_is_wrong(wrong):
    """One mistake is one line: the regions come from the organization once it is right."""
    told = refused(with_input(organization=wrong, services={"aws-guardduty": {}}))
    assert "no regions" not in told


def test_keys_are_text_as_they_stand_there():
    """YAML takes on, no and 5 for other things than words; as names they are what somebody wrote."""
    assert read(write("on: 1\nno: 2\n5: 3\nNull: 4\n")) == {"on": 1, "no": 2, "5": 3, "Null": 4}


@pytest.mark.parametrize("number", [".inf", "1e400", ".nan", "'inf'"])
def test_a_period_is_a_finite_number(number):
    """One without an end would be no poll for ever."""
    services = f"{{aws-guardduty: {{regions: [eu-west-1], request_period_in_seconds: {number}}}}}"
    assert "finite number" in refused(f"inputs: {{a: {{id: '1', services: {services}}}}}", name="c.yaml")
