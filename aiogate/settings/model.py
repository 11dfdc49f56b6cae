"""What a config says, as facts: one class per table of the TOML file.

Knows nothing of files, TOML or plugins; ``load.py`` builds these.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import attrs

from aiogate.agent import Agent, Cors, Health, Retry, Secret, UsageRule
from aiogate.calls import same_method
from aiogate.claims import OnStateError, Rate
from aiogate.settings.checks import (
    are_capabilities,
    are_headers,
    are_networks,
    are_roles,
    at_least,
    is_positive,
    is_sha256,
    is_token,
)
from aiogate.settings.pem import are_authorities, check_identity, is_readable
from aiogate.settings.spoken import are_methods, are_public_urls, check_protocol, is_public_url
from aiogate.settings.state_url import is_prefix, is_state_url
from aiogate.settings.urls import are_upstream_urls, ascii_url, is_server_name, is_upstream_url

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
    "Workers",
]


_RECOGNISED = UsageRule()


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


class Workers(int):
    """A number of processes; 0: ``auto``, as many as fit."""

    __slots__ = ()


_ONE = Workers(1)


@attrs.frozen(kw_only=True)
class ServerSettings:
    """``[server]``: the public listener.

    Args:
        listen: where clients call.
        anonymous: serve callers whom no plugin has authenticated.
        max_body: bytes of a request body; more is 413. An agent may have its own.
        access_log: one line per exchange on stdout; ``auto`` is pretty on a terminal and JSON elsewhere.
        drain_delay_seconds: how long clients are still let in after SIGTERM, while ``/readyz`` says not to send any.
        grace_seconds: how long open exchanges may go on after that.
        keepalive_seconds: how long a connection may stay open between two requests.
        header_seconds: how long the head of a request may take from its first byte on; longer is 408.
        body_seconds: how long the gateway waits for the next piece of a body; longer is 408.
        body_bytes_per_second: what its waits for a body must have brought on an average, once they are longer than
            ``body_seconds`` together; less is 408. 0: any pace will do.
        max_connections: open at once; the next one gets a 503 and is closed.
        max_exchanges: under way at once; the next one is a 503.
        max_exchanges_per_principal: of one principal, anonymous callers aside; the next one is a 429.
        stream_keepalive_seconds: for how long an event stream may be silent before the client gets a comment,
            ``: keepalive``, so that nothing between here and there gives it up; 0: for ever. An agent may have its own.
        trusted_proxies: networks (CIDRs) whose word on the client's address counts: ``Forwarded``, ``X-Forwarded-For``.
        cors: which web pages may call; an agent may have its own. None: the agents say it themselves.
        public_url: where clients call, such as ``https://gateway.example.com``; for the addresses in agent cards, which
            never follow ``Host``. None: ``http://`` and ``listen``.
        workers: how many processes serve; more than one needs a Redis to count in, and gunicorn
            (``pip install 'aiogate[workers]'``). ``auto``: one for each processor, and one alone with ``memory://``.
    """

    listen: Address = Address("127.0.0.1", 8080)
    anonymous: bool = False
    max_body: Size = attrs.field(default=Size(100 * 1024 * 1024), validator=is_positive)
    access_log: Literal["auto", "json", "pretty", "off"] = "auto"
    drain_delay_seconds: float = attrs.field(default=0.0, validator=at_least(0))
    grace_seconds: float = attrs.field(default=30.0, validator=at_least(0))
    keepalive_seconds: float = attrs.field(default=75.0, validator=is_positive)
    header_seconds: float = attrs.field(default=10.0, validator=is_positive)
    body_seconds: float = attrs.field(default=30.0, validator=is_positive)
    body_bytes_per_second: int = attrs.field(default=240, validator=at_least(0))
    max_connections: int = attrs.field(default=10_000, validator=at_least(1))
    max_exchanges: int = attrs.field(default=10_000, validator=at_least(1))
    max_exchanges_per_principal: int = attrs.field(default=1_000, validator=at_least(1))
    stream_keepalive_seconds: float = attrs.field(default=15.0, validator=at_least(0))
    trusted_proxies: tuple[str, ...] = attrs.field(default=(), validator=are_networks)
    cors: Cors | None = None
    public_url: str | None = attrs.field(default=None, validator=attrs.validators.optional(is_public_url))
    workers: Workers = _ONE


@attrs.frozen(kw_only=True)
class AdminSettings:
    """``[admin]``: the listener for operators.

    On loopback whoever is on the machine may call it, as ``localhost`` or by address, unless there is a token, by which
    it may be called by any name. Where it can be reached from elsewhere a token is needed, or the key of a principal
    with the role ``operator``; ``/livez`` and ``/readyz`` are open.

    Args:
        listen: where operators and their scrapers call: ``/metrics``, ``/readyz?verbose``, ``/api/...``.
        token: what they prove themselves by, as ``Authorization: Bearer <token>``: ``${AIOGATE_ADMIN_TOKEN}``.
        token_sha256: its SHA-256 in hexadecimal digits, in its place.
        events: so many of the last events are kept for those who come back to ``/api/events``, about 1 kB each; 0: none
            but while somebody follows.
    """

    listen: Address = Address("127.0.0.1", 9090)
    token: Secret | None = attrs.field(default=None, validator=is_token)
    token_sha256: str | None = attrs.field(default=None, validator=is_sha256)
    events: int = attrs.field(default=4096, validator=at_least(0))

    @token_sha256.validator
    def _is_given_once(self, _attribute: object, value: str | None) -> None:
        if value is not None and self.token is not None:
            msg = "give token or token_sha256, not both"
            raise ValueError(msg)


@attrs.frozen(kw_only=True)
class StateSettings:
    """``[state]``: where counters are kept.

    Args:
        url: ``memory://``, which is one process's own, or ``redis://user:password@host:6379/0``, which all gateways
            share that name it; ``redis+sentinel://host:26379,host:26379/service`` for the master that sentinels name,
            ``redis+cluster://host,host`` for a cluster; ``rediss`` in the place of ``redis`` for TLS, with
            ``?ssl_ca_certs=FILE`` where the system does not know who signs.
        prefix: what names of keys in Redis begin with; gateways that share counters have it in common.
        timeout_seconds: how long an exchange waits for Redis.
        on_error: what becomes of a claim that does not say itself, when Redis is slow or gone: ``local`` admits this
            gateway's share of the limit, ``allow`` everything, ``refuse`` nothing (503).
        stream_records: about so many of the newest records of all journals are in the stream
            ``<prefix>{journal}:stream``, each of some 600 bytes; readers who come later miss the rest. 0: none.
        fleet_days: for how long Redis keeps what each journal sums up to, for ``aiogate usage --fleet`` and budgets;
            some 200 bytes for each quarter of an hour in which a combination of caller, agent and model was used.
    """

    url: Secret = attrs.field(factory=lambda: Secret("memory://"), validator=is_state_url)
    prefix: str = attrs.field(default="aiogate:", validator=is_prefix)
    timeout_seconds: float = attrs.field(default=0.25, validator=is_positive)
    on_error: OnStateError = "local"
    stream_records: int = attrs.field(default=200_000, validator=at_least(0))
    fleet_days: int = attrs.field(default=62, validator=at_least(32))


@attrs.frozen(kw_only=True)
class JournalSettings:
    """``[journal]``: where records go, and when they are forced to the disk.

    Args:
        dir: where the segments are; relative to the folder of the config, as its default is.
        fsync: when what was written is forced to the disk.
        segment_bytes: how long a segment becomes before the next one is begun.
        compress: put ``.gz`` in the place of a segment once it has ended; everything here reads both.
        retention_days: for how many days after its last record a segment is kept; None: for ever. Its sums stay.
        on_journal_error: when records cannot be written, ``refuse`` answers 503 and sends nothing to an agent;
            ``allow`` serves on, and counts and logs what has no record.
    """

    dir: Path = Path("var/journal")
    fsync: Literal["every second", "every record", "never"] = "every second"
    segment_bytes: Size = attrs.field(default=Size(256 * 1024 * 1024), validator=is_positive)
    compress: bool = True
    retention_days: int | None = attrs.field(default=None, validator=at_least(1))
    on_journal_error: Literal["refuse", "allow"] = "refuse"


@attrs.frozen(kw_only=True)
class PipelineSettings:
    """``[pipeline]``: which plugins run.

    Args:
        plugins: their names, in the order in which they run.
    """

    plugins: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class AgentSettings:
    """``[agents.<id>]``: a named upstream service, as the config writes it. See ``aiogate.Agent``.

    Either ``url`` or ``urls`` is there.

    Args:
        required_role: the one role that lets a principal in; without it everybody may call.
        required_roles: in its place: any one of these lets a principal in.
        usage: where it says what it used: a word (``"declared"``) or a table of JSON pointers
            (``{ input_tokens = "/meta/usage/in" }``).
    """

    url: str | None = attrs.field(default=None, validator=attrs.validators.optional(is_upstream_url))
    urls: tuple[str, ...] = attrs.field(default=(), validator=are_upstream_urls)
    description: str = ""
    required_role: str | None = attrs.field(default=None, validator=are_roles)
    required_roles: frozenset[str] | None = attrs.field(default=None, validator=are_roles)
    rate_limit: Rate | None = None
    token_limit: Rate | None = None
    concurrency: int | None = attrs.field(default=None, validator=at_least(1))
    cost_center: str | None = None
    capabilities: tuple[str, ...] = attrs.field(default=(), validator=are_capabilities)
    tags: tuple[str, ...] = ()
    headers: Mapping[str, Secret] = attrs.field(factory=dict, validator=are_headers, hash=False)
    connect_seconds: float = attrs.field(default=5.0, validator=is_positive)
    first_byte_seconds: float = attrs.field(default=120.0, validator=is_positive)
    idle_seconds: float | None = attrs.field(default=None, validator=is_positive)
    write_seconds: float = attrs.field(default=60.0, validator=is_positive)
    total_seconds: float | None = attrs.field(default=None, validator=is_positive)
    max_body: Size | None = attrs.field(default=None, validator=is_positive)
    max_connections: int = attrs.field(default=10_000, validator=at_least(1))
    max_idle: int = attrs.field(default=100, validator=at_least(0))
    idle_connection_seconds: float = attrs.field(default=4.0, validator=is_positive)
    ca_file: Path | None = attrs.field(default=None, validator=are_authorities)
    client_certificate: Path | None = attrs.field(default=None, validator=is_readable)
    client_key: Path | None = attrs.field(default=None, validator=is_readable)
    server_name: str | None = attrs.field(default=None, validator=is_server_name)
    priority: int = 0
    weight: int = attrs.field(default=1, validator=at_least(0))
    group: str | None = None
    usage: UsageRule = _RECOGNISED
    keepalive_seconds: float | None = attrs.field(default=None, validator=at_least(0))
    slow_reader_seconds: float = attrs.field(default=300.0, validator=at_least(0))
    early_headers: bool = False
    inject_usage: bool = False
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    drain_seconds: float = attrs.field(default=10.0, validator=is_positive)
    health: Health | None = None
    retry: Retry | None = None
    fallback: tuple[str, ...] = ()
    replay_buffer: Size = attrs.field(default=Size(256 * 1024), validator=is_positive)
    cors: Cors | None = None
    protocol: Literal["a2a", "mcp"] | None = None
    rewrite_card: bool = attrs.field(default=True)
    card_urls: tuple[str, ...] = attrs.field(default=(), validator=are_public_urls)
    method_roles: Mapping[str, str] = attrs.field(factory=dict, validator=are_methods, hash=False)

    @rewrite_card.validator
    @card_urls.validator
    @method_roles.validator
    def _is_for_a_protocol(self, attribute: "attrs.Attribute[object]", value: object) -> None:
        needs = ("a2a", "mcp") if attribute.name == "method_roles" else ("a2a",)
        if value != {"rewrite_card": True, "card_urls": (), "method_roles": {}}[attribute.name]:
            check_protocol(self.protocol, needs)

    @urls.validator
    def _is_for_several(self, _attribute: object, urls: tuple[str, ...]) -> None:
        if urls and self.url is not None:
            msg = "give url or urls, not both"
            raise ValueError(msg)

    @required_roles.validator
    def _are_given_once(self, _attribute: object, roles: frozenset[str] | None) -> None:
        if roles is not None and self.required_role is not None:
            msg = "give required_role or required_roles, not both"
            raise ValueError(msg)

    @ca_file.validator
    @client_certificate.validator
    @client_key.validator
    @server_name.validator
    def _is_for_tls(self, _attribute: object, value: object) -> None:
        urls = self.urls or (self.url or "",)
        if value is not None and all(urlsplit(url).scheme in {"http", "unix"} for url in urls):
            msg = "is for https:// alone, and the agent's url is none"
            raise ValueError(msg)

    @client_certificate.validator
    def _has_its_key(self, _attribute: object, certificate: Path | None) -> None:
        if certificate is not None:
            with suppress(OSError):  # of the key's file, which is a fault of its own
                check_identity(certificate, self.client_key)

    @client_key.validator
    def _has_its_certificate(self, _attribute: object, key: Path | None) -> None:
        if key is not None and self.client_certificate is None:
            msg = "give client_certificate too"
            raise ValueError(msg)

    def agent(self, agent_id: str) -> Agent:
        """Return the agent that plugins and the proxy see."""
        one_role = () if self.required_role is None else (self.required_role,)
        same = {
            field.name: getattr(self, field.name)
            for field in attrs.fields(AgentSettings)
            if field.name not in {"url", "urls", "required_role", "required_roles"}
        }
        urls = tuple(ascii_url(url).rstrip("/") for url in self.urls or (self.url or "",))
        same["card_urls"] = tuple(ascii_url(url).rstrip("/") for url in self.card_urls)
        same["method_roles"] = {same_method(name): role for name, role in self.method_roles.items()}
        roles = frozenset(self.required_roles or one_role)
        return Agent(id=agent_id, url=urls[0], urls=urls if self.urls else (), required_roles=roles, **same)


@attrs.frozen(kw_only=True)
class Settings:
    """A whole config that is in order. ``plugins`` holds each plugin's own ``Config`` or None, by name.

    ``files`` are what it was read from: ``path``, and what that includes by the patterns of ``include``.
    """

    path: Path
    files: tuple[Path, ...] = ()
    include: tuple[str, ...] = ()
    server: ServerSettings
    admin: AdminSettings
    state: StateSettings
    journal: JournalSettings
    pipeline: PipelineSettings
    agents: Mapping[str, Agent]
    plugins: Mapping[str, Any]
