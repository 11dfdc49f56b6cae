"""What ``[state] url`` may be: ``memory://`` or a Redis; for ``model.py``.

No message here quotes a URL, since it may hold a password.
"""

import re
from typing import Final, NoReturn
from urllib.parse import parse_qsl, urlsplit

from aiogate.agent import Secret

__all__ = ["is_prefix", "is_state_url"]

_EXPECTED: Final = "expected memory://, redis://[user:password@]host[:port][/database] or rediss://... for TLS"
_DATABASE: Final = re.compile(r"/?|/[0-9]{1,5}")
_TLS_OPTIONS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_NOT_YET: Final = {
    "redis+sentinel": "Sentinel is not supported yet; name the host or the proxy that leads to the master: redis://",
    "redis+cluster": "Redis Cluster is not supported yet; name a Redis that is none: redis://",
}


def is_state_url(_owner: object, _attribute: object, value: Secret) -> None:
    """Check that a URL leads to counters of a kind that there is."""
    url = value.reveal()
    if url == "memory://":
        return
    try:
        parts = urlsplit(url)
        _ = parts.port  # checked when it is read
    except ValueError:
        _refuse(f"{_EXPECTED}; its host or its port is none")
    scheme = parts.scheme.removesuffix("+tls").replace("rediss+", "redis+")
    if scheme in _NOT_YET:
        _refuse(_NOT_YET[scheme])
    if scheme not in {"redis", "rediss"} or not parts.hostname or parts.fragment or not url.isprintable():
        _refuse(_EXPECTED)
    if not _DATABASE.fullmatch(parts.path):
        _refuse("expected the number of a database in its path, such as redis://host:6379/0")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if scheme != "rediss" or name not in _TLS_OPTIONS:
            _refuse(f"expected no {name!r} in its query; there may be {', '.join(sorted(_TLS_OPTIONS))} of rediss://")


def is_prefix(_owner: object, _attribute: object, value: str) -> None:
    """Check that names of keys can begin so; braces would decide where in a cluster they are."""
    if not _PREFIX.fullmatch(value):
        _refuse("expected 1 to 64 letters, digits or any of '_.:/-'")


def _refuse(msg: str) -> NoReturn:
    raise ValueError(msg)
