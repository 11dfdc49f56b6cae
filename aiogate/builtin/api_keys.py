"""``api_keys``: who calls, by a key of 256 random bits of which the config holds only the hash.

A key is ``agk_<id>_<secret>``: found by its public id, compared by its hash in constant time. Slow hashes would add
nothing to 256 random bits but a lever for attackers.
"""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import attrs

from aiogate import Exchange, Principal, Refusal, Secret, hookimpl, refusal

__all__ = ["ApiKeys", "ApiKeysConfig", "KeySettings"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_KEY: Final = re.compile(r"agk_(?P<id>[A-Za-z0-9-]{1,64})_[0-9a-f]{64}")
_PREFIX: Final = "agk_"
_LONGEST: Final = len("agk__") + 64 + 64
_NOBODY: Final = "0" * 64
_REFUSED: Final = refusal(
    "unauthenticated",
    "a valid API key is needed, as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'",
    headers=(("WWW-Authenticate", 'Bearer realm="aiogate"'),),
)


def _matches(pattern: re.Pattern[str], expected: str) -> Callable[[object, object, Any], None]:
    def validate(_owner: object, _attribute: object, value: Any) -> None:  # noqa: ANN401 - a text or None
        if value is not None and not pattern.fullmatch(value):
            msg = f"expected {expected}"
            raise ValueError(msg)

    return validate


def _are_networks(_owner: object, _attribute: object, values: tuple[str, ...]) -> None:
    for value in values:
        ipaddress.ip_network(value)


@attrs.frozen(kw_only=True)
class KeySettings:
    """``[[plugins.api_keys.keys]]``: one key and whom it belongs to.

    Args:
        id: the public part of the key.
        sha256: SHA-256 of the whole key, in hexadecimal digits; or
        hmac_sha256: HMAC-SHA-256 of the whole key with the ``pepper``.
        expires: from then on the key is refused.
        networks: where the key may be used from (CIDRs); none: anywhere.
    """

    id: str = attrs.field(validator=_matches(_ID, "1 to 64 letters, digits or '-'"))
    sha256: str | None = attrs.field(default=None, validator=_matches(_HASH, "64 hexadecimal digits, lower case"))
    hmac_sha256: str | None = attrs.field(default=None, validator=_matches(_HASH, "64 hexadecimal digits, lower case"))
    principal: str = attrs.field(validator=attrs.validators.min_len(1))
    roles: tuple[str, ...] = ()
    department: str | None = None
    cost_center: str | None = None
    expires: datetime | None = None
    networks: tuple[str, ...] = attrs.field(default=(), validator=_are_networks)
    attributes: Mapping[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if (self.sha256 is None) == (self.hmac_sha256 is None):
            msg = "expected one of sha256 and hmac_sha256"
            raise ValueError(msg)


@attrs.frozen(kw_only=True)
class ApiKeysConfig:
    """``[plugins.api_keys]``. ``pepper`` is a secret outside the config, such as ``${AIOGATE_PEPPER}``."""

    pepper: Secret | None = None
    keys: tuple[KeySettings, ...] = ()

    def __attrs_post_init__(self) -> None:
        ids = [key.id for key in self.keys]
        for key_id in ids:
            if ids.count(key_id) > 1:
                msg = f"key id {key_id!r} is there twice"
                raise ValueError(msg)
        if self.pepper is None and any(key.hmac_sha256 for key in self.keys):
            msg = 'hmac_sha256 needs a pepper, such as pepper = "${AIOGATE_PEPPER}"'
            raise ValueError(msg)


@attrs.frozen
class _Known:
    principal: Principal
    digest: str
    peppered: bool
    expires: float
    networks: tuple[Network, ...]


_UNKNOWN: Final = _Known(Principal(id=""), _NOBODY, False, 0.0, ())


class ApiKeys:
    """Authenticates callers by API key; every failure looks and costs the same."""

    Config = ApiKeysConfig
    enforces = frozenset({"principal"})

    def __init__(self, config: ApiKeysConfig) -> None:
        """Index the keys by their public id."""
        self._pepper = config.pepper.reveal().encode() if config.pepper is not None else b""
        self._known = {key.id: _known(key) for key in config.keys}

    @hookimpl
    def pre_request(self, exchange: Exchange) -> Refusal | None:
        """Find the key, take it out of what the agent gets, and say whose it is."""
        known = self._authenticate(_take_key(exchange), exchange)
        if known is None:
            return _REFUSED
        exchange.principal = known.principal
        return None

    def _authenticate(self, key: str, exchange: Exchange) -> _Known | None:
        match = _KEY.fullmatch(key) if len(key) <= _LONGEST else None
        known = self._known.get(match["id"], _UNKNOWN) if match else _UNKNOWN
        text = key[:_LONGEST].encode("utf-8", "replace")
        peppered = hmac.digest(self._pepper, text, "sha256").hex() if known.peppered else ""
        digest = peppered or hashlib.sha256(text).hexdigest()
        if not hmac.compare_digest(digest, known.digest) or known is _UNKNOWN:
            return None
        if exchange.clock.wall() >= known.expires:
            return None
        if known.networks and not _is_within(exchange.client_address, known.networks):
            return None
        return known


def _known(key: KeySettings) -> _Known:
    principal = Principal(
        id=key.principal,
        roles=frozenset(key.roles),
        department=key.department,
        key_id=key.id,
        cost_center=key.cost_center,
        attributes=key.attributes,
    )
    return _Known(
        principal,
        key.hmac_sha256 or key.sha256 or _NOBODY,
        key.hmac_sha256 is not None,
        key.expires.timestamp() if key.expires is not None else float("inf"),
        tuple(ipaddress.ip_network(network) for network in key.networks),
    )


def _take_key(exchange: Exchange) -> str:
    """Return the one key that the request carries, or ``""``, and take the headers that held one away.

    A header that holds something else than a key of ours is the agent's and stays.
    """
    headers = exchange.request_headers
    bearer = headers.getall("Authorization", [])
    direct = headers.getall("X-API-Key", [])
    keys = {
        key
        for key in [_credential(value) for value in bearer] + [value.strip() for value in direct]
        if key.startswith(_PREFIX)
    }
    if any(_credential(value).startswith(_PREFIX) for value in bearer):
        headers.popall("Authorization")
    if any(value.strip().startswith(_PREFIX) for value in direct):
        headers.popall("X-API-Key")
    if len(keys) != 1 or len(bearer) > 1 or len(direct) > 1:
        return ""
    return keys.pop()


def _credential(value: str) -> str:
    scheme, _, credential = value.strip().partition(" ")
    return credential.strip() if scheme.lower() == "bearer" else ""


@lru_cache(maxsize=4096)
def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        client = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(client in network for network in networks)
