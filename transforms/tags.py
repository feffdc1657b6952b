"""Devo tags: which table an event belongs to, and how its name is put together. Pure.

A tag has 2 to 6 levels, divided by dots; a value that becomes a level can hold none.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

from msgspec import Struct

from transforms.block import Origin

_TABLES = """
    access_analyzer acm acm_pca amazonmq apigateway appmesh appstream appsync athena audit autoscaling
    backup batch billingconsole budgets ce cloudformation cloudfront cloudhsm cloudsearch cloudshell
    cloudtrail codeartifact codebuild codecommit codedeploy codepipeline cognito_identify cognito_idp
    comprehend config datapipeline dax digest_logfile digest_meta directconnect dms ds dynamodb ec2 ecr
    ecr_public ecs elasticache elasticbeanstalk elasticloadbalancing elasticmapreduce elastictranscoder
    es events firehose fsx glacier glue guardduty health iam identifystore insights inspector kafka
    kinesis kinesisanalytics kinesisvideo kms lakeformation lambda license_manager lightsail logs
    mediaconnect mediaconvert mediapackage mediastore mediatailor monitoring network_firewall opsworks
    opsworks_cm optimizer organizations pi pricelist ram rds redshift rekognition resource_groups
    route53 route53domains route53resolver s3 sagemaker savingsplans schemas secretsmanager securityhub
    servicecatalog servicecatalog_appregistry servicediscovery servicesquotas ses shield signin sms sns
    soo_directory sqs ssm states storagegateway sts support swf tagging translate trustedadvisor waf
    waf_regional wafv2 wellarchitected workspaces xray
"""

CLOUDTRAIL_TABLES = frozenset(_TABLES.split())
"""Tables below `cloud.aws.cloudtrail` that Devo has."""

_IRREGULAR = {
    "compute_optimizer": "optimizer",
    "cognito_identity": "cognito_identify",
    "identitystore": "identifystore",
    "sso_directory": "soo_directory",
    "servicequotas": "servicesquotas",
}
"""Service names whose table is spelt otherwise in Devo."""

FALLBACK = "events"
_UNSAFE = re.compile(r"[^\w-]+", re.ASCII)
_LONGEST_LEVEL, _UNKNOWN = 64, "unknown"
_LONGEST_SOURCE = 256
"""Characters; what is longer is no service's name, and must not stay in a cache."""

_PLACE = re.compile(
    r"AWSLogs/(?:o-\w+/)?(?:aws-account-id=)?(\d{12})/(?:aws-service=)?[\w-]+/(?:[a-z]+/)?"
    r"(?:aws-region=)?(?!vpc-)((?:[a-z]+-)+\d+)/"
)
"""Account and region in the keys of AWS's own log deliveries, Hive-compatible or not."""

_LAKE_PLACE = re.compile(r"/region=((?:[a-z]+-)+\d+)/accountId=(\d{12})/")
"""Region and account in Security Lake's keys."""


class CloudTrailTables:
    """Which table below `cloud.aws.cloudtrail` an `eventSource` has: of Devo's list, and a configuration's.

    added: further tables. mapped: an eventSource, or its name up to the first dot → its table, first of all.
    """

    def __init__(self, added: Iterable[str] = (), mapped: Mapping[str, str] = MappingProxyType({})) -> None:
        self.names = CLOUDTRAIL_TABLES | {*added, *mapped.values()}
        self._mapped = {_plain(source): table for source, table in mapped.items()}
        self._found = lru_cache(maxsize=4096)(self._look_up)

    def of(self, event_source: str) -> str:
        """Return the table: up to the first dot, `-` as `_`; `events` if there is none."""
        return self.known(event_source) or FALLBACK

    def known(self, event_source: str) -> str:
        """Return the table, "" if there is none."""
        return self._found(event_source) if len(event_source) <= _LONGEST_SOURCE else ""

    def _look_up(self, event_source: str) -> str:
        name = event_source.partition(".")[0].replace("-", "_")
        told = self._mapped.get(_plain(event_source)) or self._mapped.get(name)
        table = told or _IRREGULAR.get(name, name)
        return table if table in self.names else ""


def _plain(event_source: str) -> str:
    return event_source.replace("-", "_")


DEVO_TABLES = CloudTrailTables()
"""As Devo documents them."""


def level(value: str) -> str:
    """Return a value as one level of a tag: no dots, spaces or control characters; 1 to 64 characters."""
    return _UNSAFE.sub("_", value[: 2 * _LONGEST_LEVEL]).strip("_")[:_LONGEST_LEVEL] or _UNKNOWN


@lru_cache(maxsize=1024)
def place(key: str, account: str, region: str) -> tuple[str, str]:
    """Return account and region in an object's key, those given where it has none."""
    if found := _PLACE.search(key):
        return found[1], found[2]
    lake = _LAKE_PLACE.search(key)
    return (lake[2], lake[1]) if lake else (account, region)


class TagRule(Struct, frozen=True):
    """How a service's tags are made.

    template: with {event_type}, {account}, {region}. suffix: none, account_region or region_account: levels
    put after it. named: from an account's number to the name that stands in its place, "" = not known.
    """

    template: str
    suffix: str = "none"
    named: Callable[[str], str] | None = None

    @property
    def by_place(self) -> bool:
        """Whether account or region of an event matter."""
        return self.suffix != "none" or "{account}" in self.template or "{region}" in self.template

    def tag(self, event_type: str = FALLBACK, account: str = "", region: str = "") -> str:
        """Return the tag of an event."""
        if self.named and (name := level(self.named(account))) != _UNKNOWN:
            account = name
        return _tag(self.template, self.suffix, level(event_type), level(account), level(region))

    def tag_of_object(self, event_type: str, origin: Origin) -> str:
        """Return the tag of events of an object whose key may tell account and region."""
        if not self.by_place:
            return self.tag(event_type)
        return self.tag(event_type, *place(origin.object, origin.account, origin.region))


@lru_cache(maxsize=8192)
def _tag(template: str, suffix: str, event_type: str, account: str, region: str) -> str:
    made = template.format(event_type=event_type, account=account, region=region)
    if suffix != "none":
        ends = (account, region) if suffix == "account_region" else (region, account)
        made = ".".join((made, *ends))
    return made
