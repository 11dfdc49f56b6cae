"""Which address a client has that calls through proxies, for whoever opens an exchange.

What a header says counts only as far as somebody trusted has written it: each proxy puts the address of its own caller
last, so the list is read from its end until there is one that is not trusted. Knows nothing of sockets.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy, istr

__all__ = ["UNKNOWN_ADDRESS", "Network", "client_address"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

UNKNOWN_ADDRESS: Final = ""
"""The address of a client that a trusted proxy names in a way that nobody can read; it is in no network."""

_X_FORWARDED_FOR: Final = istr("X-Forwarded-For")
_FORWARDED: Final = istr("Forwarded")
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_ELEMENT: Final = re.compile(rf"(?:{_QUOTED}|[^,\"])*")
_PAIR: Final = re.compile(rf"\s*(?P<name>[A-Za-z]+)=(?P<value>{_QUOTED}|[^;\"\s]*)\s*(?:;|$)")
_WITH_PORT: Final = re.compile(r"\[(?P<six>[^\]]*)\](?::\d{1,5})?|(?P<four>[0-9.]+):\d{1,5}")


def client_address(peer: str, headers: CIMultiDict[str] | CIMultiDictProxy[str], trusted: Sequence[Network]) -> str:
    """Return the rightmost address that is not trusted, out of ``Forwarded`` (RFC 7239) or ``X-Forwarded-For``.

    That is ``peer`` itself when it is not trusted or sends neither header, and the leftmost one when all are trusted.
    ``UNKNOWN_ADDRESS`` when a trusted proxy names its caller by what is no address, or when both headers are there and
    disagree: one of them is the client's own then, and nobody can say which.
    """
    caller = _parsed(peer)
    if not trusted or caller is None or not _is_trusted(caller, trusted):
        return peer
    named = {
        _rightmost(hops, trusted)
        for name, read in ((_X_FORWARDED_FOR, _x_forwarded_for), (_FORWARDED, _forwarded))
        if (hops := [hop for value in headers.getall(name, ()) for hop in read(value)])
    }
    if not named:
        return peer
    return named.pop() if len(named) == 1 else UNKNOWN_ADDRESS


def _rightmost(hops: Sequence[str], trusted: Sequence[Network]) -> str:
    address = None
    for hop in reversed(hops):
        address = _parsed(hop)
        if address is None:
            return UNKNOWN_ADDRESS
        if not _is_trusted(address, trusted):
            break
    return str(address)


def _x_forwarded_for(value: str) -> Iterator[str]:
    for hop in value.split(","):
        yield hop.strip()


def _forwarded(value: str) -> Iterator[str]:
    """Yield the ``for`` of each element; an element without one hides its caller, and so does one that is broken."""
    for element in _elements(value):
        yield _for(element)


def _elements(value: str) -> Iterator[str]:
    position = 0
    while position <= len(value):
        match = _ELEMENT.match(value, position)
        end = match.end() if match is not None else position
        if end < len(value) and value[end] != ",":
            yield ""  # a quotation without its end: what follows may be anything
            return
        yield value[position:end]
        position = end + 1


def _for(element: str) -> str:
    position, found = 0, ""
    while position < len(element):
        pair = _PAIR.match(element, position)
        if pair is None:
            return ""
        if pair["name"].lower() == "for":
            found = re.sub(r"\\(.)", r"\1", pair["value"][1:-1]) if pair["value"].startswith('"') else pair["value"]
        position = pair.end()
    return found


def _parsed(text: str) -> Address | None:
    """Return the address, without the port that some proxies write; one of IPv4 written as of IPv6 is one of IPv4."""
    with_port = _WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address((with_port["six"] or with_port["four"] or "") if with_port else text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: Address, trusted: Iterable[Network]) -> bool:
    return any(address in network for network in trusted)
