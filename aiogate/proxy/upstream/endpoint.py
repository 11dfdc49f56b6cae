"""Where an agent listens, taken out of its config once.

Knows the forms of a URL that the settings let through: ``http``, ``https`` and ``unix:/run/agent.sock:/base``.
"""

from functools import lru_cache
from typing import Final
from urllib.parse import SplitResult, urlsplit

import attrs
from yarl import URL

from aiogate.agent import Agent
from aiogate.proxy.upstream.tls import Tls

__all__ = ["Endpoint", "endpoint_for", "endpoint_of", "endpoints_for"]

_UNIX: Final = "unix:"


@attrs.frozen(cache_hash=True)
class Endpoint:
    """What to connect to, and what every request there begins with.

    Args:
        host: a name in ASCII, or an IP address without brackets; ``""`` for a Unix socket.
        port: 0 for a Unix socket.
        tls: None: plain TCP, or a Unix socket.
        authority: the ``Host`` header, without a default port (RFC 9110 section 7.2).
        base_path: what every target begins with, without a slash at its end.
        socket_path: of a Unix socket.
        server_name: whom the certificate has to name, and SNI (RFC 6066 section 3).
    """

    host: str
    port: int
    tls: Tls | None
    authority: str
    base_path: str
    socket_path: str = ""
    server_name: str = ""

    @property
    def name(self) -> str:
        """Host and port for people and records, or the path of a Unix socket."""
        return self.socket_path or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


@lru_cache(maxsize=1024)
def endpoint_for(agent: Agent) -> Endpoint:
    """Return where an agent listens and how to verify it; an agent is hashed once, so this costs one look-up."""
    return _verified(agent, agent.url)


@lru_cache(maxsize=1024)
def endpoints_for(agent: Agent) -> tuple[Endpoint, ...]:
    """Return all the places where an agent listens."""
    return tuple(_verified(agent, url) for url in agent.urls or (agent.url,))


def _verified(agent: Agent, url: str) -> Endpoint:
    endpoint = endpoint_of(url)
    if endpoint.tls is None:
        return endpoint
    tls = Tls(agent.ca_file, agent.client_certificate, agent.client_key)
    return attrs.evolve(endpoint, tls=tls, server_name=agent.server_name or endpoint.server_name)


@lru_cache(maxsize=1024)
def endpoint_of(url: str) -> Endpoint:
    """Return the endpoint of a URL, which the settings have checked; TLS by the system's authorities."""
    if url.startswith(_UNIX):
        path, _, base = url.removeprefix(_UNIX).partition(":")
        return Endpoint("", 0, None, "localhost", base.rstrip("/"), socket_path=path)
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    default_port = 443 if secure else 80
    port = parts.port or default_port
    host = _ascii_host(parts)
    name = host.partition("%")[0]  # a zone means something on this machine alone (RFC 6874)
    authority = f"[{name}]" if ":" in name else name
    return Endpoint(
        host,
        port,
        Tls() if secure else None,
        authority if port == default_port else f"{authority}:{port}",
        parts.path.rstrip("/"),
        server_name=name.rstrip("."),  # the dot of a fully qualified name is in no certificate
    )


def _ascii_host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not host.isascii():
        return URL.build(scheme="http", host=host).raw_host or ""
    return host.replace("%25", "%") if ":" in host else host
