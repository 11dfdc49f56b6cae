"""An agent, as the config names it: where it is, who may call it, and how it is called.

For plugins and for every floor above. Knows nothing of exchanges.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from aiogate.claims import Rate

__all__ = ["Agent", "Secret", "UsageRule"]


class Secret:
    """A text that is shown nowhere: its ``repr`` and ``str`` are ``***``."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Keep the text."""
        self._text = text

    def reveal(self) -> str:
        """Return the text; call it where the secret is used, nowhere else."""
        return self._text

    def __repr__(self) -> str:
        """Return ``***``."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Tell whether two configs hold the same secret; not for checking credentials."""
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        """Hash as the text does."""
        return hash(self._text)


@attrs.frozen(kw_only=True)
class UsageRule:
    """Where an agent says what it used.

    Args:
        kind: ``recognised`` by its answers, one dialect for all of them (``openai``, ``anthropic``, ``gemini``,
            ``ollama``, ``a2a``), ``declared`` in headers, ``pointers``, or ``estimate`` where an answer says nothing.
        pointers: a figure's name, and the steps to it in an answer's JSON.
    """

    kind: str = "recognised"
    pointers: tuple[tuple[str, tuple[str, ...]], ...] = ()


_RECOGNISED: Final = UsageRule()


@attrs.frozen(kw_only=True, cache_hash=True)
class Agent:
    """A named upstream service.

    Args:
        id: its name in the config and in ``/agents/{id}``.
        url: ``http://`` or ``https://`` base, or a Unix socket, ``unix:/run/agent.sock``, or with a base path,
            ``unix:/run/agent.sock:/base``; what follows ``/agents/{id}`` is appended to its path. A name outside ASCII
            is as it is in DNS (IDNA).
        description: what it does, for people who read ``GET /agents``.
        required_roles: any one of them lets a principal in; empty: everybody.
        rate_limit: requests per principal on this agent.
        token_limit: tokens per principal on this agent, of requests and answers.
        concurrency: exchanges per principal open at once on this agent.
        cost_center: who pays for it, in the journal.
        capabilities: what it can do; ``/capabilities/{capability}/...`` asks for agents by these.
        tags: words of your own, for policies: ``agent.tags``.
        headers: put into every request to the agent, in place of what the client sent.
        connect_seconds: until a connection is made, TLS included, or 502.
        first_byte_seconds: from the request's last byte to the response's head, or 504.
        idle_seconds: between two chunks of a response; None: no matter how long.
        write_seconds: for how long the agent may read nothing of a request body that is waiting for it.
        total_seconds: from the request to the response's end; None: no matter how long, as for streams.
        max_body: bytes of a request body, or 413; None: the server's.
        priority: among agents of one capability; the lowest comes first, as in DNS (RFC 2782).
        weight: share of what its group gets, or of everything by the strategy ``weighted``; 0: only what others refuse.
        group: agents of one group share a place in the ranking, by weight: a service and its canary.
        max_connections: open at once, idle ones included; every stream holds one, so the default of 10,000 is there to
            spare file descriptors and ports, not the agent (``concurrency`` and limits do that).
        max_idle: connections kept for the next request; 0: each request has its own.
        idle_connection_seconds: for how long one is kept. Shorter than the agent's own patience: common servers close
            after five seconds.
        ca_file: PEM, the authorities that the agent's certificate is verified by, in place of the system's.
        client_certificate: PEM, shown to the agent; its key may be in it.
        client_key: PEM, the key of ``client_certificate``, without a password.
        server_name: whom the agent's certificate has to name, in place of the URL's host; also sent as SNI. ``Host``
            stays the URL's.
        usage: where it says what it used.
    """

    id: str
    url: str
    description: str = ""
    required_roles: frozenset[str] = frozenset()
    rate_limit: Rate | None = None
    token_limit: Rate | None = None
    concurrency: int | None = None
    cost_center: str | None = None
    capabilities: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    headers: Mapping[str, Secret] = attrs.field(factory=dict, hash=False)
    connect_seconds: float = 5.0
    first_byte_seconds: float = 120.0
    idle_seconds: float | None = None
    write_seconds: float = 60.0
    total_seconds: float | None = None
    max_body: int | None = None
    max_connections: int = 10_000
    max_idle: int = 100
    idle_connection_seconds: float = 4.0
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    server_name: str | None = None
    priority: int = 0
    weight: int = 1
    group: str | None = None
    usage: UsageRule = _RECOGNISED
