"""A key as the requests meet it, whether the config or the store holds it."""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from typing import Any, Final

import attrs

from aiogate import Exchange, Principal, StoredKey
from aiogate.builtin.api_keys.settings import KeySettings

__all__ = ["NOBODYS", "Known"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NEVER: Final = bytes(hashlib.sha256().digest_size)
"""The digest of no text that anybody could find."""


@attrs.frozen(kw_only=True)
class Known:
    """One key.

    Args:
        principal: whose it is; None for the one that stands in for all that nobody knows.
        peppers: how its digest is made, as a place in the plugin's list of peppers.
        previous: the digest of the secret that it had before, good until ``previous_until``.
    """

    principal: Principal | None = None
    digest: bytes = _NEVER
    pepper: int = 0
    expires: float | None = None
    networks: tuple[Network, ...] = ()
    previous: bytes = _NEVER
    previous_until: float = 0.0
    is_bound: bool = attrs.field(init=False)
    """Whether there is a time or a place where it may not be used."""

    @is_bound.default
    def _bound(self) -> bool:
        return self.expires is not None or bool(self.networks)

    @classmethod
    def of_settings(cls, key: KeySettings, pepper: int) -> "Known":
        """Return a key of the config."""
        expires = None if key.expires is None else key.expires.timestamp()
        digest = bytes.fromhex(key.hmac_sha256 or key.sha256 or "")
        return cls(**_common(key, key.attributes), digest=digest, pepper=pepper, expires=expires)

    @classmethod
    def of_stored(cls, key: StoredKey, pepper: int) -> "Known":
        """Return a key of the store; raises ``ValueError`` or ``TypeError`` for one that says nothing sensible."""
        return cls(
            **_common(key, key.labels),
            digest=bytes.fromhex(key.digest),
            pepper=pepper,
            expires=None if key.expires is None else float(key.expires),
            previous=_NEVER if key.previous is None else bytes.fromhex(key.previous),
            previous_until=float(key.previous_until or 0.0),
        )

    def recognises(self, digest: bytes, now: float) -> bool:
        """Tell whether a digest is of the key's secret; takes the same time whatever it is."""
        current = hmac.compare_digest(digest, self.digest)
        before = hmac.compare_digest(digest, self.previous)
        return current or (before and now < self.previous_until)

    def may_be_used(self, exchange: Exchange) -> bool:
        """Tell whether it is not too late, and where it comes from."""
        if self.expires is not None and exchange.clock.wall() >= self.expires:
            return False
        return not self.networks or _is_within(exchange.client_address, self.networks)


NOBODYS: Final = Known()


def _common(key: KeySettings | StoredKey, attributes: Mapping[str, str]) -> dict[str, Any]:
    """Return what keys of both kinds say alike."""
    principal = Principal(
        id=key.principal,
        roles=frozenset(key.roles),
        department=key.department,
        key_id=key.id,
        cost_center=key.cost_center,
        attributes=attributes,
    )
    return {"principal": principal, "networks": tuple(ipaddress.ip_network(network) for network in key.networks)}


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        client = ipaddress.ip_address(address)
    except ValueError:
        return False
    client = getattr(client, "ipv4_mapped", None) or client
    return any(client in network for network in networks)
