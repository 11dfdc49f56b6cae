"""A response's head, read once: what of it goes on to the client, how its body is framed, what kind of body it is.

For the connection. Refuses what a parser lets pass and a gateway must not (RFC 9112 section 6).
"""

from typing import Final

from aiogate.proxy.fields import (
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    DATE,
    PASSES,
    STAYS,
    TRANSFER_ENCODING,
    Fields,
    sort_of,
)

__all__ = ["Head"]

_FIRST_STATUS: Final = 200
_LAST_STATUS: Final = 599
_TOO_MANY: Final = 256
_USUAL: Final = frozenset({b",keep-alive", b",close", b",Keep-Alive"})


class Head:
    """Status, reason and end-to-end fields of a response.

    Args:
        status: HTTP status.
        reason: the phrase behind it, as it was sent.
        fields: as they were sent; the hop-by-hop ones are taken out.

    ``wrong`` says what is wrong with them, or is ``""``; ``length`` is the body's in digits, None when only its end
    will tell; ``chunked`` tells that it comes in chunks; ``media_type`` and ``encoding`` are ``Content-Type`` and
    ``Content-Encoding`` or ``""``; ``dated`` tells that there is a ``Date``, ``collides`` that there is a field on
    which aiogate may have its own word; ``closes`` that ``close`` is one of several options of the connection, which
    the parser forgets when another one follows (RFC 9112 section 9.3: it goes before all others).
    """

    __slots__ = (
        "chunked",
        "closes",
        "collides",
        "dated",
        "encoding",
        "fields",
        "length",
        "media_type",
        "reason",
        "status",
        "wrong",
    )

    def __init__(self, status: int, reason: bytes, fields: Fields) -> None:  # noqa: C901 - one look at each field
        self.status = status
        self.reason = reason
        self.length: bytes | None = None
        self.chunked = self.dated = self.collides = self.closes = False
        self.media_type = self.encoding = self.wrong = ""
        kept: Fields = []
        named = b""
        for field in fields:
            sort = sort_of(field[0])
            if sort == PASSES:
                kept.append(field)
            elif sort == CONTENT_TYPE:
                kept.append(field)
                self.media_type = field[1].decode("latin-1")
            elif sort == CONTENT_LENGTH:
                kept.append(field)
                if self.length is not None:
                    self.wrong = "sent more than one length"
                self.length = field[1]
            elif sort == CONNECTION:
                named += b"," + field[1]
            elif sort == TRANSFER_ENCODING:
                if self.chunked or field[1].lower() != b"chunked":
                    self.wrong = "used a transfer encoding that nobody asked for"
                self.chunked = True
            elif sort != STAYS:
                kept.append(field)
                self._note(sort, field[1])
        if named and named not in _USUAL:
            names = {name.strip().lower() for name in named.split(b",")}
            kept = [field for field in kept if field[0].lower() not in names]
            self.closes = b"close" in names
        self.fields = kept
        if not _FIRST_STATUS <= status <= _LAST_STATUS:
            self.wrong = f"answered with status {status}"
        elif len(fields) > _TOO_MANY:
            self.wrong = "sent too many headers"

    def _note(self, sort: int, value: bytes) -> None:
        if sort == DATE:
            self.dated = True
        elif sort == CONTENT_ENCODING:
            self.encoding = value.decode("latin-1")
        else:
            self.collides = True
