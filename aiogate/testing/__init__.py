"""For plugin authors: a fake agent and a gateway on a free port, both on real sockets.

    async with fake_agent(handler) as agent, running_gateway(config, tmp_path, {"mine": Mine}) as gateway:
        ...

The gateway runs as ``aiogate serve`` does, runner and all; only its process is the test's.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import orjson
import tomli_w
from aiohttp import web
from multidict import CIMultiDictProxy

from aiogate.exchange import Clock
from aiogate.journal.reader import records
from aiogate.pipeline.discover import InstalledPlugins
from aiogate.pipeline.load import load
from aiogate.server.gateway import Gateway

__all__ = ["FakeAgent", "RunningGateway", "fake_agent", "running_gateway"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@attrs.frozen
class Seen:
    """One request as the fake agent saw it; ``target`` is the raw target of the request line."""

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    body: bytes


@attrs.define
class FakeAgent:
    """An agent that answers by a handler of the test's and remembers what it saw.

    Args:
        url: where it listens.
        seen: the requests so far; their bodies are there where ``record_bodies`` was asked for.
    """

    url: str
    seen: list[Seen] = attrs.field(factory=list)


async def echo(request: web.Request) -> web.Response:
    """Answer with what arrived: method, target, headers and body, as JSON."""
    said = {
        "method": request.method,
        "target": request.raw_path,
        "headers": [[name, value] for name, value in request.headers.items()],
        "body": (await request.read()).decode("utf-8", "replace"),
    }
    return web.Response(body=orjson.dumps(said), content_type="application/json")


@asynccontextmanager
async def fake_agent(handler: Handler = echo, *, record_bodies: bool = True) -> AsyncIterator[FakeAgent]:
    """Run an agent on a free port of loopback; without a handler it answers with what it got (``echo``)."""
    agent = FakeAgent("")

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read() if record_bodies else b""
        agent.seen.append(Seen(request.method, request.raw_path, request.headers, body))
        return await handler(request)  # type: ignore[arg-type] # a handler uses what both kinds of request have

    runner = web.ServerRunner(
        web.Server(serve, request_factory=_request, handler_cancellation=True, access_log=None, auto_decompress=False),
        shutdown_timeout=0.1,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        agent.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield agent
    finally:
        await runner.cleanup()


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:  # noqa: ANN401 - aiohttp's own
    return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=2**30)


@attrs.define
class RunningGateway:
    """A gateway that a test runs. ``url`` is the public listener's, ``admin_url`` the operators'."""

    gateway: Gateway
    url: str
    admin_url: str
    directory: Path

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write another config into the file; it is in force after a reload."""
        (self.directory / "gateway.toml").write_text(tomli_w.dumps(_with_defaults(config)))

    def records(self) -> list[dict[str, Any]]:
        """Return what the journal holds of exchanges, oldest first."""
        return list(records(self.directory / "journal"))


@asynccontextmanager
async def running_gateway(
    config: Mapping[str, Any],
    directory: Path,
    plugins: Mapping[str, type] | None = None,
    *,
    clock: Clock | None = None,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[RunningGateway]:
    """Run a gateway on free ports of loopback.

    Args:
        config: the config as TOML would read; ``[server]``, ``[admin]`` and ``[journal]`` have defaults for tests.
        directory: where the config file and the journal go, such as pytest's ``tmp_path``.
        plugins: classes that are not installed, by the name that the config uses.
        clock: in the place of the real one.
        environ: for ``${VAR}`` in the config.
    """
    path = directory / "gateway.toml"
    path.write_text(tomli_w.dumps(_with_defaults(config)))
    read = partial(load, path, environ or {}, InstalledPlugins(dict(plugins or {})))
    gateway = Gateway(*read(), clock=clock, load=read)
    await gateway.start()
    try:
        yield RunningGateway(gateway, f"http://{gateway.public}", f"http://{gateway.admin}", directory)
    finally:
        await gateway.stop(grace_seconds=0.0)


def _with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(config)
    whole["server"] = {"listen": "127.0.0.1:0", "access_log": "off", **config.get("server", {})}
    whole["admin"] = {"listen": "127.0.0.1:0", **config.get("admin", {})}
    whole["journal"] = {"dir": "journal", **config.get("journal", {})}
    return whole
