"""Agents that listen, hang or are mute, and a dialer for which every name has the addresses of the test."""

import asyncio
import functools
import inspect
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import uvloop

from aiogate import Agent
from aiogate.errors import UpstreamError
from aiogate.proxy.upstream.dial import Dialer
from aiogate.proxy.upstream.endpoint import Endpoint, endpoint_for
from aiogate.proxy.upstream.names import Names

SECONDS = 10.0

Test = Callable[..., Awaitable[None]]


def on_both_loops(test: Test) -> Callable[..., None]:
    """Run a test on the loop of tests and on the one of the gateway."""

    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], **fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(asyncio.wait_for(test(**fixtures), 2 * SECONDS))

    functools.update_wrapper(run, test)
    asked = inspect.signature(test).parameters.values()
    first = inspect.Parameter("new_loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([first, *asked])  # type: ignore[attr-defined] # what pytest reads
    del run.__wrapped__  # type: ignore[attr-defined] # pytest would find the coroutine behind it
    loops = pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")
    return pytest.mark.parametrize("new_loop", loops)(run)


class Client(asyncio.Protocol):
    """What the dialer connects."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Served(asyncio.Protocol):
    """An agent's side of a connection."""

    def __init__(self, made: "asyncio.Queue[Served]") -> None:
        self.made = made
        self.heard = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.made.put_nowait(self)

    def data_received(self, data: bytes) -> None:
        self.heard.set_result(data)


@attrs.define
class Listener:
    """An agent that listens; ``made`` are the connections that it has accepted, with their TLS."""

    port: int
    made: "asyncio.Queue[Served]"


@asynccontextmanager
async def listening(address: str = "127.0.0.1", port: int = 0, **facts: Any) -> AsyncIterator[Listener]:
    made: asyncio.Queue[Served] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    if address.startswith("/"):
        server = await loop.create_unix_server(lambda: Served(made), address)
    else:
        server = await loop.create_server(lambda: Served(made), address, port, **facts)
    try:
        name = server.sockets[0].getsockname()
        yield Listener(0 if address.startswith("/") else name[1], made)
    finally:
        server.close()


@contextmanager
def hanging(address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Yield a port whose queue is full: it neither accepts nor refuses."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind((address, port))
        listener.listen(0)
        first.connect(listener.getsockname())
        second.setblocking(False)
        second.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextmanager
def mute() -> Iterator[int]:
    """Yield a port that accepts and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def at(*addresses: str) -> Dialer:
    """Return a dialer for which every name has these addresses."""

    async def resolve(_host: str) -> list[Any]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(family, 0, 0, "", (address, 0)) for family, address in zip(families, addresses, strict=True)]

    return Dialer(Names(resolve, now=lambda: 0.0))


def to(url: str, **facts: Any) -> Endpoint:
    return endpoint_for(Agent(id="support", url=url, **facts))


async def connected(dialer: Dialer, endpoint: Endpoint) -> Client:
    return await dialer.connect(endpoint, Client, SECONDS, name="support")


async def refusal(dialer: Dialer, endpoint: Endpoint, seconds: float = SECONDS) -> str:
    with pytest.raises(UpstreamError) as raised:
        await dialer.connect(endpoint, Client, seconds, name="support")
    timed_out = "cannot be reached within" in raised.value.detail
    assert raised.value.code == ("agent_connect_timeout" if timed_out else "agent_unreachable")
    assert raised.value.detail.startswith("agent 'support' cannot be reached")
    return raised.value.detail.removeprefix("agent 'support' cannot be reached").removeprefix(": ").strip()


async def ended(client: Client) -> None:
    client.transport.abort()
    await client.lost


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def until_closed(before: int) -> None:
    async with asyncio.timeout(SECONDS):
        while descriptors() > before:
            await asyncio.sleep(0)
