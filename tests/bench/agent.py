"""The fast agent of the bench: ``python -m tests.bench.agent PORT``.

Answers by the end of the path, whatever stands before it: ``/chat`` a small JSON answer, ``/paced/20`` a stream of
20 events a second without end, ``/flood/1000`` 1,000 events at once, ``/idle`` a stream that is silent after its first
event, ``/megabyte`` a large body. Knows nothing of gateways. Every paced event carries the time of its write.
"""

import asyncio
import gc
import heapq
import json
import re
import sys
import time
from functools import cache
from itertools import count

import uvloop

from tests.bench.framing import Message, chunk
from tests.bench.ticker import Ticker

__all__ = ["MEGABYTE", "MODEL"]

MODEL = "bench-model"
MEGABYTE = 1_000_000

_ROUTE = re.compile(rb"/(\w+)(?:/(\d+))? HTTP/1\.1$")
_USAGE = {"prompt_tokens": 57, "completion_tokens": 93, "total_tokens": 150}
_WORDS = "Your refund is on its way and will reach your account within three working days. " * 4
_CHAT = {
    "id": "chatcmpl-0123456789abcdef",
    "object": "chat.completion",
    "created": 1735689600,
    "model": MODEL,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": _WORDS}, "finish_reason": "stop"}],
    "usage": {**_USAGE, "prompt_tokens_details": {"cached_tokens": 12}},
}
_DELTA = {
    "id": "chatcmpl-0123456789abcdef",
    "object": "chat.completion.chunk",
    "created": 1735689600,
    "model": MODEL,
    "choices": [{"index": 0, "delta": {"content": " refund"}, "finish_reason": None}],
}
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_GOLDEN = 0.618033988749895


def _whole(body: bytes, content_type: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (content_type, len(body)) + body


def _event(data: dict[str, object]) -> bytes:
    return chunk(b"data: %b\n\n" % json.dumps(data, separators=(",", ":")).encode())


_JSON_ANSWER = _whole(json.dumps(_CHAT).encode(), b"application/json")
_LARGE_ANSWER = _whole(b"x" * MEGABYTE, b"application/octet-stream")
_READY = _whole(b"ready\n", b"text/plain")
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_BEFORE_STAMP, _AFTER_STAMP = _event({**_DELTA, "t": "0" * 19}).split(b"0" * 19)


def _stamped_event() -> bytes:
    """Return an event that carries the monotonic clock in 19 digits, which every process of the machine shares."""
    return b"%b%019d%b" % (_BEFORE_STAMP, time.perf_counter_ns(), _AFTER_STAMP)


@cache
def _flood(events: int) -> bytes:
    """Return a whole answer of so many events, the usage and the end, as a fast model sends it."""
    usage = _event({**_DELTA, "choices": [], "usage": _USAGE})
    return b"".join((_STREAM_HEAD, _stamped_event() * events, usage, chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n"))


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
        if kind == b"chat":
            self._transport.write(_JSON_ANSWER)
        elif kind == b"paced":
            self._transport.write(_STREAM_HEAD + _stamped_event())
            self._pacer.add(self._transport, number)
        elif kind == b"idle":
            self._transport.write(_STREAM_HEAD + _stamped_event())
        elif kind == b"flood":
            self._transport.write(_flood(number))
        elif kind == b"megabyte":
            self._transport.write(_LARGE_ANSWER)
        else:
            self._transport.write(_READY if kind == b"readyz" else _NOT_FOUND)


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
