"""What a config says, as facts: one class per table of the TOML file.

Knows nothing of files, TOML or plugins; ``load.py`` builds these.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from aiogate.exchange import Agent, Secret

__all__ = [
    "Address",
    "AdminSettings",
    "JournalSettings",
    "PipelineSettings",
    "ServerSettings",
    "Settings",
    "StateSettings",
]


@attrs.frozen
class Address:
    """Where a listener listens, or an agent of ours: ``127.0.0.1:8080``, ``[::1]:8080``; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``host:port``, with brackets about an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen(kw_only=True)
class ServerSettings:
    """``[server]``: the public listener.

    Args:
        listen: where clients call.
        anonymous: serve callers whom no plugin has authenticated.
        max_body: bytes of a request body; more is 413. An agent may have its own.
        access_log: one line per exchange on stdout; ``auto`` is pretty on a terminal and JSON elsewhere.
        grace_seconds: how long open exchanges may go on after SIGTERM.
        keepalive_seconds: how long a connection may stay open between two requests.
    """

    listen: Address = Address("127.0.0.1", 8080)
    anonymous: bool = False
    max_body: int = 100 * 1024 * 1024
    access_log: Literal["auto", "json", "pretty", "off"] = "auto"
    grace_seconds: float = 30.0
    keepalive_seconds: float = 75.0


@attrs.frozen(kw_only=True)
class AdminSettings:
    """``[admin]``: the listener for operators, on loopback only."""

    listen: Address = Address("127.0.0.1", 9090)


@attrs.frozen(kw_only=True)
class StateSettings:
    """``[state]``: where counters are kept."""

    url: Secret = attrs.field(factory=lambda: Secret("memory://"))


@attrs.frozen(kw_only=True)
class JournalSettings:
    """``[journal]``: where records go, and when they are forced to the disk."""

    dir: Path = Path("var/journal")
    fsync: Literal["every second", "every record", "never"] = "every second"
    segment_bytes: int = 256 * 1024 * 1024


@attrs.frozen(kw_only=True)
class PipelineSettings:
    """``[pipeline]``: which plugins run, in this order."""

    plugins: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Settings:
    """A whole config that is in order. ``plugins`` holds each plugin's own ``Config``, by plugin name."""

    path: Path
    server: ServerSettings
    admin: AdminSettings
    state: StateSettings
    journal: JournalSettings
    pipeline: PipelineSettings
    agents: Mapping[str, Agent]
    plugins: Mapping[str, Any]
