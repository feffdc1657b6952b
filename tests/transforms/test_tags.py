"""Tags name a table of Devo's: from AWS's names, from the configuration's template, from the place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.blocks import is_tag
from transforms.block import Origin
from transforms.tags import CLOUDTRAIL_TABLES, DEVO_TABLES, CloudTrailTables, TagRule, level, place

KEY = "s3://b/AWSLogs/000123456789/vpcflowlogs/eu-west-3/2026/01/02/x.log.gz"


@pytest.mark.parametrize(
    ("source", "table"),
    [
        ("ec2.amazonaws.com", "ec2"),
        ("acm-pca.amazonaws.com", "acm_pca"),
        ("access-analyzer.amazonaws.com", "access_analyzer"),
        ("compute-optimizer.amazonaws.com", "optimizer"),
        ("cognito-identity.amazonaws.com", "cognito_identify"),
        ("cognito-idp.amazonaws.com", "cognito_idp"),
        ("identitystore.amazonaws.com", "identifystore"),
        ("sso-directory.amazonaws.com", "soo_directory"),
        ("servicequotas.amazonaws.com", "servicesquotas"),
        ("servicecatalog-appregistry.amazonaws.com", "servicecatalog_appregistry"),
        ("waf-regional.amazonaws.com", "waf_regional"),
        ("quicksight.amazonaws.com", "events"),
        ("sso.amazonaws.com", "events"),
        ("EC2.amazonaws.com", "events"),
        ("ec2", "ec2"),
        ("", "events"),
        (".", "events"),
        ("e c2.x\ny", "events"),
    ],
)
def test_event_source_names_a_table(source, table):
    """Up to the first dot, hyphens as underscores, Devo's own spellings; what Devo has not is `events`."""
    assert DEVO_TABLES.of(source) == table


def test_the_list_of_tables_is_the_contract_s():
    """123 tables, each a level that a tag can hold."""
    assert len(CLOUDTRAIL_TABLES) == 123
    assert {"events", "insights", "digest_meta", "xray", "iam", "s3"} <= CLOUDTRAIL_TABLES
    assert all(level(table) == table for table in CLOUDTRAIL_TABLES)


def test_tables_may_be_added_and_mapped():
    """What Devo has added since is named by its table, or by the eventSource that goes there."""
    more = CloudTrailTables(["bedrock_agent"], {"sso.amazonaws.com": "identitystore", "s3-outposts": "s3"})
    assert more.of("bedrock-agent.amazonaws.com") == "bedrock_agent"
    assert more.of("sso.amazonaws.com") == "identitystore"
    assert more.of("s3-outposts.amazonaws.com") == "s3"
    assert more.of("ec2.amazonaws.com") == "ec2"
    assert (more.known("kiro.amazonaws.com"), more.of("kiro.amazonaws.com")) == ("", "events")
    assert CloudTrailTables((), {"kiro": "events"}).known("kiro.amazonaws.com") == "events"


@given(st.text(max_size=40))
def test_any_source_makes_a_known_table(source):
    """Nothing that a record may hold makes a tag that Devo does not know."""
    assert DEVO_TABLES.of(source) in CLOUDTRAIL_TABLES


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a.b", "a_b"),
        ("a b\n", "a_b"),
        ("", "unknown"),
        ("..", "unknown"),
        ("é", "unknown"),
        ("us-east-1", "us-east-1"),
    ],
)
def test_a_value_becomes_one_level(value, expected):
    """Dots, spaces, controls and letters beyond ASCII cannot stand in a level."""
    assert level(value) == expected


@given(
    st.text(max_size=20),
    st.text(max_size=20),
    st.text(max_size=20),
    st.sampled_from(["none", "account_region"]),
)
def test_any_values_make_a_valid_tag(event_type, account, region, suffix):
    """Whatever the values are, a tag has the levels that its rule says, and passes the check."""
    tag = TagRule("cloud.aws.vpc.{event_type}", suffix).tag(event_type, account, region)
    assert is_tag(tag)
    assert tag.count(".") == (3 if suffix == "none" else 5)


@pytest.mark.parametrize(
    ("rule", "tag"),
    [
        (TagRule("a.b.{event_type}"), "a.b.flow"),
        (TagRule("a.b"), "a.b"),
        (TagRule("a.{account}.{region}.{event_type}"), "a.000123456789.eu-west-3.flow"),
        (TagRule("a.b", "account_region"), "a.b.000123456789.eu-west-3"),
        (TagRule("a.{event_type}", "region_account"), "a.flow.eu-west-3.000123456789"),
    ],
)
def test_a_rule_makes_tags_from_template_and_suffix(rule, tag):
    """Template and suffix of the configuration decide; account and region come from an object's key."""
    assert rule.tag_of_object("flow", Origin("flowlogs", "999999999999", "us-east-1", object=KEY)) == tag


def test_an_accounts_name_may_stand_in_its_place():
    """Whatever a name holds it is one level of at most 64 characters; else the number stands there."""
    names = {"1": "Prod / EU (main) ☂ 1.2", "2": "x" * 99, "3": "..."}
    rule = TagRule("a.{event_type}", "account_region", lambda number: names.get(number, ""))
    found = [rule.tag("flow", number, "eu-west-1") for number in ("1", "2", "3", "111122223333")]
    assert found == [
        "a.flow.Prod_EU_main_1_2.eu-west-1",
        f"a.flow.{'x' * 64}.eu-west-1",
        "a.flow.3.eu-west-1",
        "a.flow.111122223333.eu-west-1",
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (KEY, ("000123456789", "eu-west-3")),
        ("AWSLogs/000123456789/CloudTrail/us-gov-west-1/2026/x", ("000123456789", "us-gov-west-1")),
        ("p/AWSLogs/o-ab12cd/000123456789/CloudTrail/ap-southeast-2/x", ("000123456789", "ap-southeast-2")),
        (
            "aws/VPC_FLOW/2.0/region=us-east-1/accountId=000123456789/eventDay=20260102/x.gz.parquet",
            ("000123456789", "us-east-1"),
        ),
        (
            "AWSLogs/aws-account-id=000123456789/aws-service=vpcflowlogs/aws-region=us-east-1/year=2026/x",
            ("000123456789", "us-east-1"),
        ),
        ("cdn/E2EXAMPLE.2026-01-02-03.x.gz", ("asked", "there")),
        ("AWSLogs/123/CloudTrail/us-east-1/x", ("asked", "there")),
        ("AWSLogs/000123456789/vpcdnsquerylogs/vpc-12345678/2026/x", ("asked", "there")),
        ("", ("asked", "there")),
    ],
)
def test_h11_a_key_tells_account_and_region(key, expected):
    """AWS's own deliveries say in the key whose log it is, Hive-compatible ones too."""
    assert place(key, "asked", "there") == expected


def test_a10_levels_and_caches_are_bounded():
    """A level has at most 64 characters, and what is megabytes long stays in no cache."""
    assert len(level("r" * 1000)) == 64
    rule = TagRule("a.{event_type}", "account_region")
    assert max(map(len, rule.tag("x" * 10_000, "1" * 10_000, "eu" * 10_000).split("."))) == 64
    before = DEVO_TABLES._found.cache_info().currsize
    assert DEVO_TABLES.of("x" * 900_000) == "events"
    assert DEVO_TABLES._found.cache_info().currsize == before
