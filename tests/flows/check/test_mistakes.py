"""What people write wrong in a configuration: each mistake has its one right line."""

import pytest

from flows.config.load import SettingsError, load

GUARDDUTY = "aws-guardduty: {regions: [us-east-1]}"


@pytest.fixture
def written(look):
    """Return what checks a configuration as text, and gives what fails."""

    def check(text):
        return look.text(text).of("fail")

    return check


def one(found):
    """Return the one line that was found."""
    assert len(found) == 1, "\n".join(map(str, found))
    return str(found[0])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("inputs: {aws: {id: a, credentials: {access_key: ${KEY}, access_secret: ${SECRET}}}}", "${KEY}"),
        (
            "inputs:\n  aws:\n    id: a\n    services:\n      aws-guardduty: {regions: [${REGION}]}",
            "${REGION}",
        ),
        ("inputs:\n  aws: {id: a, environment: pre-${STAGE}, services: {}}", "${STAGE}"),
    ],
)
def test_a_reference_between_braces_needs_quotes(written, text, name):
    """`${X}` in flow YAML is no YAML: the line names the variable, its place, and how to write it."""
    line = one(written(text))
    assert f"{name} needs quotes" in line
    assert "config.yaml: line " in line
    assert line.endswith(f'write "{name}", and the same for others in this file')


ROLE = "arn:aws:iam::123456789012:role/collector"
INPUT = "inputs:\n  aws:\n    id: a\n"
BELOW = "aws-guardduty:\n        regions: [us-east-1]"
RIGHT = f"{INPUT}    services:\n      {GUARDDUTY}\n"
FLOW = "types: [flowlogs]\n{0}regions: [us-east-1]\n{0}vpcflowlogs_sqs_queue_name: q\n"


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        (
            f"{INPUT}    services:\n    non-cloudwatch-logs:\n      {FLOW.format('      ')}",
            "non-cloudwatch-logs belongs under services",
            "inputs.aws.non-cloudwatch-logs",
        ),
        (f"{INPUT}  services:\n    {GUARDDUTY}", "services belongs under aws", "inputs.services"),
        (
            f"{INPUT}    services:\n      aws-guardduty:\n      regions: [us-east-1]",
            "regions belongs under aws-guardduty",
            "inputs.aws.services.regions",
        ),
        (
            f"{INPUT}    base_assume_role: {ROLE}\n    services:\n      {GUARDDUTY}",
            "base_assume_role belongs under credentials",
            "inputs.aws.base_assume_role",
        ),
        (f"aws:\n  id: a\n  services:\n    {GUARDDUTY}", "aws belongs under inputs", "aws"),
        (
            f"{INPUT}    services:\n      {GUARDDUTY}\n  outputs:\n    out: {{type: console}}",
            "outputs belongs beside inputs",
            "inputs.outputs",
        ),
        (
            f"persistence: {{type: memory}}\n{INPUT}    services:\n      {GUARDDUTY}",
            "persistence belongs under globals",
            "persistence",
        ),
        (
            f"{INPUT}    services:\n      {GUARDDUTY}\noutputs:\n  out:\n    type: file\n    path: /tmp/x",
            "path belongs under config",
            "outputs.out.path",
        ),
        (
            f"{INPUT}    services:\n      {GUARDDUTY}\noutputs:\n  out:\n  type: console",
            "type belongs under out",
            "outputs.type",
        ),
        (f"{INPUT}services:\n  {GUARDDUTY}", "services belongs under aws", "services"),
        (
            f"inputs:\n  1:\n    id: 1\n  services:\n    {GUARDDUTY}",
            "services belongs under 1",
            "inputs.services",
        ),
        (
            f"{INPUT}    services:\n      {GUARDDUTY}\n      environment: test",
            "environment belongs under aws",
            "inputs.aws.services.environment",
        ),
        (
            f"globals:\n  persistence:\n  type: memory\n{INPUT}    services:\n      {GUARDDUTY}",
            "type belongs under persistence",
            "globals.type",
        ),
        (
            f"globals:\n  persistence:\n    config:\n    directory_name: s\n{RIGHT}",
            "directory_name belongs under config",
            "globals.persistence.directory_name",
        ),
        (
            f"{INPUT}    credentials:\n      services:\n        {GUARDDUTY}",
            "services belongs under aws",
            "inputs.aws.credentials.services",
        ),
        (
            f"{INPUT}    services:\n      {BELOW}\n        environment: x",
            "environment belongs under aws",
            "inputs.aws.services.aws-guardduty.environment",
        ),
    ],
)
def test_a_wrong_indent_says_where_a_key_belongs(written, text, what, where):
    """A key on the wrong level is one line that tells where it belongs; what only follows is not told."""
    line = one(written(text))
    assert line.startswith(f"fail  misplaced               {what}: ")
    assert f"config.yaml: {where}: " in line
    home, parts = what.rpartition(" ")[2], where.split(".")
    is_outward = home in parts[:-2]
    cure = f"as the other keys of inputs.{home} are" if is_outward else ": indent it deeper than the line of "
    assert cure in line or line.endswith("write it without indentation")


