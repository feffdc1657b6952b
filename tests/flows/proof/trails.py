"""A CloudTrail that signs: digests hour by hour, as AWS writes them, and log files to go with them."""

import binascii
import gzip
import hashlib
import json
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from flows.proof.digests import DigestStored

ACCOUNT, TRAIL = "123456789012", "mine"
FIRST = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
FINGERPRINT = "f1"


@cache
def signer(name="cloudtrail"):
    """Return a key pair, made once: it takes long."""
    return rsa.generate_private_key(65537, 2048)


def public_key(name="cloudtrail") -> bytes:
    """Return a public key as ListPublicKeys has it."""
    return signer(name).public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)


def log_name(hour, number, region, below="") -> str:
    """Return the key of a log file that was delivered in the middle of an hour. below: `o-…/`."""
    at = FIRST + timedelta(hours=hour, minutes=30)
    folder = f"AWSLogs/{below}{ACCOUNT}/CloudTrail/{region}/{at:%Y/%m/%d}"
    return f"{folder}/{ACCOUNT}_CloudTrail_{region}_{at:%Y%m%dT%H%MZ}_{number:016}.json.gz"


def log_body(hour, number) -> bytes:
    """Return a log file's content, inflated."""
    event = {"eventVersion": "1.11", "eventName": f"Call{hour}x{number}", "eventSource": "s3.amazonaws.com"}
    return json.dumps({"Records": [event] * 3}).encode()


class Trail:
    """Digests of some hours, each naming two log files, chained and signed.

    objects: key → what is stored. names: keys of digests, by hour. logs: keys and contents, by hour.
    """

    def __init__(self, hours=5, bucket="trail", region="eu-west-1", below=""):
        self.bucket, self.region, self.below = bucket, region, below
        self.objects: dict[str, DigestStored] = {}
        self.names: list[str] = []
        self.logs = [
            {log_name(hour, number, region, below): log_body(hour, number) for number in range(2)}
            for hour in range(hours)
        ]
        self.signatures: list[str] = []
        for hour in range(hours):
            self.add(hour)

    @property
    def keys(self):
        return {FINGERPRINT: public_key()}

    def add(self, hour, *, before="last", key="cloudtrail", suffix="", metadata=None, **more):
        """Sign one hour's digest; returns its key. before: "last" or None. more: other content."""
        start, end = FIRST + timedelta(hours=hour), FIRST + timedelta(hours=hour + 1)
        at = self.names[:hour], self.signatures[:hour]
        previous, signature = (at[0][-1], at[1][-1]) if before and hour and at[0] else (None, None)
        name = (
            f"AWSLogs/{self.below}{ACCOUNT}/CloudTrail-Digest/{self.region}/{end:%Y/%m/%d}/"
            f"{ACCOUNT}_CloudTrail-Digest_{self.region}_{TRAIL}_{self.region}_{end:%Y%m%dT%H%M%SZ}{suffix}.json.gz"
        )
        logs = self.logs[hour] if hour < len(self.logs) else {}
        content = {
            "awsAccountId": ACCOUNT,
            "digestStartTime": f"{start:%Y-%m-%dT%H:%M:%SZ}",
            "digestEndTime": f"{end:%Y-%m-%dT%H:%M:%SZ}",
            "digestS3Bucket": self.bucket,
            "digestS3Object": name,
            "digestPublicKeyFingerprint": FINGERPRINT,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": None,
            "oldestEventTime": None,
            "previousDigestS3Bucket": self.bucket if previous else None,
            "previousDigestS3Object": previous,
            "previousDigestHashValue": None,
            "previousDigestHashAlgorithm": "SHA-256",
            "previousDigestSignature": signature,
            "logFiles": [
                {
                    "s3Bucket": self.bucket,
                    "s3Object": log,
                    "hashValue": hashlib.sha256(body).hexdigest(),
                    "hashAlgorithm": "SHA-256",
                }
                for log, body in logs.items()
            ],
            **more,
        }
        body = json.dumps(content).encode()
        digest = hashlib.sha256(body).hexdigest()
        text = "\n".join([content["digestEndTime"], f"{self.bucket}/{name}", digest, signature or "null"])
        hexed = binascii.hexlify(signer(key).sign(text.encode(), PKCS1v15(), SHA256())).decode()
        told = {"signature": hexed, "signature-algorithm": "SHA256withRSA", **(metadata or {})}
        self.objects[name] = DigestStored(gzip.compress(body), told)
        if not suffix:
            self.names[hour:hour], self.signatures[hour:hour] = [name], [hexed]
        return name

    def again(self, hour, **more):
        """Sign an hour's digest anew, in place of the one that was."""
        names, signatures = self.names[hour + 1 :], self.signatures[hour + 1 :]
        del self.names[hour:], self.signatures[hour:]
        self.add(hour, **more)
        self.names += names
        self.signatures += signatures
