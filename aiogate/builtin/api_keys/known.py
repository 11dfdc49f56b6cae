"""A key as the requests meet it, whether the config or the store holds it."""

import hashlib
import hmac
import ipaddress
from typing import Final

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

    @classmethod
    def of_settings(cls, key: KeySettings, pepper: int) -> "Known":
        """Return a key of the config."""
        principal = Principal(
            id=key.principal,
            roles=frozenset(key.roles),
            department=key.department,
            key_id=key.id,
            cost_center=key.cost_center,
            attributes=key.attributes,
        )
        return cls(
            principal=principal,
            digest=bytes.fromhex(key.hmac_sha256 or key.sha256 or ""),
            pepper=pepper,
            expires=key.expires.timestamp() if key.expires is not None else None,
            networks=tuple(ipaddress.ip_network(network) for network in key.networks),
        )

    @classmethod
    def of_stored(cls, key: StoredKey, pepper: int) -> "Known":
        """Return a key of the store; raises ``ValueError`` or ``TypeError`` for one that says nothing sensible."""
        principal = Principal(
            id=key.principal,
            roles=frozenset(key.roles),
            department=key.department,
            key_id=key.id,
            cost_center=key.cost_center,
            attributes=key.labels,
        )
        return cls(
            principal=principal,
            digest=bytes.fromhex(key.digest),
            pepper=pepper,
            expires=None if key.expires is None else float(key.expires),
            networks=tuple(ipaddress.ip_network(network) for network in key.networks),
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


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        client = ipaddress.ip_address(address)
    except ValueError:
        return False
    client = getattr(client, "ipv4_mapped", None) or client
    return any(client in network for network in networks)
