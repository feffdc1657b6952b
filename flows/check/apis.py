"""One harmless read of each API action that a service needs: AWS itself says what is not allowed.

What one read has brought (a detector, a metric, a log group) is what the next one asks with; where there is
nothing to ask with, the action stays unproven, and the line does not name it.
"""

from collections.abc import Iterator, Mapping

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from flows.catalogue.probe import Found, Probe, ProbeTarget
from flows.catalogue.service import Unit
from flows.check.finding import CheckContext, Finding, fail, ok, refusal, spread, warn
from flows.check.identities import arn, known_accounts
from flows.config.base import ServiceSettings
from sources.aws.account import required
from sources.aws.replies import call
from sources.errors import BadCredentials, SourceError, translate


class ApiQuestion(Struct, frozen=True):
    """What is read of which unit."""

    context: CheckContext
    unit: Unit
    target: ProbeTarget[ServiceSettings]

    @property
    def where(self) -> str:
        """For messages."""
        name = f"{self.unit.service.name} {self.target.part}".rstrip()
        return f"{name} in {self.target.region} ({self.unit.account.where})"


def apis(context: CheckContext) -> Iterator[Finding]:
    """Read from every API of every service and region."""
    known = {account.key for account in known_accounts(context)}
    asked = [
        ApiQuestion(
            context, unit, ProbeTarget(unit.options, region, context.now(), part, unit.account.account_id)
        )
        for unit in context.units
        if unit.service.probes and not unit.organization and unit.account.key in known
        for region in unit.options.regions
        for part in unit.service.parts(unit.options, region)
    ]
    return spread(service, asked)


def service(asked: ApiQuestion) -> Iterator[Finding]:
    """Read once from each API of a service in one region."""
    found, where = Found(), asked.where
    for probe in asked.unit.service.probes:
        parameters = probe.parameters(asked.target, found)
        if parameters is None:
            continue
        try:
            found[probe.action] = _ask(probe, asked, parameters)
        except BadCredentials as error:
            region = asked.target.region
            yield fail("region", error.what, where, f"is the region {region} switched on here?")
            return
        except SourceError as error:
            who = arn(asked.context, asked.unit.account)
            yield refusal(error, "api", probe.action, who, f"* in {asked.target.region}")
            return
        if not found[probe.action] and probe.none:
            yield warn("nothing_there", probe.none[0], where, probe.none[1])
        if told := probe.tell(asked.unit, found[probe.action]):
            yield warn(probe.finding, told[0], where, told[1])
    yield ok("api", f"allowed: {', '.join(found)}", where)


def _ask(probe: Probe[ServiceSettings], asked: ApiQuestion, parameters: Mapping[str, object]) -> list[object]:
    service, _, operation = probe.action.partition(":")
    client = asked.unit.account.client(service, asked.target.region)
    try:
        reply = call(client, operation, parameters)
    except (ClientError, BotoCoreError) as error:
        raise translate(error, asked.where, probe.action) from error
    return [one for one in required(reply, probe.key, asked.where) if probe.fits(asked.target, one)]
