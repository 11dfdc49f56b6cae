"""Agent cards of A2A (0.2, 0.3 and 1.0) with the gateway's addresses in the place of the agent's.

A client goes where the card says, and takes its key along. So each address under which the agent can be called either
becomes one of the gateway's, or goes: there is none in the card that the gateway does not serve. All other addresses
(of the provider, the documentation, icons, authorities) stay as they are. Pure; knows nothing of exchanges.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

import attrs
import orjson

__all__ = ["CardError", "Places", "card_in", "etag_of"]

_PORTS: Final = {"http": 80, "https": 443}
_GRPC: Final = "GRPC"
_UP: Final = ".."
_URL: Final = "url"
_INTERFACES: Final = frozenset({"additionalinterfaces", "supportedinterfaces"})


class CardError(ValueError):
    """A card that cannot be passed on; the message says why and what to do."""


@attrs.frozen
class Places:
    """Where an agent is, for itself and through the gateway.

    Args:
        public: the gateway's own base, as clients call it, without a slash at its end.
        agent_id: the agent's.
        bases: under which the agent knows itself, each without a slash at its end.
    """

    public: str
    agent_id: str
    bases: tuple[str, ...]

    @property
    def through(self) -> str:
        """The agent's base through the gateway."""
        return f"{self.public}/agents/{self.agent_id}"

    def moved(self, url: object) -> str | None:
        """Return the address through the gateway; None for one that leads elsewhere."""
        try:
            parts = urlsplit(url) if isinstance(url, str) and "\\" not in url else None
            origin = None if parts is None else _origin(parts)
        except ValueError:
            return None
        if parts is None or any(segment == _UP for segment in unquote(parts.path).split("/")):
            return None
        if not parts.scheme and not parts.netloc and parts.path.startswith("/"):  # the agent's own, whatever its host
            return self.through + _rest(parts, self._base_path(parts.path))
        return None if origin is None else self._moved(parts, origin)

    def _moved(self, parts: SplitResult, origin: tuple[str, str, int]) -> str | None:
        public = urlsplit(self.public)
        if origin == _origin(public) and _is_under(parts.path, public.path):  # it knows where it is called
            rest = _rest(parts, public.path)
            return self.public + rest if rest.startswith("/agents/") else self.through + rest
        return self._under_a_base(parts, origin, self.through)

    def _under_a_base(self, parts: SplitResult, origin: tuple[str, str, int], through: str) -> str | None:
        for base in self.bases:
            known = urlsplit(base)
            if origin == _origin(known) and _is_under(parts.path, known.path):
                return through + _rest(parts, known.path)
        return None

    def relocated(self, location: str) -> str | None:
        """Return where a redirect to the agent's own base leads on the gateway, as a path; None for any other one."""
        try:
            parts = urlsplit(location)
            origin = _origin(parts)
        except ValueError:
            return None
        return None if origin is None else self._under_a_base(parts, origin, urlsplit(self.through).path)

    def keeps(self, location: str, path: str) -> bool:
        """Tell whether a client that has asked for ``path`` of the agent stays on the gateway when it is redirected."""
        try:
            if self.relocated(location) is not None:
                return True
            target = urlsplit(urljoin(self.through + path, location))
            return "\\" not in location and _origin(target) == _origin(urlsplit(self.through))
        except ValueError:
            return False

    def path(self, path: str) -> str:
        """Return an absolute path on the agent's origin as it is through the gateway, with whatever is behind it."""
        prefix = urlsplit(self.through).path
        if _is_under(path.partition("?")[0], prefix):
            return path
        return prefix + path[len(self._base_path(path.partition("?")[0])) :]

    def _base_path(self, path: str) -> str:
        return next((base for base in (urlsplit(one).path for one in self.bases) if base and _is_under(path, base)), "")


def card_in(body: bytes, places: Places, *, in_result: bool) -> bytes:
    """Return a body that is an agent card with the gateway's addresses; raises ``CardError``.

    ``in_result``: the card is the result of a JSON-RPC response; one without a card in it stays as it is.
    """
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    if type(said) is not dict:
        msg = "the agent's card is no JSON object"
        raise CardError(msg)
    if not in_result:
        return _dumped(_moved(said, places))
    result = _said(said, "result")
    if type(result) is dict and _has_addresses(result):
        rest = {name: value for name, value in said.items() if _plain(name) != "result"}
        return _dumped({**rest, "result": _moved(result, places)})
    return _dumped(_moved(said, places)) if _has_addresses(said) else body


def _dumped(said: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(said)
    except orjson.JSONEncodeError as error:  # nested deeper than it writes, though it reads that
        msg = f"the agent's card cannot be written again: {error}"
        raise CardError(msg) from error


def _has_addresses(card: Mapping[str, Any]) -> bool:
    return any(_plain(name) in _INTERFACES | {_URL} for name in card)


def etag_of(body: bytes) -> str:
    """Return the entity tag of a card as the gateway gives it (RFC 9110 section 8.8.3)."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _moved(card: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """Return a card through the gateway, without its signatures: they are of what it said before."""
    moved = {name: value for name, value in card.items() if _plain(name) != "signatures"}
    interfaces: list[Mapping[str, Any]] = []
    for name, value in card.items():
        if _plain(name) in _INTERFACES:
            moved[name] = _interfaces(value, places)
            interfaces += moved[name]
    is_reachable = bool(interfaces)
    for name in [name for name in card if _plain(name) == _URL]:
        url = None if _said(card, "preferredtransport") == _GRPC else places.moved(card[name])
        if url is not None:
            moved[name] = url
            is_reachable = True
        elif _said(card, "supportedinterfaces") is None and interfaces:
            moved[name] = interfaces[0][_URL]
            moved = {key: value for key, value in moved.items() if _plain(key) != "preferredtransport"}
            moved["preferredTransport"] = interfaces[0].get("transport", "JSONRPC")
        else:
            del moved[name]
    if not is_reachable:
        known = " or ".join(places.bases) or "the agent's url"
        msg = (
            f"the card of agent {places.agent_id!r} names no address under {known}; if it knows itself by another one, "
            f"add that to agents.{places.agent_id}.card_urls"
        )
        raise CardError(msg)
    return moved


def _interfaces(said: object, places: Places) -> list[dict[str, Any]]:
    """Return the interfaces that the gateway serves, in their order; gRPC does not pass it."""
    found = []
    for one in said if type(said) is list else ():
        if type(one) is not dict or _said(one, "protocolbinding") == _GRPC or _said(one, "transport") == _GRPC:
            continue
        urls = {name: places.moved(url) for name, url in one.items() if _plain(name) == _URL}
        if urls.get(_URL) is not None and None not in urls.values():
            found.append({**one, **urls})
    return found


def _said(thing: Mapping[str, Any], plain: str) -> Any:  # noqa: ANN401 - parsed JSON
    return next((value for name, value in thing.items() if _plain(name) == plain), None)


@lru_cache(maxsize=256)
def _plain(name: str) -> str:
    """Return the name of a member for the most lenient reader: protobuf takes two spellings, Go's JSON any case."""
    return name.replace("_", "").casefold()


def _origin(parts: SplitResult) -> tuple[str, str, int] | None:
    """Return scheme, host and port (RFC 6454); None where there is no host, or somebody's credentials."""
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]


def _is_under(path: str, base: str) -> bool:
    return not base or path == base or path.startswith(base + "/")


def _rest(parts: SplitResult, base: str) -> str:
    """Return what stands behind a base path, query and fragment included."""
    return parts.path[len(base) :] + urlunsplit(("", "", "", parts.query, parts.fragment))
