"""What a call that receives ten messages costs in CPU, by each way tried: `python -m tests.bench.calls`."""

import http.client
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, HeadersDict
from botocore.config import Config

from sources.aws.botocore_internals import signing_credentials
from sources.aws.signed.calls import SignedCalls
from sources.aws.signed.signature import SignedRequest

CALLS, ROUNDS = 400, 5


def spent(ask: Callable[[], object]) -> float:
    """Return microseconds of CPU for one call."""
    ask()
    began = time.process_time()
    for _ in range(CALLS):
        ask()
    return (time.process_time() - began) / CALLS * 1e6


def ways(url: str) -> dict[str, Callable[[], object]]:
    client = boto3.client(
        "sqs",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=Config(parameter_validation=False),
    )
    asked = {"QueueUrl": f"{url}/123456789012/bench", "MaxNumberOfMessages": 10}
    calls, body = SignedCalls(client), orjson.dumps(asked)
    calls.call("ReceiveMessage", asked)
    way, session, keys = (
        calls._ways["ReceiveMessage"],
        client._endpoint.http_session,
        signing_credentials(client),
    )
    place, request = (
        urlsplit(url),
        SignedRequest("POST", way.host, way.path, "", way.headers, body, way.agent),
    )
    line = http.client.HTTPConnection(place.hostname, place.port)

    def signed() -> tuple[dict[str, str], bytes]:
        head, _, rest = calls._signer.signed(request, way.scope).partition(b"\r\n\r\n")
        return dict(one.split(": ", 1) for one in head.decode().split("\r\n")[1:]), rest

    def over_session() -> object:
        headers, rest = signed()
        request = AWSPreparedRequest("POST", url, HeadersDict(headers), rest, stream_output=False)
        return orjson.loads(session.send(request).content)

    def by_botocores_signer() -> object:
        request = AWSRequest("POST", url, data=body, headers=dict(way.headers))
        SigV4Auth(keys.get_frozen_credentials(), "sqs", "us-east-1").add_auth(request)
        return orjson.loads(session.send(request.prepare()).content)

    def over_http_client() -> object:
        headers, rest = signed()
        line.request("POST", "/", rest, headers)
        return orjson.loads(line.getresponse().read())

    return {
        "boto3": lambda: client.receive_message(**asked),
        "botocore's signer, botocore's session": by_botocores_signer,
        "own signature, botocore's session": over_session,
        "own signature, http.client": over_http_client,
        "SignedCalls over Wire": lambda: calls.call("ReceiveMessage", asked),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        port = Path(folder) / "port"
        total = str(10 * (CALLS + 2) * (ROUNDS + 1) * 6)
        command = [sys.executable, "-m", "tests.bench.cheap_aws", str(port), "--messages", total]
        server = subprocess.Popen(command)
        try:
            while not (port.exists() and port.read_text()):
                time.sleep(0.1)
            tried = ways(f"http://127.0.0.1:{port.read_text()}")
            found: dict[str, list[float]] = {name: [] for name in tried}
            for _ in range(ROUNDS):  # in turns: the machine's speed goes up and down
                for name, ask in tried.items():
                    found[name].append(spent(ask))
        finally:
            server.kill()
            server.wait()
    for name, costs in found.items():
        ratio = sorted(mine / theirs for mine, theirs in zip(costs, found["boto3"], strict=True))[ROUNDS // 2]
        sys.stdout.write(f"{name:40} {sorted(costs)[ROUNDS // 2]:6.0f} us  {ratio:5.0%} of boto3's\n")


if __name__ == "__main__":
    main()
