"""Whether a token was signed by its issuer. Every token is a stranger's text until then: it is read within bounds."""

from collections.abc import Mapping
from typing import Any, Final

import attrs
import orjson
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.util import urlsafe_b64decode

from aiogate_jwt.claims import InvalidTokenError
from aiogate_jwt.key_sets import KeySet
from aiogate_jwt.settings import Issuer

__all__ = ["KeysMissingError", "Token", "read", "verify"]

_LONGEST: Final = 16 * 1024
_PARTS: Final = 3


class KeysMissingError(Exception):
    """Nobody can say whether a token is good: its issuer's keys are not to be had."""


@attrs.frozen
class Token:
    """A token as it came, not yet believed."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]


def read(text: str) -> Token | None:
    """Take a text apart that may be a signed JWT in its compact form; None: it is none."""
    parts = text.split(".")
    if len(parts) != _PARTS or len(text) > _LONGEST:
        return None
    header, claims = _object(parts[0]), _object(parts[1])
    return Token(text, header, claims) if header is not None and claims is not None else None


async def verify(token: Token, issuer: Issuer, keys: KeySet) -> None:
    """Refuse a token that its issuer has not signed, by one of its keys of now."""
    header = token.header
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
        msg = "the token is signed in a way that does not count here"
        raise InvalidTokenError(msg)
    if str(header.get("typ", issuer.types[0] if issuer.types else "")).lower() not in _lower(issuer.types):
        msg = "the token is of another type"
        raise InvalidTokenError(msg)
    if kid is not None and not isinstance(kid, str):
        msg = "the token names its key by something that is no text"
        raise InvalidTokenError(msg)
    candidates = keys.find(kid, algorithm)
    if not candidates:
        await keys.renew()
        candidates = keys.find(kid, algorithm)
    if not candidates and not keys.are_good:
        raise KeysMissingError
    if not any(_signed(token.text, key, algorithm) for key in candidates):
        msg = "the token is not signed by its issuer"
        raise InvalidTokenError(msg)


def _signed(text: str, key: Any, algorithm: str) -> bool:  # noqa: ANN401 - one of joserfc's kinds of key
    try:
        jws.deserialize_compact(text, key, algorithms=[algorithm])
    except (JoseError, ValueError, TypeError):
        return False
    return True


def _lower(types: tuple[str, ...]) -> set[str]:
    """``at+jwt`` may be written as its whole media type (RFC 9068, section 4)."""
    words = {each.lower() for each in types}
    return words | {f"application/{each}" for each in words} | ({""} if not types else set())


def _object(part: str) -> Mapping[str, Any] | None:
    try:
        found = orjson.loads(urlsafe_b64decode(part.encode("ascii")))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
