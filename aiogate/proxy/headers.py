"""Which of a client's headers never reach an agent, and which only look as if aiogate had written them.

Knows nothing of sockets or plugins. RFC 9110 section 7.6.
"""

from functools import lru_cache
from typing import Final

from multidict import CIMultiDict, istr

from aiogate.proxy.fields import HOP_BY_HOP

__all__ = ["clean_request"]

_CONNECTION: Final = istr("Connection")
_USUAL: Final = frozenset({"keep-alive", "close", "Keep-Alive"})
_STAYS: Final = HOP_BY_HOP | {"content-length", "expect", "forwarded", "host", "http2-settings", "x-request-id"}
_SPOOFED: Final = ("x-user-", "x-agent-", "x-aiogate-", "x-forwarded-")


def clean_request(headers: CIMultiDict[str]) -> None:
    """Take away what ends at the gateway: hop-by-hop headers, framing, and whatever pretends to come from aiogate."""
    if (connection := headers.get(_CONNECTION)) is not None and connection not in _USUAL:
        for value in headers.getall(_CONNECTION):
            for token in value.split(","):
                headers.popall(token.strip(), None)
    for name in [name for name in headers if _stays(name)]:
        headers.popall(name, None)


@lru_cache(maxsize=4096)
def _stays(name: str) -> bool:
    lower = name.lower().replace("_", "-")  # CGI and WSGI take both spellings for one
    return lower in _STAYS or lower.startswith(_SPOOFED)
