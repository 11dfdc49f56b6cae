"""The ``demo`` plugin: runs the demo agent for as long as the gateway runs, so that there is something to call.

For a first try on one machine: it listens on loopback only. What the agent answers stands in ``demo_agent.py``; nothing
here knows of exchanges. An agent's ``url`` in the config points at it::

    [plugins.demo]
    listen = "127.0.0.1:8099"
"""

import ipaddress
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import attrs
from aiohttp import web

from aiogate import AiogateError, Gateway, hookimpl
from aiogate.builtin.demo_agent import DemoAgent

__all__ = ["Demo", "DemoConfig"]

_LAST_PORT: Final = 65535
_SHUTDOWN_SECONDS: Final = 0.2


def _address(listen: str) -> tuple[str, int]:
    """Return host and port; ValueError when it is not a port of this machine's loopback."""
    host, _, port = listen.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        is_ours = address.is_loopback and port.isdecimal() and int(port) <= _LAST_PORT
    except ValueError:
        is_ours = False
    if not is_ours:
        msg = f"expected a loopback address and a port, such as '127.0.0.1:8099' or '[::1]:8099', got {listen!r}"
        raise ValueError(msg)
    return str(address), int(port)


@attrs.frozen(kw_only=True)
class DemoConfig:
    """``[plugins.demo]``.

    Args:
        listen: loopback address and port of the demo agent; port 0 takes a free one.
    """

    listen: str = attrs.field(default="127.0.0.1:8099")

    @listen.validator
    def _is_loopback(self, _attribute: object, listen: str) -> None:
        _address(listen)


class Demo:
    """Owns the demo agent; ``url`` is where it answers, or None while it does not."""

    Config = DemoConfig
    outlives_reload = True  # a port can be had once

    def __init__(self, config: DemoConfig) -> None:
        """Keep the address."""
        self._config = config
        self.url: str | None = None

    @hookimpl
    def lifespan(self, gateway: Gateway) -> AbstractAsyncContextManager[object]:
        """Run the demo agent beside the gateway."""
        return self._running(DemoAgent(gateway.clock))

    @asynccontextmanager
    async def _running(self, agent: DemoAgent) -> AsyncIterator[None]:
        runner = web.AppRunner(
            agent.application(),
            access_log=None,
            auto_decompress=False,  # /echo tells how much arrived, not how much it could become
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        try:
            self.url = await self._listen(runner)
            yield
        finally:
            self.url = None
            await runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> str:
        """Return the URL that the agent answers at; AiogateError when the address cannot be had."""
        host, port = _address(self._config.listen)
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            msg = f"cannot listen on {self._config.listen} ({reason}); choose another port"
            raise AiogateError(msg) from error
        port = runner.addresses[0][1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
