"""CloudFront standard logs."""

import gzip
import random

from tests.fakes.corpus.common import Event, Sample, hex_digits, ip, moment

_CLOUDFRONT_FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) "
    "cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol "
    "cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type "
    "cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte "
    "x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end"
)


def _cloudfront_line(rng: random.Random) -> bytes:
    values = [
        "2026-01-02",
        f"03:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}",
        rng.choice(["FRA56-P1", "IAD89-C1"]),
        str(rng.randint(100, 1 << 24)),
        ip(rng),
        rng.choice(["GET", "POST"]),
        "d111111abcdef8.cloudfront.net",
        rng.choice(["/index.html", "/caf%25C3%25A9", "/#fragment", "/a%20b"]),
        rng.choice(["200", "304", "404"]),
        "-",
        "Mozilla/5.0%20(X11;%20Linux)",
        "q=%2B1&x=" + hex_digits(rng, 8),
        "-",
        rng.choice(["Hit", "Miss", "Error"]),
        hex_digits(rng, 40) + "==",
        "www.example.com",
        "https",
        str(rng.randint(100, 3000)),
        f"{rng.random():.3f}",
        rng.choice(["-", "10.3.200.121,\\x2010.56.14.213"]),
        "TLSv1.3",
        "TLS_AES_128_GCM_SHA256",
        "Hit",
        "HTTP/2.0",
        "-",
        "-",
        str(rng.randint(1024, 65535)),
        f"{rng.random():.3f}",
        "Hit",
        "text/html",
        str(rng.randint(1, 100_000)),
        "-",
        "-",
    ]
    return "\t".join(values).encode()


def cloudfront(rng: random.Random, number: int) -> Sample:
    """Return a standard log of 33 fields with its two comment lines."""
    lines = [_cloudfront_line(rng) for _ in range(0 if number % 50 == 9 else rng.randint(5, 80))]
    head = [b"#Version: 1.0", f"#Fields: {_CLOUDFRONT_FIELDS}".encode()]
    body = gzip.compress(b"".join(line + b"\n" for line in [*head, *lines]), 6, mtime=0)
    year, month, day, time = moment(number)
    prefix = ("", "cdn/", "cdn logs/a=b/")[number % 3]
    key = f"{prefix}E2EXAMPLE{number % 7}.{year}-{month}-{day}-{time[:2]}.{hex_digits(rng, 8)}.gz"
    tags = ("cloud.aws.cloudfront.unknown", "cloud.aws.cloudfront.web_1")
    return Sample("cloudfrontlogs", key, body, tuple(Event(*tags, line) for line in lines))
