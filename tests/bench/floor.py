"""The floor: the least that must be done, as a straight pipe without bytewax or boto3.

python -m tests.bench.floor KIND FOLDER CERTS PORT
"""

import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import igzip_lib, isal_zlib
from pyarrow import csv

READ = 1 << 20
HEADER = b"<14>Jan  1 00:00:00 localhost cloud.aws.vpc.flow: "


def connect(certs: Path, port: int) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(certs / "chain.crt"))
    context.load_cert_chain(certs / "demo.crt", certs / "demo.key")
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1")


def inflate(path: Path) -> Iterator[bytes]:
    """Inflate in output chunks of 1 MiB, which stay in the cache."""
    inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    with path.open("rb") as stream:
        while not inflater.eof:
            data = stream.read(READ) if inflater.needs_input else b""
            yield inflater.decompress(data, READ)


def lines(path: Path) -> Iterator[bytes]:
    """Prefix each line by one replace per chunk; the first line of the file is a header."""
    rest, first = b"", True
    for chunk in inflate(path):
        data = rest + chunk
        end = data.rfind(b"\n") + 1
        rest, data = data[end:], data[:end]
        if first:
            data, first = data[data.find(b"\n") + 1 :], False
        if data:
            yield HEADER + data[:-1].replace(b"\n", b"\n" + HEADER) + b"\n"


class Head(msgspec.Struct):
    eventSource: str = ""
    eventName: str = ""
    awsRegion: str = ""
    recipientAccountId: str = ""
    eventType: str = ""
    eventCategory: str = ""


class Document(msgspec.Struct):
    Records: list[msgspec.Raw]


def records(path: Path) -> Iterator[bytes]:
    document = msgspec.json.Decoder(Document).decode(isal_zlib.decompress(path.read_bytes(), 31))
    head, out = msgspec.json.Decoder(Head), []
    for raw in document.Records:
        table = head.decode(raw).eventSource.partition(".")[0].replace("-", "_").encode()
        out.append(b"<14>Jan  1 00:00:00 localhost cloud.aws.cloudtrail." + table + b": " + bytes(raw))
    yield b"\n".join(out) + b"\n"


def rows(path: Path) -> Iterator[bytes]:
    for batch in pq.ParquetFile(path).iter_batches(16_384, use_threads=False):
        columns = [pc.fill_null(column.cast(pa.large_string()), "-") for column in batch.columns]
        joined = pc.binary_join_element_wise(*columns, pa.scalar(" ", pa.large_string()))
        text = pc.binary_join_element_wise(
            joined, pa.scalar("\n", pa.large_string()), pa.scalar("", pa.large_string())
        )
        text = text if isinstance(text, pa.LargeStringArray) else text.combine_chunks()
        start, end = (text.buffers()[1][i * 8 : i * 8 + 8] for i in (0, len(text)))
        data = text.buffers()[2][int.from_bytes(start, "little") : int.from_bytes(end, "little")].to_pybytes()
        yield HEADER + data[:-1].replace(b"\n", b"\n" + HEADER) + b"\n"


NUMBERS = {"version", "srcport", "dstport", "protocol", "packets", "bytes", "start", "end"}


def objects(path: Path) -> Iterator[bytes]:
    """Make each row a JSON object: numbers bare, all else in quotes, nothing escaped."""
    rest, fixed, names = b"", [], []
    for chunk in inflate(path):
        data = rest + chunk
        end = data.rfind(b"\n") + 1
        rest, data = data[end:], data[:end]
        if not names:
            head, _, data = data.partition(b"\n")
            names = head.decode().split(" ")
            quotes = ["" if name in NUMBERS else '"' for name in names]
            borders = zip(["", *quotes], names, quotes, strict=False)
            fixed = [
                f'{before}{"," if at else ""}"{name}":{after}'
                for at, (before, name, after) in enumerate(borders)
            ]
        if data:
            yield json_lines(data, names, fixed)


def json_lines(data: bytes, names: list[str], fixed: list[str]) -> bytes:
    table = csv.read_csv(
        pa.py_buffer(data),
        csv.ReadOptions(use_threads=False, column_names=names, block_size=len(data) + 1),
        csv.ParseOptions(delimiter=" ", quote_char=False),
        csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    begin = HEADER.decode() + "{" + fixed[0]
    parts = [
        part
        for name, text in zip(names, [begin, *fixed[1:]], strict=True)
        for part in (text, table[name].chunk(0))
    ]
    last = "}" if names[-1] in NUMBERS else '"}'
    rows = pc.binary_join_element_wise(*parts, last, "")
    whole = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows), "\n")
    return bytes(whole[0].as_buffer().to_pybytes()) + b"\n"


PIPES = {
    "vpc": lines,
    "vpc-json": objects,
    "cloudfront": lines,
    "umbrella": lines,
    "cloudtrail": records,
    "vpc-parquet": rows,
}


def main() -> None:
    work, folder, certs, port = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
    kind, _, limit = work.rpartition("-") if work.endswith(("-copy", "-alone")) else (work, "", "")
    pipe, link = inflate if limit == "copy" else PIPES[kind], connect(certs, port)
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        for data in pipe(path):
            if limit != "alone":
                link.sendall(data)
    link.unwrap().close()


if __name__ == "__main__":
    main()
