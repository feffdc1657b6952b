"""Every place that a machine gets AWS credentials from, as documented, and an AWS that knows good keys.

/latest/…               instance metadata (EC2 user guide, "Retrieve security credentials from instance
                        metadata", "How IMDSv2 works"): token by PUT; without one 401 where v1 is off
/v2/credentials/ID      ECS's agent (developer guide, "Task IAM role")
/v1/credentials         EKS Pod Identity's agent (SDK reference, "Container credential provider"): the token
                        of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE as Authorization
/federation/credentials IAM Identity Center's portal API, GetRoleCredentials
POST /                  STS (AssumeRole, AssumeRoleWithWebIdentity, GetCallerIdentity) and CloudTrail's
                        LookupEvents, two events a page
"""

import json
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

ACCOUNT = "123456789012"
ROLE = "collector"
_XML = '<{api}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{api}Result>{body}</{api}Result></{api}Response>'
_FAULT = (
    '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
    "<Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
)
PAGE = 2
NAMES = ("AccessKeyId", "SecretAccessKey", "Token")


class Endpoints:
    """The server, and what a test may switch.

    serving: whether the places that give credentials have any. refusing: an HTTP status that they answer
    instead (denied). metadata: "v1", "v2" (v1 is off) or "hop" (the answer to the token's PUT is lost).
    verdict: what AWS says to any key, "" = by the key. off: regions that are not enabled. date_ahead: seconds
    by which its clock is ahead of this machine's. token: what the web identity or the pod must show.
    """

    def __init__(self) -> None:
        self.serving, self.refusing = True, 0
        self.metadata, self.token, self.sso_token = "v2", "token-1", "sso-1"
        self.verdict = ""
        self.good: set[str] = set()
        self.expired: set[str] = set()
        self.events: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.off: set[str] = set()
        self.date_ahead = 0.0
        self.mid_page = False
        self._number = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(_Handler):
            world = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"
        self.rotate()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def rotate(self, *, over: str = "InvalidClientTokenId") -> None:
        """Let every place give other keys from now on; those of before are unknown, or expired (`over`)."""
        with self._lock:
            self._number += 1
            if over == "ExpiredToken":
                self.expired |= self.good
            self.good = {self.key}

    @property
    def key(self) -> str:
        """The access key that is good now."""
        return f"ASIA{self._number:016d}"

    def keys(self, *names: str) -> dict[str, str]:
        """Return the good keys under the three names that a place gives them."""
        values = (self.key, "secret", "a-session-token")
        return {**dict(zip(names or NAMES, values, strict=True)), "Expiration": stamp(hours=6)}

    def said_of(self, key: str) -> str:
        """Return the error code that AWS has for a key, "" when it is good."""
        if self.verdict:
            return self.verdict
        if key in self.good:
            return ""
        return "ExpiredTokenException" if key in self.expired else "UnrecognizedClientException"


