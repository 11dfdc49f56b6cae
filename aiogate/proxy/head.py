"""The head of a response as bytes: first line and headers (RFC 9112 section 4).

Knows neither sockets nor where the headers come from.
"""

import re
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from multidict import CIMultiDict

from aiogate.proxy.fields import Fields

__all__ = ["edited_fields", "first_line", "now", "response_head"]

_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PHRASES: Final = {status.value: status.phrase.encode() for status in HTTPStatus}
_colon: Final = b": ".join


@lru_cache(maxsize=1024)
def first_line(status: int, reason: bytes | None) -> bytes:
    """Return the status line; a reason with control characters in it gives way to the usual one, as None does."""
    if reason is None or _FORBIDDEN.search(reason.decode("latin-1")):
        reason = _PHRASES.get(status, b"")
    return b"HTTP/1.1 %d %b" % (status, reason)


def response_head(line: bytes, fields: Fields, own: str) -> bytes:
    """Return the head, its empty line included.

    Args:
        line: the status line.
        fields: header fields, free of control characters: a parser has read them, or ``edited_fields`` has.
        own: one or more header lines of aiogate's, with CRLF between them.
    """
    return b"\r\n".join([line, *map(_colon, fields), own.encode(), b"", b""])


def edited_fields(headers: CIMultiDict[str]) -> Fields:
    """Return headers as bytes; ValueError for control characters, with which a value could forge another line.

    What was not UTF-8 when it was read becomes the same bytes again.
    """
    fields = []
    for name, value in headers.items():
        if _FORBIDDEN.search(name) or _FORBIDDEN.search(value):
            msg = "control characters in a header"
            raise ValueError(msg)
        fields.append((name.encode(), value.encode("utf-8", "surrogateescape")))
    return fields


def now() -> str:
    """Return the time as the ``Date`` header has it (RFC 9110 section 6.6.1).

    An agent may leave ``Date`` out, a gateway may not.
    """
    return _date(int(time.time()))


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
