"""What a request's path names: an agent, or what it has to be able to do, and the rest for it, as it was encoded.

Works on the raw target of the request line (RFC 9112 section 3.2); decodes only to look, never to forward.
"""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

import attrs

from aiogate.errors import Refusal, Refused, refusal

__all__ = ["Target", "target_of"]

_ABSOLUTE: Final = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_SLASH: Final = re.compile(r"/|\\|%2f|%5c", re.IGNORECASE)
_PARAMETERS: Final = re.compile(r"(?:;|%3b).*", re.IGNORECASE | re.DOTALL)
_DOT: Final = re.compile(r"%2e", re.IGNORECASE)
_AGENTS: Final = "agents"
_CAPABILITIES: Final = "capabilities"
_CATALOGUE: Final = "/.well-known/agents"
"""Another name of the list of agents."""
_PROBES: Final = frozenset({"/livez", "/readyz", "/healthz"})
_LONGEST_KEPT: Final = 256


@attrs.frozen
class Target:
    """A path taken apart; ``agent_id`` is None where it names no agent, ``path`` is ``""`` or begins with ``/``.

    ``capabilities`` are those of ``/capabilities/sql+charts``, each once; without them and without an agent the path is
    that of a list. ``refused`` says what is wrong with it (400 or 404); ``is_probe`` that it asks after the gateway's
    own health.
    """

    agent_id: str | None
    full_path: str
    path: str
    query: str
    refused: Refusal | None = None
    is_probe: bool = False
    capabilities: tuple[str, ...] = ()


def target_of(raw: str) -> Target:
    """Take the request line's target apart; the paths that are asked for again and again only once."""
    return _often(raw) if len(raw) <= _LONGEST_KEPT else _parsed(raw)


def _parsed(raw: str) -> Target:
    full_path = raw.partition("?")[0]
    if full_path in _PROBES:
        return Target(None, full_path, "", "", is_probe=True)
    try:
        return _parse(raw)
    except Refused as refused:
        return Target(None, full_path, "", "", refused.refusal)


_often: Final = lru_cache(maxsize=4096)(_parsed)


def _parse(raw: str) -> Target:
    if not raw.startswith("/"):
        raw = _origin_form(raw)
    full_path, _, query = raw.partition("?")
    if "#" in raw or not _encodable(raw):
        raise Refused(refusal("bad_request", "the path holds characters that must be percent-encoded"))
    if full_path.startswith("//"):  # of a URL that a client has joined it would be the host (RFC 3986 section 4.2)
        raise Refused(refusal("bad_path", "the path must not begin with two slashes"))
    if full_path == _CATALOGUE:
        return Target(None, full_path, "", query)
    room, _, rest = full_path[1:].partition("/")
    if room not in {_AGENTS, _CAPABILITIES}:
        where = "/agents/{id}/... and by what they can do at /capabilities/{capability}/..."
        raise Refused(refusal("not_found", f"there is nothing here; agents are called at {where}"))
    named, slash, rest = rest.partition("/")
    if not named:
        return Target(None, full_path, "", query)
    path = slash + rest
    if _leaves(path) or (room == _CAPABILITIES and _leaves(named)):
        raise Refused(refusal("bad_path", "the path must not hold a '..' segment, encoded or not"))
    if room == _AGENTS:
        return Target(named, full_path, path, query)
    return Target(None, full_path, path, query, capabilities=tuple(dict.fromkeys(unquote(named).split("+"))))


def _origin_form(raw: str) -> str:
    match = _ABSOLUTE.match(raw)
    if match is None:
        raise Refused(refusal("bad_request", "the request's target must be a path"))
    rest = raw[match.end() :]
    return rest if rest.startswith("/") else "/" + rest


def _encodable(raw: str) -> bool:
    if raw.isascii():
        return True
    try:
        raw.encode()
    except UnicodeEncodeError:
        return False
    return True


def _leaves(path: str) -> bool:
    """Tell whether a segment goes up, for the most lenient agent: servlet containers cut off what follows a ``;``."""
    if ".." not in path and "%" not in path:
        return False
    return any(_DOT.sub(".", _PARAMETERS.sub("", segment)) == ".." for segment in _SLASH.split(path))
