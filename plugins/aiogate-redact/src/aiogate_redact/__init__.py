"""Masks card numbers and other secrets in request bodies before an agent sees them.

Text and JSON bodies up to ``max_bytes`` are looked at; longer ones are refused: what cannot be looked at cannot be
vouched for. Bodies of other types, and compressed ones, pass or are refused as ``on_unreadable`` says.
"""

import re
from collections.abc import Callable
from typing import Final, Literal

import attrs

from aiogate import Exchange, Key, Refusal, hookimpl

__all__ = ["MASKED", "Redact", "RedactConfig"]

MASKED: Final = Key[int]("redact.masked")
"""How many secrets were masked in this exchange, for other plugins."""
_CARD: Final = re.compile(rb"(?<![0-9])(?:[0-9][ -]?){12,18}[0-9](?![0-9])")
_READABLE: Final = ("application/json", "application/x-ndjson", "application/x-www-form-urlencoded", "text/")
_DOUBLED_NINE: Final = 9


def _compiles(_owner: object, _attribute: object, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            msg = f"{pattern!r} is no regular expression: {error}"
            raise ValueError(msg) from error


@attrs.frozen(kw_only=True)
class RedactConfig:
    """``[plugins.redact]``.

    Args:
        cards: mask payment card numbers that pass the Luhn check (ISO/IEC 7812-1).
        patterns: further secrets, as regular expressions over the body's bytes.
        mask: what stands in their place.
        max_bytes: longer bodies are refused with 413.
        on_unreadable: what happens to bodies that are compressed or not text.
    """

    cards: bool = True
    patterns: tuple[str, ...] = attrs.field(default=(), validator=_compiles)
    mask: str = "[redacted]"
    max_bytes: int = attrs.field(default=1024 * 1024, validator=attrs.validators.gt(0))
    on_unreadable: Literal["pass", "refuse"] = "pass"


class Redact:
    """Rewrites request bodies on their way to an agent."""

    Config = RedactConfig

    def __init__(self, config: RedactConfig) -> None:
        """Compile the patterns."""
        self._config = config
        self._mask = config.mask.encode()
        self._patterns = [re.compile(pattern.encode()) for pattern in config.patterns]

    @hookimpl
    async def pre_request(self, exchange: Exchange) -> Refusal | None:
        """Read the body, mask what is secret in it, send on the rest."""
        if exchange.content_length == 0:
            return None
        if not _is_readable(exchange):
            return self._unreadable()
        body = await exchange.read_body(self._config.max_bytes)
        masked, count = self._redact(body)
        exchange[MASKED] = count
        if count:
            exchange.replace_body(masked)
        return None

    def _unreadable(self) -> Refusal | None:
        if self._config.on_unreadable == "pass":
            return None
        detail = "this gateway only accepts bodies that it can look into: text or JSON, not compressed"
        return Refusal(status=415, code="unreadable_body", detail=detail, rule="redact")

    def _redact(self, body: bytes) -> tuple[bytes, int]:
        count = 0
        if self._config.cards:
            body, count = _substitute(_CARD, body, self._mask, _passes_luhn)
        for pattern in self._patterns:
            body, found = _substitute(pattern, body, self._mask, bool)
            count += found
        return body, count


def _is_readable(exchange: Exchange) -> bool:
    headers = exchange.request_headers
    plain = headers.get("Content-Encoding", "identity").lower() == "identity"
    return plain and headers.get("Content-Type", "").lower().startswith(_READABLE)


def _substitute(
    pattern: re.Pattern[bytes], body: bytes, mask: bytes, is_secret: Callable[[bytes], bool]
) -> tuple[bytes, int]:
    """Return the body with every match that is a secret masked, and how many there were."""
    count = 0

    def replace(match: re.Match[bytes]) -> bytes:
        nonlocal count
        if not is_secret(match[0]):
            return match[0]
        count += 1
        return mask

    return pattern.sub(replace, body), count


def _passes_luhn(text: bytes) -> bool:
    digits = [byte - 48 for byte in reversed(text) if 48 <= byte <= 57]  # noqa: PLR2004 - ASCII digits
    doubled = [digit * 2 - _DOUBLED_NINE if digit * 2 > _DOUBLED_NINE else digit * 2 for digit in digits[1::2]]
    return any(digits) and (sum(digits[::2]) + sum(doubled)) % 10 == 0