def test_a_reference_in_json_needs_quotes(look):
    """In JSON the same is told, with line and column."""
    path = look.folder / "config.json"
    path.write_text('{"inputs": {"aws": {"id": ${NAME}}}}')
    with pytest.raises(SettingsError) as told:
        load(path)
    assert "${NAME} needs quotes" in str(told.value)
    assert "config.json: line 1, column 27: write" in str(told.value)


def test_what_else_is_wrong_is_told_beside_it(written):
    """A misplaced service is read where it belongs: its own errors are told at once."""
    found = written(f"{INPUT}    services:\n    aws-guardduty:\n      regoins: [us-east-1]\n")
    assert found[0].code == "misplaced"
    assert any("unknown key regoins" in str(one) for one in found)


def test_names_that_are_keys_elsewhere_are_names(look):
    """An input and an output may be called as a key of another level: nothing is moved."""
    text = "inputs:\n  region:\n    id: a\n    services:\n      aws-guardduty: {regions: [us-east-1]}\n"
    assert not look.text(f"{text}outputs:\n  config: {{type: console}}\n").of("fail")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            f"{INPUT}    services:\n      aws-guardduty:\n        regions: [us-east-1]\n       limit: 3",
            "indented",
        ),
        ("inputs:\n\taws:\n\t\tid: a\n", "a tab"),
        (f"{INPUT}    environment: *prod\n    services: {{}}", "begins with *"),
    ],
)
def test_yaml_that_cannot_be_read_names_the_place(written, text, told):
    """Uneven indents, tabs and values that need quotes are told as such, with line and column."""
    line = one(written(text))
    assert told in line
    assert "config.yaml: line " in line


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("regions", "us-east-1, eu-west-1", "[us-east-1, eu-west-1]"),
        ("regions", "us-east-1 eu-west-1", "[us-east-1, eu-west-1]"),
        ("regions", "'[us-east-1]'", "[us-east-1]"),
        ("types", "flowlogs,cloudfrontlogs", "[flowlogs, cloudfrontlogs]"),
        ("buckets", "one, two", "[one, two]"),
    ],
)
def test_a_string_for_a_list(written, name, value, cure):
    """A text of several parts where a list is wanted is one line that writes the list."""
    options = {
        "types": "[flowlogs]",
        "regions": "[us-east-1]",
        "vpcflowlogs_sqs_queue_name": "q",
        name: value,
    }
    lines = "".join(f"        {key}: {one}\n" for key, one in options.items())
    line = one(written(f"{INPUT}    services:\n      non-cloudwatch-logs:\n{lines}"))
    assert f"config.yaml: inputs.aws.services.non-cloudwatch-logs.{name}: write a list: {cure}" in line


def test_a_string_that_is_taken_as_one_is_told_as_one(look):
    """Where any text is right, the warning shows that several were taken for one, and how to write them."""
    options = "regions: [us-east-1], vpcflowlogs_sqs_queue_name: q, drop_event_names: 'A, B'"
    look.text(f"{INPUT}    services:\n      non-cloudwatch-logs: {{types: [flowlogs], {options}}}\n")
    told = [str(one) for one in look.of("warn") if "drop_event_names" in str(one)]
    assert any("a list of one: ['A, B'], write [A, B] for several" in line for line in told), look.found


@pytest.mark.parametrize("services", ["[aws-guardduty]", f"\n      - {GUARDDUTY}", "aws-guardduty"])
def test_services_are_a_mapping(written, services):
    """A list of services, or a bare name, is one line that says how a mapping is written."""
    line = one(written(f"{INPUT}    services: {services}\n"))
    assert "services" in line
    assert "inputs.aws.services: write key: value below it, indented, without a hyphen" in line


def test_inputs_are_a_mapping(written):
    """So are inputs: nothing more is told of it."""
    line = one(written(f"inputs:\n  - id: a\n    services:\n      {GUARDDUTY}\n"))
    assert "inputs is no mapping" in line
