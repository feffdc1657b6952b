"""The APIs of the demo that ministack lacks: CloudTrail's LookupEvents and GuardDuty's findings."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from msgspec import Struct, field

from flows.demo.wire import Reply, WireRequest, error_reply, operation

DETECTOR = "12abc34d567e8fa901bc2d34e56789f0"
_PAGE = 50


class DemoApis(Struct):
    """What these APIs have to tell, put in before they are asked; each thing in the words of the wire.

    audits: the events of LookupEvents, by category. findings: GuardDuty's.
    """

    audits: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, request: WireRequest) -> Reply:
        """Answer one request as AWS would."""
        op = operation(request.method, request.target, request.small, request.body)
        asked = orjson.loads(request.body or b"{}")
        match op:
            case "cloudtrail.LookupEvents":
                found = _page(asked, "Events", "NextToken", self._looked_up(asked))
            case "guardduty.ListDetectors":
                found = {"detectorIds": [DETECTOR]}
            case "guardduty.ListFindings":
                found = _page(asked, "findingIds", "nextToken", self._listed(asked))
            case "guardduty.GetFindings":
                wanted = set(asked["findingIds"])
                found = {"findings": [one for one in self.findings if one["id"] in wanted]}
            case _:
                return error_reply(op.partition(".")[0], 400, "UnknownOperationException", op)
        return Reply(200, (("Content-Type", "application/x-amz-json-1.1"),), orjson.dumps(found))

    def _looked_up(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the events of a category and a time (epoch seconds, both ends included), newest first."""
        told = self.audits.get(asked.get("EventCategory", "management"), ())
        found = [one for one in told if asked["StartTime"] <= one["EventTime"] <= asked["EndTime"]]
        return sorted(found, key=lambda one: one["EventTime"], reverse=True)

    def _listed(self, asked: Mapping[str, Any]) -> list[str]:
        """Return the ids of the findings that were updated within a time (epoch ms), in this order."""
        within = asked["findingCriteria"]["criterion"]["updatedAt"]
        start, end = within["greaterThanOrEqual"], within.get("lessThan", float("inf"))
        times = [
            (round(datetime.fromisoformat(one["updatedAt"]).timestamp() * 1000), one["id"])
            for one in self.findings
        ]
        return [key for at, key in sorted(times) if start <= at < end]


def _page(asked: Mapping[str, Any], name: str, token: str, items: Sequence[Any]) -> dict[str, Any]:
    """Return one page, and where the next one begins."""
    start = int(asked.get(token) or 0)
    more = {token: str(start + _PAGE)} if start + _PAGE < len(items) else {}
    return {name: items[start : start + _PAGE], **more}
