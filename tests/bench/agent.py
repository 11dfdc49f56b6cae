"""The agent of the bench in Python, for where no C compiler is: ``python -m tests.bench.agent PORT``.

Answers by the end of the path, whatever stands before it: ``/chat`` a small JSON answer, ``/long`` one of 20 kB,
``/paced/20`` a stream of 20 events a second without end, ``/flood/1000`` 1,000 events at once, ``/idle`` a stream that
is silent after its first event, ``/megabyte`` a large body, ``/bytes/N`` one of N bytes. Knows nothing of gateways.
Every paced event carries the time of its write. ``native/agent.c`` is the same, faster.
"""

import asyncio
import gc
import heapq
import re
import sys
import time
from functools import cache
from itertools import count

import uvloop

from tests.bench.answers import CHAT, DONE, EVENT_AFTER, EVENT_BEFORE, LONG, MEGABYTE, USAGE_EVENT
from tests.bench.framing import Message, chunk
from tests.bench.ticker import Ticker

_ROUTE = re.compile(rb"/(\w+)(?:/(\d+))? HTTP/1\.1$")
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_GOLDEN = 0.618033988749895
_BLOCK = b"x" * MEGABYTE


def _head(length: int, content_type: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (content_type, length)


def _whole(body: bytes, content_type: bytes) -> bytes:
    return _head(len(body), content_type) + body


_ANSWERS = {
    b"chat": _whole(CHAT, b"application/json"),
    b"long": _whole(LONG, b"application/json"),
    b"readyz": _whole(b"ready\n", b"text/plain"),
}
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def _stamped_event() -> bytes:
    return chunk(b"%b%019d%b" % (EVENT_BEFORE, time.perf_counter_ns(), EVENT_AFTER))


@cache
def _flood(events: int) -> bytes:
    """Return a whole answer of so many events, the usage and the end, as a fast model sends it."""
    return b"".join((_STREAM_HEAD, _stamped_event() * events, chunk(USAGE_EVENT), chunk(DONE), b"0\r\n\r\n"))


class Pacer:
    """Writes one event to each of its streams when it is due, the streams spread evenly over the interval."""

    def __init__(self) -> None:
        self._due: list[tuple[int, int, int, asyncio.WriteTransport]] = []
        self._numbers = count(1)

    def add(self, transport: asyncio.WriteTransport, events_per_second: int) -> None:
        """Pace a stream until its connection closes."""
        number = next(self._numbers)
        interval_ns = 1_000_000_000 // events_per_second
        first_ns = time.perf_counter_ns() + int(interval_ns * (number * _GOLDEN % 1))
        heapq.heappush(self._due, (first_ns, number, interval_ns, transport))

    def tick(self) -> None:
        """Write what is due."""
        now_ns = time.perf_counter_ns()
        while self._due and self._due[0][0] <= now_ns:
            due_ns, number, interval_ns, transport = self._due[0]
            if transport.is_closing():
                heapq.heappop(self._due)
                continue
            transport.write(_stamped_event())
            heapq.heapreplace(self._due, (due_ns + interval_ns, number, interval_ns, transport))


class Answering(asyncio.Protocol):
    """One connection from a gateway, or from the load generator itself."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._request = Message()
        self._missing_bytes = 0
        self._paused = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._request.feed(data):
            head, self._request = self._request.head, Message()
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        route = _ROUTE.search(head[: head.index(b"\r\n")])
        kind, number = (route[1], int(route[2] or 0)) if route else (b"", 0)
        if kind in {b"paced", b"idle"}:
            self._transport.write(_STREAM_HEAD + _stamped_event())
            if kind == b"paced":
                self._pacer.add(self._transport, number)
        elif kind == b"flood":
            self._transport.write(_flood(number))
        elif kind in {b"bytes", b"megabyte"}:
            self._missing_bytes = MEGABYTE if kind == b"megabyte" else number
            self._transport.write(_head(self._missing_bytes, b"application/octet-stream"))
            self.resume_writing()
        else:
            self._transport.write(_ANSWERS.get(kind, _NOT_FOUND))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        while self._missing_bytes and not self._paused:
            block = _BLOCK[: self._missing_bytes]
            self._missing_bytes -= len(block)
            self._transport.write(block)  # may call pause_writing


async def _serve(port: int) -> None:
    pacer = Pacer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answering(pacer), "127.0.0.1", port, backlog=4096)
    gc.collect()
    gc.freeze()
    gc.disable()  # no pause of the agent's may look like one of the gateway's
    with Ticker(pacer.tick):
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
