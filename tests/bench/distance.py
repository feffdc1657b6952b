"""A TCP proxy that puts distance between two ends: a round trip for each exchange, no limit on the flow.

python -m tests.bench.distance PORT_FILE TARGET_PORT RTT_SECONDS: runs until killed.

Bytes arrive half a round trip later than they were sent, and the first ones another round trip later: on a
real way that is how long TCP's own handshake takes. What it leaves out is TCP's slow start.
"""

import asyncio
import contextlib
import socket
import sys
from pathlib import Path

CHUNK = 1 << 16
IN_FLIGHT = 256  # chunks in each direction: 16 MiB, more than 50 ms at 300 MB/s


async def pour(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float, extra: float
) -> None:
    """Pass bytes on, each `delay` after it came, none before `extra` later than the first would."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT)

    async def take() -> None:
        earliest = 0.0
        data = b"first"
        while data:
            try:
                data = await reader.read(CHUNK)
            except OSError:  # a sender that went away without an end
                data = b""
            earliest = earliest or loop.time() + delay + extra
            await under_way.put((max(loop.time() + delay, earliest), data))

    async def give() -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(due - loop.time(), 0.0))
            if not data:
                return writer.write_eof()
            writer.write(data)
            await writer.drain()

    taking = asyncio.create_task(take())
    with contextlib.suppress(OSError):
        await give()
    taking.cancel()
    await asyncio.wait([taking])


async def serve(listener: socket.socket, target: int, rtt: float) -> None:
    async def between(near: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        far, ask = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pour(near, ask, rtt / 2, rtt), pour(far, answer, rtt / 2, 0.0))
        for writer in (ask, answer):
            writer.close()

    await (await asyncio.start_server(between, sock=listener)).serve_forever()


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", 0))
    Path(sys.argv[1]).write_text(str(listening.getsockname()[1]))
    asyncio.run(serve(listening, int(sys.argv[2]), float(sys.argv[3])))
