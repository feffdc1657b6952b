"""Cisco Umbrella dns, ip and proxy logs."""

import gzip
import random

from tests.fakes.corpus.common import Event, Sample, hex_digits, ip, moment


def _umbrella_values(rng: random.Random, kind: str) -> list[str]:
    stamp = f"2026-01-02 03:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"
    who = rng.choice(["Zoë's laptop", "user@example.com", "AD Computer, Site"])
    if kind == "dns":
        name = f"{hex_digits(rng, 16)}.example.com."
        return [
            stamp,
            who,
            f"{who},Network",
            ip(rng),
            ip(rng),
            "Allowed",
            "1 (A)",
            "NOERROR",
            name,
            "News,Search",
        ]
    if kind == "ip":
        port = str(rng.randint(1, 65535))
        return [stamp, who, ip(rng), port, ip(rng), port, 'Unauthorized "IP" Tunnel', hex_digits(rng, 12)]
    url = f"https://example.com/{hex_digits(rng, 16)}?a=1,2"
    return [
        stamp,
        who,
        ip(rng),
        ip(rng),
        "",
        "",
        "ALLOWED",
        url,
        "",
        "Mozilla/5.0 (X11; Linux)",
        "200",
        "850",
    ]


def umbrella(rng: random.Random, number: int) -> Sample:
    """Return dns, ip or proxy lines as quoted CSV: commas and doubled quotes inside, no header."""
    kind = ("dns", "ip", "proxy")[number % 3]
    separator = '", "' if number % 7 == 6 else '","'  # a space before a quote: seen, and split wrongly by csv
    lines = []
    for _ in range(rng.randint(5, 100)):
        cells = [value.replace('"', '""') for value in _umbrella_values(rng, kind)]
        lines.append(f'"{separator.join(cells)}"'.encode())
    body = gzip.compress(b"".join(line + b"\n" for line in lines), 6, mtime=0)
    year, month, day, time = moment(number)
    stamp = f"{year}-{month}-{day}"
    prefix = ("", "1234567/", "umbrella+logs/org 1/")[number % 3]
    key = f"{prefix}{kind}logs/{stamp}/{stamp}-{time[:2]}-{time[2:]}-{hex_digits(rng, 4)}.csv.gz"
    tag = f"sig.cisco.umbrella.{kind}"
    return Sample("cisco-umbrella", key, body, tuple(Event(tag, tag, line) for line in lines))
