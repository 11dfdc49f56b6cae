"""An agent's response: its head at once, its body as it arrives.

Fed by the connection, read by the relay; holds what has arrived in between, which back-pressure keeps small.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from aiogate.errors import UpstreamError
from aiogate.proxy.upstream.head import Head

__all__ = ["Flow", "Response"]

_HIGH_WATER_BYTES: Final = 65536


class Flow(Protocol):
    """What a response needs of the connection that it comes from.

    ``longest_gap`` is the longest silence of the response under way; ``sink`` gets its body past the response as long
    as the response lets it.
    """

    longest_gap: float
    sink: Callable[[bytes], None] | None

    @property
    def heard_at(self) -> float:
        """When something came last, in the loop's time."""
        ...

    def pause(self) -> None:
        """Stop reading from the agent."""
        ...

    def resume(self) -> None:
        """Go on reading."""
        ...

    def abort(self) -> None:
        """Close at once."""
        ...

    def write(self, data: bytes) -> bool:
        """Write bytes behind a switch of protocols; tell whether more may follow at once."""
        ...

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call back once more may be written."""
        ...


class Response:
    """One response to one request. ``flow`` is the connection that it comes from.

    ``arrived`` brings the head, or why there will be none; ``complete`` tells that the whole body has arrived; ``size``
    are the bytes of it that nobody has taken yet; ``sink`` gets them, while somebody pours. After ``upgraded`` what
    arrives is no HTTP any more.
    """

    __slots__ = (
        "_chunks",
        "_error",
        "_gap",
        "_held",
        "_waiter",
        "arrived",
        "complete",
        "flow",
        "sink",
        "size",
        "upgraded",
    )

    def __init__(self, flow: Flow, arrived: "asyncio.Future[Head]") -> None:
        self.arrived = arrived
        self.complete = False
        self.upgraded = False
        self._chunks: list[bytes] = []
        self.size = 0
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.flow = flow
        self.sink: Callable[[bytes], None] | None = None
        self._held = False
        self._gap: float | None = None

    @property
    def longest_gap(self) -> float:
        """The longest silence since the head, in seconds, between two reads."""
        return self.flow.longest_gap if self._gap is None else self._gap

    def take(self) -> bytes:
        """Return what has arrived and not been taken yet, or ``b""``."""
        chunks = self._chunks
        if not chunks:
            return b""
        taken = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if self.size > _HIGH_WATER_BYTES and not self.complete:
            self.flow.resume()
        self.size = 0
        return taken

    async def pour(self, sink: Callable[[bytes], None]) -> None:
        """Give ``sink`` what arrives, in the callback in which it arrives, until the body ends or ``hold`` is called.

        What comes together with the body's end is left to ``take``. Raises ``UpstreamError`` when the agent broke off,
        after ``sink`` got everything that came before.
        """
        if self._held:
            self._held = False
            self.flow.resume()
        if not self.complete and self._chunks:
            sink(self.take())
        self.sink = sink
        try:
            while not self.complete and not self._held:
                if self._error is not None:
                    raise self._error
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
        finally:
            self.sink = self._waiter = self.flow.sink = None

    def hold(self) -> None:
        """Stop reading from the agent and let ``pour`` return; the next ``pour`` goes on."""
        self._held = True
        self.flow.pause()
        self._stir()

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body from the connection."""
        before = self.size
        self._chunks.append(chunk)
        self.size = size = before + len(chunk)
        if size > _HIGH_WATER_BYTES >= before:
            self.flow.pause()

    def bring(self, chunk: bytes) -> None:
        """Take all that one read has brought of a body that goes on; what somebody pours is passed on at once."""
        if self.sink is None or self._chunks:
            self.feed(chunk)
            self.wake()
        else:
            self.sink(chunk)

    def close(self) -> None:
        """Let go of the connection; one whose response has not ended is closed."""
        if not self.complete and self._error is None:
            self.flow.abort()

    def fail(self, error: UpstreamError) -> None:
        """Tell the reader that there will be no more, and why."""
        self._gap = self.flow.longest_gap
        if not self.arrived.done():
            self._error = error
            self.arrived.set_exception(error)
        elif not self.complete and self._error is None:
            self._error = error
            self.wake()

    def wake(self) -> None:
        """Pass on what has arrived."""
        if self.complete:
            self._gap = self.flow.longest_gap
        elif self.sink is not None and self._chunks:
            self.sink(self.take())
            if self._error is None:
                return
        self._stir()

    def _stir(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
