"""A connection whose transport is the test's, on a loop that the test steps and whose time it sets.

Only what lies below the protocol is replaced: callbacks come as sockets send them, never two within one call.
"""

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any, Literal, TypeVar

import attrs

from aiogate.agent import Agent
from aiogate.errors import UpstreamError
from aiogate.proxy.upstream.connection import Connection
from aiogate.proxy.upstream.head import Head
from aiogate.proxy.upstream.reading import Piece
from aiogate.proxy.upstream.response import Response
from aiogate.proxy.upstream.watch import Watch

T = TypeVar("T")

AGENT = Agent(id="support", url="http://127.0.0.1:1")
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
MOST_STEPS = 60
"""More turns of the loop than anything here takes that does not hang."""

State = Literal["reusable", "closed", "open"]
End = Literal["nothing", "eof", "reset"]


class SteppedLoop(asyncio.SelectorEventLoop):
    """Turns when it is told to; ``now`` is its time; what its callbacks let through is in ``complaints``."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.complaints: list[dict[str, Any]] = []
        super().__init__()
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    def take_complaints(self) -> list[dict[str, Any]]:
        """Return what there was to complain about, which is then forgotten: the next example has its own."""
        taken, self.complaints = self.complaints, []
        return taken

    def time(self) -> float:
        return self.now

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            self.call_soon(self.stop)
            self.run_forever()

    def step_until(self, done: Callable[[], bool]) -> bool:
        """Step until something is so; tell whether it is."""
        for _ in range(MOST_STEPS):
            if done():
                return True
            self.step()
        return done()

    def settle(self) -> None:
        """Step until nothing is left to do but what waits for somebody."""
        for _ in range(MOST_STEPS):
            self.step()
            if not self._ready:  # type: ignore[attr-defined] # a loop says it nowhere else
                return
        raise AssertionError("the loop never comes to rest")

    def finish(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run to the end what does not wait for anybody."""
        task = self.create_task(coroutine)
        assert self.step_until(task.done), "it hangs"
        return task.result()


@contextmanager
def stepped(*, collects: bool = True) -> Iterator[SteppedLoop]:
    """Yield a loop; in the end nothing may have complained, what is only found when it is collected included."""
    loop = SteppedLoop()
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.get_loop()
            yield loop
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.settle()
            if collects:
                gc.collect()
            loop.settle()
    finally:
        loop.close()
    assert loop.complaints == []


@attrs.define
class Shelf:
    """Where connections go: those that may be used again, and those that are closed."""

    returned: list[Connection] = attrs.field(factory=list)
    gone: list[Connection] = attrs.field(factory=list)

    def back(self, connection: Connection) -> None:
        assert connection not in self.returned, "given back twice"
        self.returned.append(connection)

    def lost(self, connection: Connection) -> None:
        assert connection not in self.gone, "lost twice"
        self.gone.append(connection)


class Wire(asyncio.Transport):
    """The transport of one connection, and the agent at its other end: ``say``, ``hang_up``, ``reset``."""

    def __init__(self, loop: SteppedLoop, protocol: asyncio.BufferedProtocol) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._coming: deque[bytes | None] = deque()
        self._is_reading = True
        self._is_closing = False
        self.written = bytearray()
        protocol.connection_made(self)

    # what the connection calls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_closing:
            self.written += data

    def is_closing(self) -> bool:
        return self._is_closing

    def is_reading(self) -> bool:
        return self._is_reading

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        self._loop.call_soon(self._deliver)

    def abort(self) -> None:
        self._lose(None)

    def close(self) -> None:
        self._lose(None)

    # what the agent does

    def say(self, data: bytes) -> None:
        """Send bytes, which arrive at once or when the connection reads again."""
        self._coming.append(data)
        self._deliver()

    def hang_up(self) -> None:
        self._coming.append(None)
        self._deliver()

    def reset(self) -> None:
        self._lose(ConnectionResetError("reset by the agent"))

    def _deliver(self) -> None:
        while self._coming and self._is_reading and not self._is_closing:
            data = self._coming.popleft()
            if data is not None:
                self._read(data)
            elif not self._protocol.eof_received():
                self.close()

    def _read(self, data: bytes) -> None:
        buffer = self._protocol.get_buffer(-1)
        buffer[: len(data)] = data  # type: ignore[index] # a buffer, of which typing knows no length
        self._protocol.buffer_updated(len(data))

    def _lose(self, error: Exception | None) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self._protocol.connection_lost, error)


@attrs.define
class Line:
    """One connection with both its ends."""

    loop: SteppedLoop
    connection: Connection
    wire: Wire
    shelf: Shelf

    @property
    def state(self) -> State:
        if self.connection.lost:
            assert not self.connection.usable
            return "closed"
        if self.connection in self.shelf.returned:
            assert self.connection.usable
            return "reusable"
        return "open"


def line(loop: SteppedLoop, watch: Watch | None = None, piece: Piece | None = None) -> Line:
    """Return a connection that has just been made; ``piece``: what it reads into, if that is shared with others."""
    shelf = Shelf()
    connection = Connection(loop, shelf, watch or blind(loop), piece)
    return Line(loop, connection, Wire(loop, connection), shelf)


def blind(loop: SteppedLoop) -> Watch:
    """Return a watch that never looks: the test does."""
    watch = Watch(loop)
    watch.close()
    return watch


@attrs.frozen
class Got:
    """What came of a request: the head, or the code of what went wrong; the body; the connection's state."""

    status: int = 0
    reason: bytes = b""
    fields: tuple[tuple[bytes, bytes], ...] = ()
    length: bytes | None = None
    chunked: bool = False
    body: bytes = b""
    error: str = ""
    upgraded: bool = False
    state: State = "open"


async def read(response: Response, holds: Iterable[bool] = (False,)) -> Got:
    """Read a response as the relay does; ``holds`` says after which pieces the client is slow, again and again."""
    body = bytearray()
    slow = cycle(holds)

    def sink(piece: bytes) -> None:
        assert piece, "an empty piece"
        body.extend(piece)
        if next(slow):
            response.hold()

    head: Head | None = None
    error = ""
    try:
        head = await response.arrived
        while not response.complete:
            await response.pour(sink)
        body += response.take()
    except UpstreamError as raised:
        error = raised.code
    finally:
        response.close()
    if head is None:
        return Got(error=error)
    fields = tuple(head.fields)
    return Got(
        head.status, head.reason, fields, head.length, head.chunked, bytes(body), error, upgraded=response.upgraded
    )


def ask(
    line: Line,
    pieces: Iterable[bytes],
    *,
    end: End = "nothing",
    is_head: bool = False,
    upgrade: bool = False,
    holds: Iterable[bool] = (False,),
) -> Got:
    """Send a request, have the agent answer piece by piece, return what came of it; what hangs fails."""
    loop, wire = line.loop, line.wire
    line.shelf.returned.clear()
    reading = loop.create_task(read(line.connection.send(AGENT, GET, is_head=is_head, upgrade=upgrade), holds))
    for number, piece in enumerate(pieces):
        wire.say(piece)
        if number % 2:  # both what comes before the reader has run and what comes after
            loop.step(2)
    loop.settle()
    if end == "eof":
        wire.hang_up()
    elif end == "reset":
        wire.reset()
    loop.settle()
    assert not loop.complaints, loop.take_complaints()
    assert reading.done(), "whoever waits for the response hangs"
    return attrs.evolve(reading.result(), state=line.state)
