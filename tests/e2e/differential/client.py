"""A recording client: sends a request byte for byte and remembers the answer.

Keeps its connection where it may, so that what an answer leaves behind would spoil the next one. Knows nothing of whom
it calls, an agent or a gateway.
"""

import asyncio
import contextlib

from tests.e2e.differential.agent import LIMIT_BYTES, write_pieces
from tests.e2e.differential.messages import Request, in_pieces
from tests.e2e.differential.wire import Head, Message, read_body, read_head, values

__all__ = ["RecordingClient"]

_BODILESS = (204, 304)


class RecordingClient:
    """Calls one listener; ``prefix`` stands before every target."""

    def __init__(self, port: int, prefix: bytes = b"") -> None:
        self._port = port
        self._prefix = prefix
        self._kept: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, request: Request, *, keep: bool = True) -> Message | None:
        """Return the answer, which need not be whole; None where the connection ended before its head was there."""
        reader, writer = self._kept or await asyncio.open_connection("127.0.0.1", self._port, limit=LIMIT_BYTES)
        self._kept = None
        go_on = asyncio.Event()
        sending = asyncio.create_task(self._send(request, writer, go_on))
        try:
            answer = await _read(reader, request, go_on)
        finally:
            sent = sending.done() and not sending.cancelled() and sending.exception() is None
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if keep and sent and answer is not None and _stays(answer, request):
            self._kept = (reader, writer)
        else:
            writer.close()
        return answer

    def close(self) -> None:
        if self._kept is not None:
            self._kept[1].close()

    async def _send(self, request: Request, writer: asyncio.StreamWriter, go_on: asyncio.Event) -> None:
        head, body = request.head(self._prefix), request.body.encoded()
        if request.expects_continue:
            await write_pieces(writer, [head])
            await go_on.wait()
            await write_pieces(writer, [body])
        else:
            whole = head + body
            await write_pieces(writer, in_pieces(whole[: len(whole) - request.withholds], request.cuts))


async def _read(reader: asyncio.StreamReader, request: Request, go_on: asyncio.Event) -> Message | None:
    interim: list[int] = []
    try:
        while _status(head := await read_head(reader)) < 200:
            interim.append(_status(head))
            if _status(head) == 100:
                go_on.set()
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    answer = Message(head=head, interim=tuple(interim))
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        if request.method == b"HEAD" or _status(head) in _BODILESS:
            answer.whole = True
        else:
            await read_body(reader, answer, is_request=False)
    return answer


def _status(head: Head) -> int:
    return int(head.parts[1])


def _stays(answer: Message, request: Request) -> bool:
    headers = answer.head.headers
    told = values(headers, b"Content-Length") or values(headers, b"Transfer-Encoding")
    delimited = told or request.method == b"HEAD" or _status(answer.head) in _BODILESS
    closes = b"close" in b",".join(values(headers, b"Connection")).lower()
    both = (answer.head.parts[0], request.version)
    return bool(answer.whole and delimited and not closes and both == (b"HTTP/1.1", b"HTTP/1.1"))
