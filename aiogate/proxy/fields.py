"""What a response's header field is to a gateway, by its name: found out once for each spelling.

For the way back from an agent. Works on bytes as they were sent; knows nothing of plugins or exchanges.
"""

from functools import lru_cache
from typing import Final

__all__ = [
    "CONNECTION",
    "CONTENT_ENCODING",
    "CONTENT_LENGTH",
    "CONTENT_TYPE",
    "DATE",
    "HOP_BY_HOP",
    "OURS",
    "PASSES",
    "STAYS",
    "TRANSFER_ENCODING",
    "Fields",
    "sort_of",
]

Fields = list[tuple[bytes, bytes]]
"""Header fields as they were sent: names as they were spelt, repeated ones in their order."""

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-authentication-info",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    },
)
"""Fields that end at the next hop (RFC 9110 section 7.6.1)."""

PASSES: Final = 0
STAYS: Final = 1
CONNECTION: Final = 2
CONTENT_LENGTH: Final = 3
TRANSFER_ENCODING: Final = 4
CONTENT_TYPE: Final = 5
CONTENT_ENCODING: Final = 6
DATE: Final = 7
OURS: Final = 8
"""aiogate may have its own word on it, in the place of the agent's."""

_SORTS: Final = {
    "connection": CONNECTION,
    "content-length": CONTENT_LENGTH,
    "transfer-encoding": TRANSFER_ENCODING,
    "content-type": CONTENT_TYPE,
    "content-encoding": CONTENT_ENCODING,
    "date": DATE,
    "x-request-id": OURS,
    "x-agent-id": OURS,
    "x-accel-buffering": OURS,
    "x-aiogate-attempts": OURS,
    "ratelimit": OURS,
    "ratelimit-policy": OURS,
}


@lru_cache(maxsize=4096)
def sort_of(name: bytes) -> int:
    """Return which of the sorts above a field is."""
    lower = name.decode("latin-1").lower()
    return _SORTS.get(lower, STAYS if lower in HOP_BY_HOP else PASSES)
