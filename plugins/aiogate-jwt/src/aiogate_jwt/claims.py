"""What the claims of a token say about its caller, and whether they let it in. Knows nothing of signatures and keys."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from aiogate import Principal
from aiogate_jwt.settings import Issuer

__all__ = ["InvalidTokenError", "check", "is_over", "principal_of"]

Claims = Mapping[str, Any]


class InvalidTokenError(Exception):
    """A token does not let its caller in; the text says why, without a word out of the token."""


def check(claims: Claims, issuer: Issuer, now: float) -> None:
    """Refuse claims that are not for us, not of this time, or lack what the config asks for (RFC 7519, section 4.1)."""
    skew = issuer.clock_skew_seconds
    if is_over(claims, issuer, now):
        msg = "the token has expired"
        raise InvalidTokenError(msg)
    for name, complaint in (("nbf", "the token is not valid yet"), ("iat", "the token was issued in the future")):
        if name in claims and _seconds(claims, name) > now + skew:
            raise InvalidTokenError(complaint)
    meant_for = claims.get("aud")
    audience = [meant_for] if isinstance(meant_for, str) else meant_for
    if not isinstance(audience, list) or not any(each in issuer.audience for each in audience):
        msg = "the token is for another audience"
        raise InvalidTokenError(msg)
    for name, expected in issuer.required_claims.items():
        if _claim(claims, name) != expected:
            msg = f"the token lacks what the gateway asks of the claim {name!r}"
            raise InvalidTokenError(msg)


def is_over(claims: Claims, issuer: Issuer, now: float) -> bool:
    """Tell whether the token's time has passed; one without an end is none of ours."""
    return now >= _seconds(claims, "exp") + issuer.clock_skew_seconds


def principal_of(claims: Claims, name: str, issuer: Issuer) -> Principal:
    """Return the caller."""
    who = _claim(claims, issuer.principal)
    if not isinstance(who, str) or not who:
        msg = f"the token says nothing in the claim {issuer.principal!r}"
        raise InvalidTokenError(msg)
    return Principal(
        id=issuer.principal_prefix + who,
        roles=frozenset(_roles(claims, issuer)),
        department=_text(claims, issuer.department),
        key_id=f"jwt-{name}",
        cost_center=_text(claims, issuer.cost_center),
        attributes={
            ours: text for ours, theirs in issuer.attributes.items() if (text := _text(claims, theirs)) is not None
        },
    )


def _roles(claims: Claims, issuer: Issuer) -> Iterable[str]:
    yield from issuer.default_roles
    found = _claim(claims, issuer.roles) if issuer.roles is not None else None
    words = found.split() if isinstance(found, str) else found
    for word in words if isinstance(words, list) else ():
        if not isinstance(word, str):
            continue
        if issuer.role_map:
            yield from issuer.role_map.get(word, ())
        else:
            yield word


def _claim(claims: Claims, name: str) -> object:
    """Return a claim by its name, or by the way to it with dots between its steps; None where there is none."""
    if name in claims:
        return claims[name]
    found: object = claims
    for step in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(step)
    return found


def _text(claims: Claims, name: str | None) -> str | None:
    found = _claim(claims, name) if name is not None else None
    return found if isinstance(found, str) else None


def _seconds(claims: Claims, name: str) -> float:
    """Return a point in time; not every JSON number is one (RFC 7519, section 2: NumericDate)."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        msg = f"the token has no time in the claim {name!r}"
        raise InvalidTokenError(msg)
    return float(value)