def stamp(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Handler(BaseHTTPRequestHandler):
    world: Endpoints
    protocol_version = "HTTP/1.1"

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.world.date_ahead)

    def log_message(self, *_: object) -> None: ...

    def _send(self, status: int, body: str | bytes, kind: str = "application/json") -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_PUT(self) -> None:
        self.world.asked.append("PUT token")
        if self.world.metadata == "hop":
            time.sleep(1.3)  # longer than anybody waits for it
            self.close_connection = True
        elif self.world.metadata == "v1":
            self._send(404, "")
        else:
            self._send(200, "a-metadata-token", "text/plain")

    def do_GET(self) -> None:
        world, path = self.world, urlsplit(self.path).path
        world.asked.append(path)
        if world.refusing:
            self._send(world.refusing, '{"message":"refused"}')
        elif path.startswith("/latest/meta-data/iam/security-credentials/"):
            self._metadata(path.rpartition("/")[2])
        elif not world.serving:
            self._send(404, '{"message":"none"}')
        elif path.startswith("/v2/credentials/"):
            self._send(200, json.dumps({"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/{ROLE}", **world.keys()}))
        elif path == "/v1/credentials":
            known = self.headers.get("Authorization") == world.token
            body = {"AccountId": ACCOUNT, **world.keys()} if known else {"message": "Token expired"}
            self._send(200 if known else 401, json.dumps(body))
        elif path == "/federation/credentials":
            self._portal()
        else:
            self._send(404, "")

    def _metadata(self, role: str) -> None:
        world = self.world
        if world.metadata == "v2" and self.headers.get("x-aws-ec2-metadata-token") != "a-metadata-token":
            self._send(401, "")
            return
        if not world.serving:
            self._send(404, "")
        elif not role:
            self._send(200, ROLE, "text/plain")
        else:
            more = {"Code": "Success", "LastUpdated": stamp(), "Type": "AWS-HMAC"}
            self._send(200, json.dumps({**more, **world.keys()}))

    def _portal(self) -> None:
        if self.headers.get("x-amz-sso_bearer_token") != self.world.sso_token:
            self.send_response(401)
            self.send_header("x-amzn-ErrorType", "UnauthorizedException")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        keys = self.world.keys("accessKeyId", "secretAccessKey", "sessionToken")
        del keys["Expiration"]
        self._send(
            200, json.dumps({"roleCredentials": keys | {"expiration": int(time.time() + 3600) * 1000}})
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        key = found[1] if found else ""
        if "LookupEvents" in self.headers.get("X-Amz-Target", ""):
            self._lookup(json.loads(body), key)
        else:
            self._sts({name: one[0] for name, one in parse_qs(body.decode()).items()}, key)

    def _sts(self, asked: dict[str, str], key: str) -> None:
        world, api = self.world, asked["Action"]
        world.asked.append(api)
        if api == "GetCallerIdentity":
            code = world.said_of(key)
            arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/session"
            known = f"<Arn>{arn}</Arn><UserId>A:session</UserId><Account>{ACCOUNT}</Account>"
            code = "" if code.startswith("AccessDenied") else code  # it needs no permission
            self._answer(api, known, code.removesuffix("Exception"))
            return
        if world.refusing:
            self._answer(api, "", "AccessDenied")
        elif not world.serving:
            self._answer(api, "", "IDPCommunicationError" if "WebIdentity" in api else "AccessDenied")
        elif api == "AssumeRoleWithWebIdentity" and asked["WebIdentityToken"] != world.token:
            self._answer(
                api, "", "ExpiredTokenException" if asked["WebIdentityToken"] else "InvalidIdentityToken"
            )
        else:
            keys = world.keys("AccessKeyId", "SecretAccessKey", "SessionToken")
            told = "".join(f"<{name}>{value}</{name}>" for name, value in keys.items())
            user = (
                f"<AssumedRoleUser><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/s</Arn></AssumedRoleUser>"
            )
            self._answer(api, f"<Credentials>{told}</Credentials>{user}", "")

    def _answer(self, api: str, body: str, code: str) -> None:
        if code:
            self._send(403, _FAULT.format(code=code, message=f"refused: {code}"), "text/xml")
        else:
            self._send(200, _XML.format(api=api, body=body), "text/xml")

    def _lookup(self, asked: dict[str, Any], key: str) -> None:
        world = self.world
        token = int(asked.get("NextToken", 0))
        if token and world.mid_page:
            world.mid_page = False
            world.rotate(over="ExpiredToken")
        region = self.headers.get("Authorization", "//").split("/")[2]
        code = "UnrecognizedClientException" if region in world.off else world.said_of(key)
        if code:
            message = f"refused: {code}"
            if code == "AccessDeniedException":
                who = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE}/session"
                message = (
                    f"User: {who} is not authorized to perform: cloudtrail:LookupEvents because no "
                    "identity-based policy allows the cloudtrail:LookupEvents action"
                )
            self._send(400, json.dumps({"__type": code, "message": message}), "application/x-amz-json-1.1")
            return
        found = [one for one in world.events if asked["StartTime"] <= one["EventTime"] <= asked["EndTime"]]
        found.sort(key=lambda one: -one["EventTime"])
        reply: dict[str, Any] = {"Events": found[token : token + PAGE]}
        if token + PAGE < len(found):
            reply["NextToken"] = str(token + PAGE)
        self._send(200, json.dumps(reply), "application/x-amz-json-1.1")
