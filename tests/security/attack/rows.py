"""The attacks A1 to A15: what anybody can do who may write to a queue, a bucket, a log, or reach a port."""

import gzip
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.fakes.collector import ROOT
from tests.fakes.process import HOST
from tests.security import bombs, hostile_parquet
from tests.security.attack.world import CUT, Honest, World, event, notice, record

FORGED = "<14>Jan  1 00:00:00 bank auth.unix.forged: FORGED-TAG accepted password for root"
Attack = Callable[[World, Honest], str | None]
SQS_MOST = 262_144


def trust(world: World, _honest: Honest) -> None:
    """A1: notices of other people's buckets, access points, partitions."""
    mine = world.buckets["audits_s3"]
    names = (
        "finance-secrets", "arn:aws:s3:us-east-1:123456789012:accesspoint/finance", "finance-s3alias",
        "arn:aws:s3-object-lambda:us-east-1:123456789012:accesspoint/o", "finance--ol-s3", "x.mrap",
        f"{mine}/../finance-secrets", f"{mine}?x=", f"{mine}#", mine.upper(), "", None, 7,
        ["finance-secrets"],
    )  # fmt: skip
    for region in ("us-east-1", "cn-north-1", "us-gov-west-1", "eu-west-1"):
        for name in names:
            world.send("audits_s3", notice(name, "salaries.csv", region))
    trail = {"s3Bucket": "finance-secrets", "s3ObjectKey": ["salaries.csv", "../salaries.csv"]}
    world.send("audits_s3", json.dumps({"Type": "Notification", "Message": json.dumps(trail)}))
    world.send("audits_s3", json.dumps(trail))


def parquet(world: World, _honest: Honest) -> None:
    """A2: Parquet objects of a few bytes that stand for gigabytes, in any type."""
    for name, (layout, _, make) in bombs.BOMBS.items():
        if layout == "parquet":
            world.put("parquet", f"bomb/{name}", b"".join(make()))
    for seed in range(8):
        world.put("parquet", f"seed/{seed}", hostile_parquet.hostile(seed))
    world.put("flowlogs", "repeating.parquet", hostile_parquet.repeating(20_000, 20_000))


