"""Accounts of an organization: one line for each that is not as it should be, and one for all others.

Each account is asked for its regions, and in one of them for what each service needs: a dozen calls, eight
accounts at once. AWS counts calls by account, so no rate of it is near but that of STS.
"""

from collections.abc import Iterator
from functools import partial

from msgspec.structs import replace

from flows.catalogue.probe import ProbeTarget
from flows.catalogue.service import Unit
from flows.check.apis import ApiQuestion, service
from flows.check.finding import CheckContext, Finding, Level, fail, of_error, ok, spread
from flows.check.identities import known_accounts
from sources.errors import SourceError
from sources.organization.directory import Directory, KnownAccount
from sources.refusals import ORGANIZATION_POLICY

_MOST_REGIONS = 4
"""Asked in an account where a service control policy denies one, which ListRegions shows enabled."""


def organizations(context: CheckContext) -> Iterator[Finding]:
    """Look into every account of every input's organization."""
    known = {account.key for account in known_accounts(context)}
    units: dict[str, list[Unit]] = {}
    directories: dict[str, Directory] = {}
    for unit in context.units:
        if unit.organization and unit.account.key in known:
            units.setdefault(unit.account.key, []).append(unit)
            directories[unit.account.key] = unit.organization.directory
    for key, directory in directories.items():
        yield from _organization(context, directory, units[key])


def _organization(context: CheckContext, directory: Directory, units: list[Unit]) -> Iterator[Finding]:
    where = directory.base.where
    try:
        members = directory.members()
        for unit in units:
            if unit.service.administered:
                directory.administrators(unit.service.administered.principal)
    except SourceError as error:
        yield of_error("organization", error)
        return
    active = [one for one in members if one.about.active]
    wrong = list(spread(partial(_account, context, directory, units), active))
    yield from wrong
    rest = f", {len(members) - len(active)} are suspended and rest" if len(members) > len(active) else ""
    yield ok("organization", f"{len(active) - len(wrong)} of {len(active)} accounts are well{rest}", where)


def _account(
    context: CheckContext, directory: Directory, units: list[Unit], member: KnownAccount
) -> Iterator[Finding]:
    """Yield one line about an account when anything is wrong with it."""
    where = f"account {member.about.number} ({member.about.name}), {directory.base.where}"
    try:
        regions = directory.regions_of(member)
    except SourceError as error:
        yield fail("organization", error.what, where, error.hint)
        return
    found = [one for unit in units for one in _unit(context, unit, member, regions)]
    wrong = sorted((one for one in found if one.level is not Level.OK), key=lambda one: one.level)
    if wrong:
        what = "; ".join(dict.fromkeys(one.what for one in wrong))
        yield Finding(wrong[0].level, "organization", what, where, wrong[0].hint)


def _unit(context: CheckContext, unit: Unit, member: KnownAccount, regions: tuple[str, ...]) -> list[Finding]:
    """Ask in one region, at home where the account has it; where a policy denies that one, in others."""
    wanted, home = unit.organization.regions if unit.organization else None, unit.account.link.home
    own = replace(unit, account=member.identity)
    found: list[Finding] = []
    asked = [one for one in regions if wanted is None or one in wanted]
    asked = sorted(asked, key=lambda one: one != home)[:_MOST_REGIONS]
    for region in asked:
        found = [
            one
            for part in unit.service.parts(unit.options, region)
            for target in [ProbeTarget(unit.options, region, context.now(), part, member.about.number)]
            for one in service(ApiQuestion(context, own, target))
        ]
        if not any(ORGANIZATION_POLICY in one.what for one in found):
            return found
    several = f"in each of {len(asked)} regions that were asked: " if len(asked) > 1 else ""
    return [one if one.level is Level.OK else replace(one, what=f"{several}{one.what}") for one in found]
