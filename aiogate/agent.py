"""An agent, as the config names it: where it is, who may call it, and how it is called.

For plugins and for every floor above. Knows nothing of exchanges.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from aiogate.claims import Rate

__all__ = ["Agent", "Cors", "Health", "Reason", "Retry", "Seconds", "Secret", "UsageRule"]


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
Reason = Literal["connect", "reset", "429", "500", "502", "503", "504", "529"]
"""Why an attempt may be repeated."""
_positive: Final[Any] = attrs.validators.gt(0.0)
_REPLAY_BYTES: Final = 256 * 1024
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::(?:[0-9]{1,5}|\*))?")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PAGES_SEND: Final = (
    "authorization",
    "x-api-key",
    "content-type",
    "cache-control",
    "idempotency-key",
    "last-event-id",
    "traceparent",
    "tracestate",
    "x-request-id",
    "a2a-*",
    "anthropic-*",
    "mcp-*",
    "openai-*",
    "x-stainless-*",
)
_PAGES_SEE: Final = (
    "X-Request-Id",
    "X-Agent-Id",
    "X-Aiogate-Attempts",
    "X-Aiogate-Budget-Warning",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "Location",
    "Content-Location",
    "ETag",
    "Mcp-Session-Id",
    "Mcp-Protocol-Version",
    "A2A-Version",
    "A2A-Extensions",
)


class Seconds(float):
    """A duration; the config may write ``"5s"``, ``"500ms"`` or ``"1m"``."""

    __slots__ = ()


@attrs.frozen(kw_only=True)
class Health:
    """How an agent's endpoints are asked whether they are well, each by itself.

    Args:
        path: behind the endpoint's base path; an answer from 200 to 399 is a good one.
        interval: between two questions; a tenth of it, at most, is taken off or added at random.
        timeout: until the answer's head is there, the connection included.
    """

    path: str = attrs.field(default="/healthz", validator=attrs.validators.matches_re(r"/[!-~]*"))
    interval: Seconds = attrs.field(default=Seconds(5.0), validator=_positive)
    timeout: Seconds = attrs.field(default=Seconds(2.0), validator=_positive)


@attrs.frozen(kw_only=True)
class Retry:
    """When a request that has failed is sent again, always before the first byte of its response has left for a client.

    Args:
        attempts: how many there may be, the first included.
        on: what is worth another attempt: ``connect``, a connection that was never made; ``reset``, one that was closed
            without an answer; a status.
        unsafe: but for ``connect`` only methods are repeated that are idempotent (RFC 9110 section 9.2.2); with this
            all are: for agents that do not mind doing something twice, or do it only once by themselves.
    """

    attempts: int = attrs.field(default=2, validator=[attrs.validators.ge(1), attrs.validators.le(10)])
    on: frozenset[Reason] = frozenset({"connect", "502", "503", "504", "529"})
    unsafe: bool = False


def _are_origins(_owner: object, _attribute: object, origins: tuple[str, ...]) -> None:
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            msg = (
                f"expected an origin such as 'https://app.example.org', 'https://*.example.org', 'http://localhost:*' "
                f"or '*', in lower case and without a path, got {origin!r}"
            )
            raise ValueError(msg)


def _are_names(_owner: object, _attribute: object, names: tuple[str, ...]) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            msg = f"expected the name of a header, got {name!r}"
            raise ValueError(msg)


@attrs.frozen(kw_only=True, cache_hash=True)
class Cors:
    """Which web pages may call from a browser (CORS); other clients are not asked where they come from.

    Preflights are answered before anybody is authenticated; with this table the agents' own answers to the question
    are replaced.

    Args:
        origins: ``https://app.example.org``, ``https://*.example.org``, ``http://localhost:*``, or ``*`` for all.
        methods: what pages may ask with.
        headers: what pages may send; ``mcp-*`` stands for all names that begin so.
        exposed: what of an answer pages may see.
        credentials: pages may send cookies and certificates along; keys in headers do not need it.
        max_age_seconds: for how long a browser remembers the answer to a preflight.
    """

    origins: tuple[str, ...] = attrs.field(default=(), validator=_are_origins)
    methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    headers: tuple[str, ...] = attrs.field(default=_PAGES_SEND, validator=_are_names)
    exposed: tuple[str, ...] = attrs.field(default=_PAGES_SEE, validator=_are_names)
    credentials: bool = False
    max_age_seconds: int = attrs.field(default=600, validator=[attrs.validators.ge(0), attrs.validators.le(86_400)])

    def __attrs_post_init__(self) -> None:
        if self.credentials and "*" in self.origins:
            msg = "credentials need origins by name: browsers take no '*' with them"
            raise ValueError(msg)


@attrs.frozen(kw_only=True, cache_hash=True)
class Agent:
    """A named upstream service.

    Args:
        id: its name in the config and in ``/agents/{id}``.
        url: ``http://`` or ``https://`` base, or a Unix socket, ``unix:/run/agent.sock``, or with a base path,
            ``unix:/run/agent.sock:/base``; what follows ``/agents/{id}`` is appended to its path. A name outside ASCII
            is as it is in DNS (IDNA). The first of ``urls`` where there are several.
        urls: the endpoints of an agent that has several, all alike; the one with the least pending requests serves.
        description: what it does, for people who read ``GET /agents``.
        required_roles: any one of them lets a principal in; empty: everybody.
        rate_limit: requests per principal on this agent.
        token_limit: tokens per principal on this agent, of requests and answers.
        concurrency: exchanges per principal open at once on this agent.
        cost_center: who pays for it, in the journal.
        capabilities: what it can do; ``/capabilities/{capability}/...`` asks for agents by these.
        tags: words of your own, for policies: ``agent.tags``.
        headers: put into every request to the agent, in place of what the client sent.
        connect_seconds: until a connection is made, TLS included, or 504.
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
        keepalive_seconds: for how long an event stream may be silent before the client gets a comment, ``: keepalive``;
            0: for ever, None: as the server has it.
        slow_reader_seconds: for how long a client may read nothing of what waits for it; 0: for ever.
        early_headers: a client that asks for an event stream gets its head at once, before the agent's; should the
            agent fail then, the stream says so.
        inject_usage: OpenAI-style streams are asked for their usage, which a client that has not asked for it does not
            see.
        on_disconnect: when the client hangs up amid the answer ``cancel`` closes the connection to the agent,
            ``drain`` reads on for the usage, so that it is charged exactly.
        drain_seconds: for how long it reads on.
        health: how its endpoints are probed; None: they are judged by what they answer alone.
        retry: when a request is sent again; None: where there are several endpoints as ``Retry`` has it, else never.
        fallback: ids of the agents that serve in its place, the first first, as far as the principal may use them: when
            it is out of service (503), or has failed and ``retry`` says of such a failure that it may be sent again.
        replay_buffer: bytes of a request's body that are kept to be sent again; a longer one is sent once.
        cors: which web pages may call it; None: as the server has it.
        protocol: what it speaks, ``a2a`` or ``mcp``: what is called stands in the journal, an error in an answer of 200
            counts as one, agent cards have the gateway's addresses, sessions stay with their endpoint. None: HTTP.
        rewrite_card: its cards have the gateway's addresses; without, they pass as they are, signatures and all, and
            whoever calls where such a card says takes the key there.
        card_urls: by which it knows itself besides ``url``, in its cards.
        method_roles: a role that a method of its protocol needs besides ``required_roles``, as
            ``{ CancelTask = "operator" }``; of A2A either generation's name is good for both.
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
    keepalive_seconds: float | None = None
    slow_reader_seconds: float = 300.0
    early_headers: bool = False
    inject_usage: bool = False
    on_disconnect: str = "cancel"
    drain_seconds: float = 10.0
    urls: tuple[str, ...] = ()
    health: Health | None = None
    retry: Retry | None = None
    fallback: tuple[str, ...] = ()
    replay_buffer: int = _REPLAY_BYTES
    cors: Cors | None = None
    protocol: str | None = None
    rewrite_card: bool = True
    card_urls: tuple[str, ...] = ()
    method_roles: Mapping[str, str] = attrs.field(factory=dict, hash=False)

    @property
    def is_resilient(self) -> bool:
        """Whether a request may take more than one attempt, or the choice of an endpoint."""
        return bool(self.urls or self.health or self.retry or self.fallback)
