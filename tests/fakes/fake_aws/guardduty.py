"""GuardDuty's findings, which moto lacks: criteria, order, pages, updates in place."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from operator import ge, gt, le, lt
from typing import Any

from tests.fakes.fake_aws.core import (
    ACCOUNT,
    CLOCK,
    LOCK,
    REGION,
    Request,
    attached,
    install,
    page_of,
    refuse,
    signature,
)

Findings = dict[str, dict[str, Any]]
_LIMITS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqual": ge,
    "Gte": ge,
    "GreaterThan": gt,
    "Gt": gt,
    "LessThanOrEqual": le,
    "Lte": le,
    "LessThan": lt,
    "Lt": lt,
}
_SAMPLES = ("Recon:EC2/Portscan", "UnauthorizedAccess:IAMUser/ConsoleLogin")


def list_detectors(request: Request) -> dict[str, Any]:
    """Serve one page of detector ids; the token is "" at the end, as AWS has it."""
    ids = list(_detectors(request.account, request.region))
    size, token = request.get("MaxResults", 50), request.get("NextToken")
    page, following = page_of("ListDetectors", ids, size, token, "", "BadRequestException")
    return {"DetectorIds": page, "NextToken": following or ""}


def list_findings(request: Request) -> dict[str, Any]:
    """Serve one page of finding ids; the token is "" at the end, as AWS has it."""
    findings = _findings(request)
    size = request.get("MaxResults", 50)
    if not 1 <= size <= 50:
        raise refuse("BadRequestException", "The request is rejected because maxResults is out of range.")
    criterion = request.get("FindingCriteria", {}).get("Criterion") or {}
    order = request.get("SortCriteria", {})
    by = order.get("AttributeName") or "updatedAt"
    found = [one for one in findings.values() if _matches(one, criterion)]
    found.sort(key=lambda one: (_value(one, by) or 0, one["Id"]), reverse=order.get("OrderBy") == "DESC")
    bound = signature(request, "DetectorId", "FindingCriteria", "SortCriteria")
    token = request.get("NextToken")
    page, following = page_of("ListFindings", found, size, token, bound, "BadRequestException")
    return {"FindingIds": [one["Id"] for one in page], "NextToken": following or ""}


def get_findings(request: Request) -> dict[str, Any]:
    """Serve findings by id as they are now; unknown ids are left out."""
    findings, ids = _findings(request), request.get("FindingIds", [])
    if not 1 <= len(ids) <= 50:
        raise refuse("BadRequestException", "The request is rejected: number of findingIds out of range.")
    return {"Findings": [findings[one] for one in ids if one in findings]}


def create_sample_findings(request: Request) -> dict[str, Any]:
    """Make one finding per type asked for."""
    _findings(request)
    samples = [
        {"Type": kind, "Title": f"[SAMPLE] {kind}"} for kind in request.get("FindingTypes") or _SAMPLES
    ]
    put_findings(request.params["DetectorId"], samples, request.account, request.region)
    return {}


def put_findings(
    detector_id: str, findings: Iterable[Mapping[str, Any]], account: str = ACCOUNT, region: str = REGION
) -> list[str]:
    """Add findings, or update those whose `Id` exists: UpdatedAt moves, Service.Count grows. Returns ids.

    UpdatedAt: ISO 8601 with milliseconds and Z, now when not given.
    """
    with LOCK:
        store = attached(_detectors(account, region)[detector_id], Findings)
        made = []
        for given in findings:
            finding = _finding(given, store, detector_id, account, region)
            store[finding["Id"]] = finding
            made.append(finding["Id"])
    return made


def _finding(
    given: Mapping[str, Any], store: Findings, detector: str, account: str, region: str
) -> dict[str, Any]:
    now = datetime.fromtimestamp(CLOCK.now(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    updated, name = given.get("UpdatedAt", now), given.get("Id") or uuid.uuid4().hex
    old = store.get(name)
    arn = f"arn:aws:guardduty:{region}:{account}:detector/{detector}/finding/{name}"
    service = {
        "Archived": False,
        "Count": old["Service"]["Count"] + 1 if old else 1,
        "DetectorId": detector,
        "EventFirstSeen": old["Service"]["EventFirstSeen"] if old else updated,
        "EventLastSeen": updated,
        "ResourceRole": "TARGET",
        "ServiceName": "guardduty",
    }
    return {
        "AccountId": account,
        "Arn": arn,
        "CreatedAt": old["CreatedAt"] if old else given.get("CreatedAt", updated),
        "Description": "An instance is being probed.",
        "Partition": "aws",
        "Region": region,
        "Resource": {"ResourceType": "Instance"},
        "SchemaVersion": "2.0",
        "Severity": 5.0,
        "Title": given.get("Type", "Portscan"),
        "Type": "Recon:EC2/Portscan",
        **given,
        "Id": name,
        "Service": {**service, **given.get("Service", {})},
        "UpdatedAt": updated,
    }


def _detectors(account: str, region: str) -> dict[str, Any]:
    from moto.guardduty.models import guardduty_backends  # noqa: PLC0415 - moto is slow to import

    found: dict[str, Any] = guardduty_backends[account][region].detectors
    return found


def _findings(request: Request) -> Findings:
    detector = _detectors(request.account, request.region).get(request.params["DetectorId"])
    if detector is None:
        raise refuse(
            "BadRequestException",
            "The request is rejected because the input detectorId is not owned by the current account.",
        )
    return attached(detector, Findings)


def _value(finding: Mapping[str, Any], criterion: str) -> Any:
    """Return a finding's value under a criterion's name: `updatedAt`, `severity`, `service.archived`."""
    value: Any = finding
    for part in criterion.split("."):
        value = value.get(part[0].upper() + part[1:]) if isinstance(value, Mapping) else None
    if criterion in {"updatedAt", "createdAt"} and value:
        return round(datetime.fromisoformat(value).timestamp() * 1000)
    return value


def _matches(finding: Mapping[str, Any], criterion: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(_meets(_value(finding, name), condition) for name, condition in criterion.items())


def _meets(value: Any, condition: Mapping[str, Any]) -> bool:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    equal = condition.get("Equals") or condition.get("Eq")
    unequal = condition.get("NotEquals") or condition.get("Neq")
    if (equal and text not in equal) or (unequal and text in unequal):
        return False
    limits = [(_LIMITS[name], limit) for name, limit in condition.items() if name in _LIMITS]
    return all(value is not None and holds(float(value), float(limit)) for holds, limit in limits)


def extend() -> None:
    """Install the extension in moto, with the paths that it lacks."""
    from moto.guardduty import urls  # noqa: PLC0415 - moto is slow to import
    from moto.guardduty.responses import GuardDutyResponse  # noqa: PLC0415

    install(
        GuardDutyResponse,
        "guardduty",
        list_detectors,
        list_findings,
        get_findings,
        create_sample_findings,
    )
    for tail in ("findings", "findings/get", "findings/create"):
        path = "{0}/detector/(?P<detector_id>[^/]+)/" + tail + "$"
        urls.url_paths[path] = GuardDutyResponse.dispatch
