"""The settings: whom tokens may come from, and what their claims say about a caller."""

import ipaddress
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import urlsplit

import attrs

__all__ = ["Algorithm", "Issuer", "JwtConfig"]

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "Ed448", "EdDSA"
]
"""Signatures by key pairs alone: with a shared secret whoever can check a token can also make one."""

_NAME: Final = re.compile(r"[A-Za-z0-9-]{1,60}")


def _is_private(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_url(_owner: object, _attribute: object, url: str | None) -> None:
    if url is None:
        return
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_private(parts.hostname or "")):
        msg = f"expected an https:// address (http:// on loopback alone), got {url!r}"
        raise ValueError(msg)
    if parts.username or parts.password or not parts.hostname:
        msg = "expected an address with a host and without a password"
        raise ValueError(msg)


@attrs.frozen(kw_only=True)
class Issuer:
    """``[plugins.jwt.issuers.NAME]``: one party whose tokens are good.

    A claim within a claim is named with dots, as ``realm_access.roles``; where a claim has that very name, dots and all
    (``https://example.org/roles``), it is meant.

    Args:
        issuer: what ``iss`` says, to the letter.
        audience: one of these stands in ``aud``; the gateway's own name at the issuer.
        jwks_url: where its keys are; without it they are found by OpenID Connect Discovery below ``issuer``.
        algorithms: the signatures that count.
        clock_skew_seconds: by how much its clock and ours may differ.
        types: what ``typ`` in a token's header may say, where it says anything; case does not count.
        principal: the claim that says who calls.
        principal_prefix: put before it, so that two issuers' callers are never taken for each other.
        roles: the claim with the caller's roles or groups: a list, or one text with blanks between them.
        role_map: what a role or group of the issuer's means here; with it, those not named in it mean nothing.
        default_roles: what every caller with a token of this issuer may do.
        department: the claim with the caller's department.
        cost_center: the claim with the caller's cost centre.
        attributes: further claims for policies, by the name that they get: ``principal.attributes.region``.
        required_claims: claims that must say exactly this, such as ``{ hd = "example.org" }``.
        forward: leave the token in the request that the agent gets; off, the agent never sees it.
    """

    issuer: str = attrs.field(validator=attrs.validators.min_len(1))
    audience: tuple[str, ...] = attrs.field(validator=attrs.validators.min_len(1))
    jwks_url: str | None = attrs.field(default=None, validator=_is_url)
    algorithms: tuple[Algorithm, ...] = attrs.field(default=("RS256", "ES256"), validator=attrs.validators.min_len(1))
    clock_skew_seconds: float = attrs.field(
        default=30.0, validator=attrs.validators.and_(attrs.validators.ge(0), attrs.validators.le(300))
    )
    types: tuple[str, ...] = ("JWT", "at+jwt")
    principal: str = attrs.field(default="sub", validator=attrs.validators.min_len(1))
    principal_prefix: str = ""
    roles: str | None = None
    role_map: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    default_roles: tuple[str, ...] = ()
    department: str | None = None
    cost_center: str | None = None
    attributes: Mapping[str, str] = attrs.field(factory=dict)
    required_claims: Mapping[str, str] = attrs.field(factory=dict)
    forward: bool = False

    def __attrs_post_init__(self) -> None:
        if self.jwks_url is None:
            try:
                _is_url(self, None, self.issuer)
            except ValueError as error:
                msg = f"issuer is no address to discover its keys at, so jwks_url is needed: {error}"
                raise ValueError(msg) from error
        if self.role_map and self.roles is None:
            msg = "role_map needs roles, the claim that the roles stand in"
            raise ValueError(msg)


@attrs.frozen(kw_only=True)
class JwtConfig:
    """``[plugins.jwt]``.

    Args:
        issuers: whose tokens are good, by a name of yours: it is ``jwt-NAME`` in the journal's ``key_id``.
        refresh_seconds: how often their keys are fetched anew.
        cooldown_seconds: how soon after a fetch an unknown key may cause the next one.
        fetch_seconds: how long a fetch may take.
        keep_seconds: how long keys stay good while their issuer does not answer.
        cached_tokens: how many tokens are remembered, so that a signature is checked once.
    """

    issuers: Mapping[str, Issuer] = attrs.field(validator=attrs.validators.min_len(1))
    refresh_seconds: float = attrs.field(default=300.0, validator=attrs.validators.ge(1))
    cooldown_seconds: float = attrs.field(default=10.0, validator=attrs.validators.ge(0.1))
    fetch_seconds: float = attrs.field(default=3.0, validator=attrs.validators.gt(0))
    keep_seconds: float = attrs.field(default=86_400.0, validator=attrs.validators.ge(0))
    cached_tokens: int = attrs.field(default=10_000, validator=attrs.validators.ge(0))

    @issuers.validator
    def _are_told_apart(self, _attribute: object, issuers: Mapping[str, Issuer]) -> None:
        for name in issuers:
            if not _NAME.fullmatch(name):
                msg = f"expected a name of 1 to 60 letters, digits or '-', got {name!r}"
                raise ValueError(msg)
        for issuer, times in Counter(each.issuer for each in issuers.values()).items():
            if times > 1:
                msg = f"issuer {issuer!r} is there twice"
                raise ValueError(msg)
        for prefix, times in Counter(each.principal_prefix for each in issuers.values()).items():
            if times > 1:
                msg = f"several issuers have principal_prefix {prefix!r}: one's callers could pass for another's"
                raise ValueError(msg)
