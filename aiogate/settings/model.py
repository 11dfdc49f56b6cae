"""What a config says, as facts: one class per table of the TOML file.

Knows nothing of files, TOML or plugins; ``load.py`` builds these.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import attrs

from aiogate.claims import Rate
from aiogate.exchange import Agent, Secret

__all__ = [
    "Address",
    "AdminSettings",
    "AgentSettings",
    "JournalSettings",
    "PipelineSettings",
    "ServerSettings",
    "Settings",
    "Size",
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


class Size(int):
    """A number of bytes; the config may write ``"100MiB"``."""

    __slots__ = ()


def _positive(_owner: object, _attribute: object, value: Any) -> None:  # noqa: ANN401 - a number or None
    if value is not None and value <= 0:
        msg = f"expected more than 0, got {value}"
        raise ValueError(msg)


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
    max_body: Size = attrs.field(default=Size(100 * 1024 * 1024), validator=_positive)
    access_log: Literal["auto", "json", "pretty", "off"] = "auto"
    grace_seconds: float = attrs.field(default=30.0, validator=attrs.validators.ge(0))
    keepalive_seconds: float = attrs.field(default=75.0, validator=_positive)


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
    segment_bytes: Size = attrs.field(default=Size(256 * 1024 * 1024), validator=_positive)


@attrs.frozen(kw_only=True)
class PipelineSettings:
    """``[pipeline]``: which plugins run, in this order."""

    plugins: tuple[str, ...] = ()


_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_TO_SET: Final = frozenset(
    {"connection", "content-length", "expect", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"},
)


def _is_agent_url(_owner: object, _attribute: object, value: str) -> None:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = "expected 'http://host:port/path' or 'https://...'"
    elif parts.username is not None or parts.password is not None:
        msg = "credentials do not belong into a URL; put them into this agent's headers"
    elif parts.query or parts.fragment:
        msg = "expected no query and no fragment"
    else:
        return
    raise ValueError(msg)


def _are_headers(_owner: object, _attribute: object, headers: Mapping[str, Secret]) -> None:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            msg = f"{name!r} is no header name"
        elif name.lower() in _NOT_TO_SET:
            msg = f"{name} is the gateway's to set"
        elif any(character in value.reveal() for character in "\r\n\0"):
            msg = f"the value of {name} holds a line break or NUL"
        else:
            continue
        raise ValueError(msg)


@attrs.frozen(kw_only=True)
class AgentSettings:
    """``[agents.<id>]``: a named upstream service, as the config writes it. See ``aiogate.Agent``."""

    url: str = attrs.field(validator=_is_agent_url)
    description: str = ""
    required_role: str | None = None
    required_roles: tuple[str, ...] = ()
    rate_limit: Rate | None = None
    concurrency: int | None = attrs.field(default=None, validator=_positive)
    cost_center: str | None = None
    capabilities: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    headers: Mapping[str, Secret] = attrs.field(factory=dict, validator=_are_headers)
    connect_seconds: float = attrs.field(default=5.0, validator=_positive)
    first_byte_seconds: float = attrs.field(default=120.0, validator=_positive)
    max_body: Size | None = attrs.field(default=None, validator=_positive)

    def __attrs_post_init__(self) -> None:
        if self.required_role is not None and self.required_roles:
            msg = "give required_role or required_roles, not both"
            raise ValueError(msg)

    def agent(self, agent_id: str) -> Agent:
        """Return the agent that plugins and the proxy see."""
        roles = (self.required_role,) if self.required_role is not None else self.required_roles
        same = {
            field.name: getattr(self, field.name)
            for field in attrs.fields(AgentSettings)
            if field.name not in {"url", "required_role", "required_roles"}
        }
        return Agent(id=agent_id, url=self.url.rstrip("/"), required_roles=frozenset(roles), **same)


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