def regions(world: World, _honest: Honest) -> None:
    """A3: one message with 2,400 invented regions."""
    mine = world.buckets["flowlogs"]
    found = [record(mine, f"k{n}", f"xx-{n:04}-1") for n in range(2400)]
    world.send("flowlogs", json.dumps({"Records": found[: SQS_MOST // len(json.dumps(found[0]) + ", ")]}))
    for n in range(200):
        world.send("flowlogs", notice(mine, f"k{n}", f"eu-west-{n}"))


def denied(world: World, _honest: Honest) -> None:
    """A4: notices of what may not be read, and of wrong sizes."""
    world.proxy.add("error", op="s3.GetObject", path="/denied", code="AccessDenied", status=403)
    world.proxy.add("latency", op="s3.GetObject", path="/denied", seconds=0.5)
    for number in range(60):
        world.send("flowlogs", notice(world.buckets["flowlogs"], f"denied/{number}", size=10))
    world.put("flowlogs", "size/real", b"2 1 eni 1 1 1 1 1 1 1 1 1 ACCEPT OK\n")
    for size in (0, -1, 1 << 62, "many", None, 3.5):
        world.send("flowlogs", notice(world.buckets["flowlogs"], "size/real", size=size))


def many_keys(world: World, _honest: Honest) -> None:
    """A5: messages that name as many objects as fit into them."""
    trail = {"s3Bucket": world.buckets["audits_s3"], "s3ObjectKey": []}
    room = SQS_MOST - len(json.dumps(trail)) - 2000
    for size in (1, *[8] * 32):
        keys = [f"{n:x}"[:size] for n in range(room // (size + 4))]
        world.send("audits_s3", json.dumps({**trail, "s3ObjectKey": keys}))


def premature(_world: World, honest: Honest) -> None:
    """A6: a notice that comes before its object, with the right etag."""
    for _ in range(3):
        honest.premature(2.0)


def disk(world: World, _honest: Honest) -> str:
    """A7: what fills quarantine, and the temporary folder."""
    broken = b'{"Records":[' + b'{"a":"c:\\q"},' * 20_000 + b"{}]}"
    for number in range(4):
        world.put("audits_s3", f"broken/{number}", gzip.compress(broken))
    for number in range(60):
        world.send("events", f"{number} no event" + "x" * (SQS_MOST - 100))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("log", os.urandom(9 << 20))
    for number in range(24):
        world.put("flowlogs", f"spool/{number}.zip", out.getvalue() + bytes(number))
        world.put(
            "parquet", f"spool/{number}.gz", gzip.compress(b"PAR1" + bytes(600 << 20), 1)
        ) if number < 3 else None
    return "quarantine bound 64 MiB, spool 1 GiB"


def cut(world: World, _honest: Honest) -> None:
    """A8: events that a receiver would cut, and that hold what would come of it."""
    head = len(b"<14>Jan  1 00:00:00 attacked cloud.aws.cloudtrail.forged.x: ")
    for at in (*range(CUT - head - 64, CUT + 1, 8), 64 << 10, 100 << 10):
        body = {"eventSource": "s3.amazonaws.com", "userAgent": "x" * at + FORGED}
        world.put("audits_s3", f"cut/{at}", json.dumps({"Records": [body]}).encode())
        world.send("events", event(text="y" * at + FORGED))
        world.put("flowlogs", f"cut/{at}", b"z" * at + FORGED.encode() + b"\n")
    for end in (b"\r", b"\0", b"\v", b"\f", b"\x1c", b"\x85", "\u2028".encode()):
        world.put("flowlogs", f"end/{end.hex()}", b"a" + end + FORGED.encode() + b"\n")
        world.put(
            "cisco-umbrella", f"dnslogs/end/{end.hex()}.csv", b'"a","b' + end + FORGED.encode() + b'"\n'
        )


def forged_log(world: World, _honest: Honest) -> None:
    """A9: lines of the collector's own log, by keys, headers, bodies, lone surrogates."""
    line = '\n{"time":"2026-01-01T00:00:00Z","level":"info","event":"forged"}\n'
    mine = world.buckets["audits_s3"]
    for text in (
        line,
        "\x1b[2J" + line,
        "\ud800" + line,
        "\u2028" + line,
        "%0A%7B%22event%22%3A%22forged%22%7D",
    ):
        with suppress(ValueError):
            world.send("audits_s3", notice(mine, text))
        world.send("audits_s3", json.dumps({"Records": [{text: text, "s3": {text: text}}]}))
        world.send("audits_s3", notice(mine, f"gone{text}", text))
        world.send(
            "events", json.dumps({"detail-type": text, "source": text, "region": text, "account": text})
        )
        rows = ["a,b" + line.replace("\n", "\r"), f'"{text}'] if text.isprintable() else [line]
        world.put("cisco-umbrella", f"dnslogs/{len(text)}.csv", "\n".join(rows).encode(errors="replace"))


def shapes(world: World, _honest: Honest) -> None:
    """A10: nesting, CR, look-alike columns, names of megabytes."""
    for deep in (900, 974, 1000, 5000, 100_000):
        for name, (left, right) in {"array": ("[", "]"), "object": ('{"a":', "}")}.items():
            body = f'{{"logs":[{left * deep}1{right * deep}]}}'.encode()
            world.put("json", f"deep/{name}/{deep}", body)
            world.put("audits_s3", f"deep/{name}/{deep}", body.replace(b"logs", b"Records"))
            if len(body) < SQS_MOST - 200:
                world.send("events", f'{{"detail":{left * deep}1{right * deep}}}')
    names = ",".join(f"c{n}" for n in range(100_000))
    world.put("cisco-umbrella", "dnslogs/wide.csv", f"{names}\n{names}\n".encode())
    for number in range(40):
        source = {
            "eventSource": f"{number}" + "s" * 900_000,
            "eventName": "e" * 1000,
            "awsRegion": "r" * 1000,
        }
        world.put("audits_s3", f"source/{number}", gzip.compress(json.dumps({"Records": [source]}).encode()))
    many = [{"eventSource": f"s{n}.amazonaws.com", "id": n} for n in range(20_000)]
    world.put("audits_s3", "sources", gzip.compress(json.dumps({"Records": many}).encode()))


_SMUGGLED = b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n"


def ports(world: World, _honest: Honest) -> str:
    """A11: slow clients of the status port, half requests, other names."""
    ended = threading.Event()

    def drip() -> None:
        while not ended.is_set():
            with suppress(OSError), socket.create_connection((HOST, world.status), 1) as client:
                for byte in b"GET /status HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1000:
                    client.send(bytes([byte]))
                    if ended.wait(0.3):
                        return

    clients = [threading.Thread(target=drip, daemon=True) for _ in range(32)]
    for one in clients:
        one.start()
    time.sleep(4)
    told = [
        f"{host}: {_answer(world.status, host)}"
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:3030", "a." * 2500)
    ]
    for raw in (
        b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n" + _SMUGGLED,
        b"GET http://evil.example/status HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"X" * 1_000_000,
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
    ):
        with suppress(OSError), socket.create_connection((HOST, world.status), 1) as client:
            client.settimeout(1)
            client.sendall(raw)
            client.recv(1000)
    ended.set()
    assert not [one for one in told if one.endswith(": 200")], told
    return ""


def _answer(port: int, host: str) -> int:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.putrequest("GET", "/status.json", skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def cluster(world: World, _honest: Honest) -> str:
    """A12: a cluster whose port others reach does not start; this collector listens for probes alone."""
    code = _refused(
        world,
        {"BYTEWAX_ADDRESSES": "0.0.0.0:9999;10.0.0.2:9999", "BYTEWAX_PROCESS_ID": "0"},
        world.folder / "another",
    )
    assert "whoever reaches this port runs code" in code, code
    listening = _listening(world.collector.pid)
    assert listening == {world.status}, listening
    return ""


def _listening(pid: int) -> set[int]:
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            sockets.add(str(descriptor.readlink()))
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    ]
    return {
        int(row[1].rpartition(":")[2], 16)
        for row in rows
        if row[3] == "0A" and f"socket:[{row[9]}]" in sockets
    }


def _refused(world: World, env: dict[str, str], state: Path) -> str:
    """Return what a second collector says that must not start."""
    config = str(world.collector.folder / "config.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "flows", "run", "--config", config, "--state", str(state)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "AWS_ENDPOINT_URL": world.aws.url, **env},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode in (1, 2), (done.returncode, done.stderr[-500:])
    return done.stderr


def state(world: World, _honest: Honest) -> str:
    """A13: a state that others may write, a link in its place."""
    folder = world.folder / "foreign"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    said = [_refused(world, {}, folder)]
    folder.chmod(0o700)
    link = world.folder / "link"
    with suppress(FileExistsError):
        link.symlink_to(folder)
    said.append(_refused(world, {}, link))
    mode = world.collector.state.stat().st_mode & 0o777
    assert mode == 0o700, oct(mode)
    assert all("Traceback" not in one for one in said), said
    return ""


def slow(world: World, _honest: Honest) -> None:
    """A14: bodies that drip, windows of gigabytes, objects at 500 to 1."""
    world.proxy.add("drip", op="s3.GetObject", path="/drip", seconds=1.0, size=64)
    world.proxy.add("stall", op="s3.GetObject", path="/stall", times=8)
    for number in range(24):
        world.put("flowlogs", f"drip/{number}", b"x y\n" * 10_000)
    world.proxy.add("drip", op="s3.GetObject", path="/steady", seconds=0.05, size=64)
    for number in range(40):
        world.put("flowlogs", f"steady/{number}", b"x y\n" * 250_000)
    for number in range(8):
        world.put("flowlogs", f"stall/{number}", b"x y\n" * 10_000)
    for log in (23, 26, 27, 31):
        world.put("flowlogs", f"window/{log}", bombs.zstd_window(log))
    for number in range(4):
        world.put("flowlogs", f"dense/{number}", b"".join(bombs.gzipped(b"v" * 4000 + b"\n", 25_000)))
    for name, (layout, _, make) in bombs.BOMBS.items():
        if layout == "lines":
            world.put("flowlogs", f"bomb/{name}", b"".join(make()))
    world.put("flowlogs", "flood", zlib.compress(b"\n" * (32 << 20)))


def environment(world: World, _honest: Honest) -> str:
    """A15: modules where it starts, keys of TLS, the folder of shared limits squatted."""
    folder = world.folder / "planted"
    folder.mkdir(exist_ok=True)
    for name in ("bytewax.py", "yaml.py", "boto3.py"):
        (folder / name).write_text("open('taken', 'w')\n")
    subprocess.run(
        [sys.executable, "-P", "-m", "flows", "check", "--offline"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False,
        timeout=300,
    )  # fmt: skip
    assert not (folder / "taken").exists()
    assert not (world.folder / "keys").exists()
    limits = world.collector.folder / "tmp" / f"devo-aws-collector-{os.getuid()}"
    if limits.is_dir():
        limits.chmod(0o777)
    return ""


ROWS: dict[str, Attack] = {
    "A1 other people's buckets": trust,
    "A2 Parquet of gigabytes": parquet,
    "A3 invented regions": regions,
    "A4 denied, wrong sizes": denied,
    "A5 174,752 keys": many_keys,
    "A6 notice before object": premature,
    "A7 disk": disk,
    "A8 cut at the receiver": cut,
    "A9 forged log lines": forged_log,
    "A10 nesting, CR, columns": shapes,
    "A11 status port": ports,
    "A12 cluster port": cluster,
    "A13 foreign state": state,
    "A14 slow bodies, 500 to 1": slow,
    "A15 environment": environment,
}
