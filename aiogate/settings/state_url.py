"""What ``[state] url`` may be: ``memory://`` or a Redis; for ``model.py``, and for who connects.

No message here quotes a URL, since it may hold a password.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final, Literal, NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from aiogate.agent import Secret

__all__ = ["StateAddress", "is_prefix", "is_state_url", "state_address"]

_EXPECTED: Final = (
    "expected memory://, redis://[user:password@]host[:port][/database], redis+sentinel://host,host/service, "
    "redis+cluster://host,host or, for TLS, rediss://..., rediss+sentinel://..., rediss+cluster://..."
)
_KINDS: Final[Mapping[str, Literal["single", "sentinel", "cluster"]]] = {
    "redis": "single",
    "redis+sentinel": "sentinel",
    "redis+cluster": "cluster",
}
_PATHS: Final = {
    "single": (re.compile(r"/?|/(?P<database>[0-9]{1,5})"), "the number of a database, such as redis://host:6379/0"),
    "sentinel": (
        re.compile(r"/(?P<service>[A-Za-z0-9_.-]{1,128})(/(?P<database>[0-9]{1,5}))?"),
        "what the sentinels call the master, such as redis+sentinel://host:26379/mymaster or .../mymaster/0",
    ),
    "cluster": (re.compile(r"/?|/0"), "nothing: a cluster has one database"),
}
_TLS_OPTIONS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_SENTINEL_OPTIONS: Final = frozenset({"sentinel_user", "sentinel_password"})
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


@attrs.frozen(kw_only=True)
class StateAddress:
    """A URL of a Redis, taken apart.

    Args:
        kind: one server, the master that sentinels name, or a cluster.
        nodes: host and port: of the server, of the sentinels, or of some nodes of the cluster.
        service: what the sentinels call the master.
        tls_files: the ``ssl_...`` options.
        sentinel_user: who asks the sentinels, where they want to know; ``sentinel_password`` likewise.
    """

    kind: Literal["single", "sentinel", "cluster"]
    nodes: tuple[tuple[str, int], ...]
    tls: bool
    user: str | None = attrs.field(repr=False)
    password: str | None = attrs.field(repr=False)
    database: int
    service: str
    tls_files: Mapping[str, str] = attrs.field(hash=False)
    sentinel_user: str | None = attrs.field(default=None, repr=False)
    sentinel_password: str | None = attrs.field(default=None, repr=False)


def state_address(url: str) -> StateAddress:
    """Return a URL of a Redis taken apart; raises ``ValueError`` without the URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        _refuse(_EXPECTED)
    tls = parts.scheme.startswith("rediss")
    kind = _KINDS.get(parts.scheme.replace("rediss", "redis", 1))
    if kind is None or parts.fragment or not url.isprintable():
        _refuse(_EXPECTED)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    nodes = tuple(_node(host, 26379 if kind == "sentinel" else 6379) for host in hosts.split(","))
    if kind == "single" and len(nodes) > 1:
        _refuse("expected one host; several are for redis+sentinel:// and redis+cluster://")
    pattern, expected = _PATHS[kind]
    path = pattern.fullmatch(parts.path)
    if path is None:
        _refuse(f"expected in its path {expected}")
    found = path.groupdict()
    options = _options(
        parts.query, (_TLS_OPTIONS if tls else set()) | (_SENTINEL_OPTIONS if kind == "sentinel" else set())
    )
    return StateAddress(
        kind=kind,
        nodes=nodes,
        tls=tls,
        user=unquote(user) or None,
        password=unquote(password) or None,
        database=int(found.get("database") or 0),
        service=found.get("service") or "",
        tls_files={name: value for name, value in options.items() if name in _TLS_OPTIONS},
        sentinel_user=options.get("sentinel_user"),
        sentinel_password=options.get("sentinel_password"),
    )


def _node(host: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname or "", port if parts.port is None else parts.port
    except ValueError:
        _refuse(f"{_EXPECTED}; a host or a port is none")
    if not name or port < 1:
        _refuse(_EXPECTED)
    return unquote(name), port


def _options(query: str, known: AbstractSet[str]) -> dict[str, str]:
    found = dict(parse_qsl(query, keep_blank_values=True))
    for name in found:
        if name not in known:
            there = (
                f"{', '.join(sorted(_TLS_OPTIONS))} of rediss://, {', '.join(sorted(_SENTINEL_OPTIONS))} of sentinels"
            )
            _refuse(f"expected no {name!r} in its query; there may be {there}")
    return found


def is_state_url(_owner: object, _attribute: object, value: Secret) -> None:
    """Check that a URL leads to counters of a kind that there is."""
    if value.reveal() != "memory://":
        state_address(value.reveal())


def is_prefix(_owner: object, _attribute: object, value: str) -> None:
    """Check that names of keys can begin so; braces would decide where in a cluster they are."""
    if not _PREFIX.fullmatch(value):
        _refuse("expected 1 to 64 letters, digits or any of '_.:/-'")


def _refuse(msg: str) -> NoReturn:
    raise ValueError(msg)
