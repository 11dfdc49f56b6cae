"""``api_keys``: who calls, by a key of 256 random bits of which the config holds only the hash.

A key is ``agk_<id>_<secret>``: found by its public id, compared by its hash in constant time. Slow hashes would add
nothing to 256 random bits but a lever for attackers.
"""

import hashlib
import hmac
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import attrs
from multidict import CIMultiDict, istr

from aiogate import ANONYMOUS, Exchange, Principal, Refusal, Secret, hookimpl, refusal

__all__ = ["ApiKeys", "ApiKeysConfig", "KeySettings"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_PREFIX: Final = "agk_"
_LONGEST: Final = len("agk__") + 64 + 64
_ID_FROM: Final = len("agk_")
_ID_TO: Final = -len("_") - 64
_BEARER_KEY: Final = "Bearer agk_"
_BEARER: Final = len("Bearer ")
_MALFORMED: Final = _PREFIX
_AUTHORIZATION: Final = istr("Authorization")
_X_API_KEY: Final = istr("X-API-Key")
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


def _has_offset(_owner: object, _attribute: object, value: datetime | None) -> None:
    if value is not None and value.tzinfo is None:
        msg = f"expected a time zone, such as {value.isoformat()}Z"
        raise ValueError(msg)


def _are_networks(_owner: object, _attribute: object, values: tuple[str, ...]) -> None:
    for value in values:
        ipaddress.ip_network(value)


@attrs.frozen(kw_only=True)
class KeySettings:
    """``[[plugins.api_keys.keys]]``: one key and whom it belongs to.

    Args:
        id: the public part of the key.
        sha256: SHA-256 of the whole key, in hexadecimal digits; this or ``hmac_sha256``.
        hmac_sha256: HMAC-SHA-256 of the whole key with the ``pepper``.
        principal: who calls with it; several keys may be one principal's.
        roles: what the principal may do; agents, limits and policies ask for them.
        department: of the principal, for limits and policies.
        cost_center: of the principal, for the journal.
        expires: from then on the key is refused.
        networks: where the key may be used from (CIDRs); none: anywhere.
        attributes: words of your own, for policies: ``principal.attributes.region``.
    """

    id: str = attrs.field(validator=_matches(_ID, "1 to 64 letters, digits or '-'"))
    sha256: str | None = attrs.field(default=None, validator=_matches(_HASH, "64 hexadecimal digits, lower case"))
    hmac_sha256: str | None = attrs.field(default=None, validator=_matches(_HASH, "64 hexadecimal digits, lower case"))
    principal: str = attrs.field(validator=attrs.validators.min_len(1))
    roles: tuple[str, ...] = ()
    department: str | None = None
    cost_center: str | None = None
    expires: datetime | None = attrs.field(default=None, validator=_has_offset)
    networks: tuple[str, ...] = attrs.field(default=(), validator=_are_networks)
    attributes: Mapping[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if (self.sha256 is None) == (self.hmac_sha256 is None):
            msg = "expected one of sha256 and hmac_sha256"
            raise ValueError(msg)


@attrs.frozen(kw_only=True)
class ApiKeysConfig:
    """``[plugins.api_keys]``.

    Args:
        pepper: a secret outside the config, such as ``${AIOGATE_PEPPER}``, that ``hmac_sha256`` is made with.
        keys: the keys; ``aiogate keys new`` prints one, and the block to paste.
    """

    pepper: Secret | None = attrs.field(default=None)
    keys: tuple[KeySettings, ...] = attrs.field(default=())

    @pepper.validator
    def _is_not_empty(self, _attribute: object, pepper: Secret | None) -> None:
        if pepper is not None and not pepper.reveal():
            msg = "expected a secret text, got an empty one"
            raise ValueError(msg)

    @keys.validator
    def _ids_are_unique(self, _attribute: object, keys: tuple[KeySettings, ...]) -> None:
        for key_id, times in Counter(key.id for key in keys).items():
            if times > 1:
                msg = f"key id {key_id!r} is there twice"
                raise ValueError(msg)

    def __attrs_post_init__(self) -> None:
        if self.pepper is None and any(key.hmac_sha256 for key in self.keys):
            msg = 'hmac_sha256 needs a pepper, such as pepper = "${AIOGATE_PEPPER}"'
            raise ValueError(msg)


@attrs.frozen
class _Known:
    """A key as the requests meet it. ``principal`` is None for the one that stands in for all unknown keys."""

    principal: Principal | None
    digest: bytes
    peppered: bool
    expires: float | None
    networks: tuple[Network, ...]


class ApiKeys:
    """Authenticates callers by API key; every failure looks and costs the same."""

    Config = ApiKeysConfig
    enforces = frozenset({"principal"})

    def __init__(self, config: ApiKeysConfig) -> None:
        """Index the keys by their public id."""
        self._pepper = config.pepper.reveal().encode() if config.pepper is not None else b""
        self._known = {key.id: _known(key) for key in config.keys}
        self._unknown = _Known(None, bytes(hashlib.sha256().digest_size), bool(self._pepper), None, ())

    @hookimpl
    def pre_request(self, exchange: Exchange) -> Refusal | None:
        """Find the key, take it out of what the agent gets, and say whose it is, unless the caller is known already."""
        key = _take_key(exchange.request_headers)
        if exchange.principal is not None and exchange.principal is not ANONYMOUS:
            return _REFUSED if key else None  # a plugin before this one knows the caller; two callers at once are none
        known = self._recognise(key)
        if known.principal is None or not _may_be_used(known, exchange):
            return _REFUSED
        exchange.principal = known.principal
        return None

    def principals(self) -> Iterator[Principal]:
        """Yield whom the keys belong to, for ``aiogate explain --as``; a principal comes once for each key."""
        for known in self._known.values():
            if known.principal is not None:
                yield known.principal

    def _recognise(self, key: str) -> _Known:
        """Return the key that has this text; whatever is wrong with it takes one digest and one comparison."""
        if len(key) > _LONGEST:
            key = _MALFORMED
        known = self._known.get(key[_ID_FROM:_ID_TO], self._unknown)
        text = key.encode("utf-8", "replace")
        digest = hmac.digest(self._pepper, text, "sha256") if known.peppered else hashlib.sha256(text).digest()
        return known if hmac.compare_digest(digest, known.digest) else self._unknown


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
        bytes.fromhex(key.hmac_sha256 or key.sha256 or ""),
        key.hmac_sha256 is not None,
        key.expires.timestamp() if key.expires is not None else None,
        tuple(ipaddress.ip_network(network) for network in key.networks),
    )


def _may_be_used(known: _Known, exchange: Exchange) -> bool:
    if known.expires is not None and exchange.clock.wall() >= known.expires:
        return False
    return not known.networks or _is_within(exchange.client_address, known.networks)


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        client = ipaddress.ip_address(address)
    except ValueError:
        return False
    client = getattr(client, "ipv4_mapped", None) or client
    return any(client in network for network in networks)


def _take_key(headers: CIMultiDict[str]) -> str:
    """Take away the headers that hold a key of ours and return the key, ``""`` or a text that is no key.

    A header that holds something else is the agent's and stays.
    """
    values = headers.getall(_AUTHORIZATION, ())
    if len(values) == 1 and _X_API_KEY not in headers and values[0].startswith(_BEARER_KEY):
        del headers[_AUTHORIZATION]
        return values[0][_BEARER:].rstrip()
    bearer = _take_header(headers, _AUTHORIZATION, "bearer ")
    direct = _take_header(headers, _X_API_KEY, "")
    if bearer and direct and bearer != direct:
        return _MALFORMED
    return bearer or direct


def _take_header(headers: CIMultiDict[str], name: istr, scheme: str) -> str:
    values = headers.getall(name, None)
    if values is None:
        return ""
    keys = [key for value in values if (key := _key_in(value, scheme))]
    if keys:
        del headers[name]
    if len(values) > 1:
        return _MALFORMED
    return keys[0] if keys else ""


def _key_in(value: str, scheme: str) -> str:
    """Return the key in a header's value, ``""`` where it holds none; one in the wrong place must not go on either."""
    key = value[len(scheme) :].strip()
    if key.startswith(_PREFIX) and value[: len(scheme)].lower() == scheme:
        return key
    return _MALFORMED if any(word.startswith(_PREFIX) for word in value.split()) else ""
