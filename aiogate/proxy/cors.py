"""Which web pages may call, by the rules that browsers keep to (Fetch standard, "CORS protocol").

Origins, methods and headers as texts in, header lines out. Knows nothing of exchanges and agents. An origin is repeated
to the browser only when the config names it; ``*`` is answered by ``*``.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final

from aiogate.agent import Cors

__all__ = ["CorsRules"]

_MOST_ORIGINS: Final = 1024
_LONGEST_ORIGIN: Final = 300
_LABELS: Final = r"[a-z0-9-]+(?:\.[a-z0-9-]+)*"
_PORT: Final = r"[0-9]{1,5}"


class CorsRules:
    """What one table ``cors`` says, ready to be asked."""

    def __init__(self, settings: Cors) -> None:
        """Compile the patterns."""
        self._is_open = "*" in settings.origins
        self._origins = _matching(settings.origins, _origin_pattern)
        self._headers = _matching(settings.headers, _header_pattern)
        self._methods = frozenset(settings.methods)
        self._allowed = "".join(
            (
                "\r\nAccess-Control-Allow-Credentials: true" if settings.credentials else "",
                f"\r\nAccess-Control-Expose-Headers: {', '.join(settings.exposed)}" if settings.exposed else "",
            )
        )
        self._credentials = settings.credentials
        self._max_age = str(settings.max_age_seconds)
        self._known_lines = lru_cache(maxsize=_MOST_ORIGINS)(self._lines)

    def may_call(self, origin: str) -> bool:
        """Tell whether pages of an origin may."""
        return self._is_open or (len(origin) <= _LONGEST_ORIGIN and self._origins.fullmatch(origin) is not None)

    def lines(self, origin: str | None) -> str:
        """Return the header lines of an answer, each with CRLF before it; ``origin`` is the request's, if any.

        No page has an origin that is longer than those that are remembered.
        """
        is_short = origin is None or len(origin) <= _LONGEST_ORIGIN
        return self._known_lines(origin) if is_short else self._lines(origin)

    def _lines(self, origin: str | None) -> str:
        if self._is_open:
            return f"\r\nAccess-Control-Allow-Origin: *{self._allowed}"
        if origin is None or not self.may_call(origin):
            return "\r\nVary: Origin"
        return f"\r\nVary: Origin\r\nAccess-Control-Allow-Origin: {origin}{self._allowed}"

    def preflight(self, origin: str, method: str, headers: str) -> Mapping[str, str]:
        """Return what a preflight is answered with: of what it asks for that which is allowed.

        Args:
            origin: one that may call.
            method: ``Access-Control-Request-Method``.
            headers: ``Access-Control-Request-Headers``, or ``""``.
        """
        asked = [name for name in (each.strip() for each in headers.split(",")) if name]
        allowed = ", ".join(name for name in asked if self._headers.fullmatch(name.lower()))
        said = {
            "Access-Control-Allow-Origin": "*" if self._is_open else origin,
            "Access-Control-Max-Age": self._max_age,
            "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        }
        if method in self._methods:
            said["Access-Control-Allow-Methods"] = method
        if allowed:
            said["Access-Control-Allow-Headers"] = allowed
        if self._credentials:
            said["Access-Control-Allow-Credentials"] = "true"
        return said


def _matching(texts: Iterable[str], pattern: Callable[[str], str]) -> re.Pattern[str]:
    return re.compile("|".join(pattern(text) for text in texts) or r"(?!)")


def _origin_pattern(text: str) -> str:
    """Return a pattern for ``https://*.example.org`` or ``http://localhost:*``; ``*`` is labels, or a port."""
    scheme, _, rest = text.partition("://")
    host, colon, port = rest.partition(":")
    return f"{re.escape(scheme)}://" + re.escape(host).replace(r"\*", _LABELS) + colon + port.replace("*", _PORT)


def _header_pattern(text: str) -> str:
    """Return a pattern for ``mcp-*`` or a whole name."""
    return re.escape(text.lower()).replace(r"\*", r"[a-z0-9-]+")
