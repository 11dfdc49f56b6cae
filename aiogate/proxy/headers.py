"""Which of a client's headers no plugin and no agent gets to see.

What ends at the gateway anyway, hop-by-hop headers and framing, is left out where the agent's request is written
(``upstream/envelope.py``). Knows nothing of sockets or plugins. RFC 9110 section 7.6.1.
"""

from typing import Final

from multidict import CIMultiDict, istr

__all__ = ["clean_request"]

_CONNECTION: Final = istr("Connection")
_USUAL: Final = frozenset({"keep-alive", "close", "Keep-Alive"})
_SPOOFED: Final = ("x-user-", "x-agent-", "x-aiogate-", "x-forwarded-")
_HARMLESS: Final = set[str]()
"""Names that were looked at, as they were spelt, and pretend nothing; strangers give them, so only so many are kept."""
_MOST_NAMES: Final = 4096


def clean_request(headers: CIMultiDict[str]) -> list[str]:
    """Take away what ``Connection`` names and whatever pretends to come from aiogate, and return the names of that."""
    if (connection := headers.get(_CONNECTION)) is not None and connection not in _USUAL:
        for value in headers.getall(_CONNECTION):
            for token in value.split(","):
                headers.popall(token.strip(), None)
    return [] if _HARMLESS.issuperset(headers) else _take_spoofed(headers)


def _take_spoofed(headers: CIMultiDict[str]) -> list[str]:
    spoofed = [name for name in headers if _plain(name).startswith(_SPOOFED)]
    for name in spoofed:
        headers.popall(name, None)
    if len(_HARMLESS) >= _MOST_NAMES:
        _HARMLESS.clear()
    _HARMLESS.update(headers)
    return spoofed


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")  # CGI and WSGI take both spellings for one
