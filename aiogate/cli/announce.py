"""What ``aiogate serve`` says when it is up: where, which plugins, which state, one curl line, warnings last."""

import ipaddress
import os
from collections.abc import Iterator

from aiogate import __version__
from aiogate.server.gateway import Gateway

__all__ = ["announcement"]


def announcement(gateway: Gateway) -> str:
    """Return the lines to print once the gateway listens."""
    settings = gateway.settings
    state = settings.state.url.reveal().partition(":")[0]
    lines = [
        f"aiogate {__version__} with {settings.path}",
        f"  clients   http://{gateway.public}/agents/{{id}}/...",
        f"  operators http://{gateway.admin}/metrics  /readyz?verbose",
        f"  pipeline  {' > '.join(settings.pipeline.plugins) or 'empty'}",
        f"  agents    {', '.join(settings.agents)}",
        f"  state     {state}, journal {os.path.relpath(settings.journal.dir)}",
        f"  try       {_curl(gateway)}",
        *[f"  warning   {warning}" for warning in _warnings(gateway)],
    ]
    return "\n".join(lines)


def _curl(gateway: Gateway) -> str:
    agent = next(iter(gateway.settings.agents))
    key = "" if gateway.settings.server.anonymous else ' -H "X-API-Key: $AIOGATE_KEY"'
    return f"curl -N{key} http://{gateway.public}/agents/{agent}/"


def _warnings(gateway: Gateway) -> Iterator[str]:
    settings = gateway.settings
    if settings.server.anonymous:
        yield "anonymous callers are served ([server] anonymous = true)"
    if gateway.public is not None and not ipaddress.ip_address(gateway.public.host).is_loopback:
        yield f"{gateway.public} is reachable from other machines, without TLS; put a terminator in front of it"
    if settings.state.url.reveal().startswith("memory:"):
        yield "state is in memory: windows begin anew at a restart"
    if (away := gateway.house.state.degraded) is not None:
        yield f'counters are not shared: {away}; until they are, [state] on_error = "{settings.state.on_error}"'
