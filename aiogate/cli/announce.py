"""What ``aiogate serve`` says when it is up: where, which plugins, which state, one curl line, warnings last."""

import ipaddress
import os
from collections.abc import Iterator

from aiogate import __version__
from aiogate.settings.model import Address, Settings

__all__ = ["announcement"]


def announcement(settings: Settings, public: Address, admin: Address, degraded: str | None) -> str:
    """Return the lines to print once the gateway listens; ``degraded``: why counters are not shared."""
    state = settings.state.url.reveal().partition(":")[0]
    workers = settings.server.workers
    lines = [
        f"aiogate {__version__} with {settings.path}",
        f"  clients   http://{public}/agents/{{id}}/...",
        f"  operators http://{admin}/metrics  /readyz?verbose",
        f"  pipeline  {' > '.join(settings.pipeline.plugins) or 'empty'}",
        f"  agents    {', '.join(settings.agents)}",
        f"  state     {state}, journal {os.path.relpath(settings.journal.dir)}",
        *([f"  workers   {workers}"] if workers > 1 else ()),
        f"  try       {_curl(settings, public)}",
        *[f"  warning   {warning}" for warning in _warnings(settings, public, degraded)],
    ]
    return "\n".join(lines)


def _curl(settings: Settings, public: Address) -> str:
    agent = next(iter(settings.agents))
    key = "" if settings.server.anonymous else ' -H "X-API-Key: $AIOGATE_KEY"'
    return f"curl -N{key} http://{public}/agents/{agent}/"


def _warnings(settings: Settings, public: Address, degraded: str | None) -> Iterator[str]:
    if settings.server.anonymous:
        yield "anonymous callers are served ([server] anonymous = true)"
    if not ipaddress.ip_address(public.host).is_loopback:
        yield f"{public} is reachable from other machines, without TLS; put a terminator in front of it"
    if settings.state.url.reveal().startswith("memory:"):
        yield "state is in memory: windows begin anew at a restart"
    if degraded is not None:
        yield f'counters are not shared: {degraded}; until they are, [state] on_error = "{settings.state.on_error}"'
