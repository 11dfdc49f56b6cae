"""A key of the store: whose it is, how long it is good for, and how its secret is recognised; never the secret.

For plugins that let callers in and for whoever makes keys. Knows nothing of where keys are kept but the topic's name.
"""

import hmac
from collections.abc import Mapping
from typing import Any, Final, Self

import attrs
import orjson

__all__ = ["KEYS_TOPIC", "Revocation", "StoredKey"]

KEYS_TOPIC: Final = "keys"
"""The topic of the board. It has a ``StoredKey`` by the key's id, and a ``Revocation`` by ``!`` and the id."""
_REVOKED: Final = "!"


@attrs.frozen(kw_only=True)
class StoredKey:
    """One key; times are wall seconds.

    Args:
        id: the public part of ``agk_<id>_<secret>``, which records name; it stays when the secret changes.
        principal: who calls with it.
        digest: HMAC-SHA-256 of the whole key with the pepper, in hexadecimal digits.
        pepper_id: which pepper that was.
        labels: words of the organisation's own, for policies: ``principal.attributes.team``.
        networks: where it may be used from (CIDRs); none: anywhere.
        expires: from then on it is refused.
        previous: the digest of the secret before this one, good until ``previous_until``.
        rotated: when the secret was changed last.
        created_by: who made it.
    """

    id: str
    principal: str
    digest: str
    pepper_id: str
    roles: tuple[str, ...] = ()
    department: str | None = None
    cost_center: str | None = None
    labels: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    networks: tuple[str, ...] = ()
    expires: float | None = None
    previous: str | None = None
    previous_until: float | None = None
    created: float
    created_by: str = ""
    rotated: float | None = None

    def encoded(self) -> bytes:
        """Return the entry of the topic."""
        return orjson.dumps({name: value for name, value in attrs.asdict(self).items() if value is not None})

    @classmethod
    def of(cls, entry: bytes) -> Self:
        """Return the key of an entry; raises ``ValueError`` for what a gateway of this version cannot judge."""
        facts = _facts(entry, cls)
        for name in ("roles", "networks"):
            facts[name] = tuple(facts.get(name, ()))
        return cls(**facts)

    @staticmethod
    def digest_of(key: str, pepper: bytes) -> bytes:
        """Return what is kept of a key."""
        return hmac.digest(pepper, key.encode("utf-8", "replace"), "sha256")


@attrs.frozen(kw_only=True)
class Revocation:
    """That a key is good no more, whatever else is written of it: an entry of its own, which no rotation replaces.

    Args:
        at: since when, in wall seconds.
        kills: what is under way with the key ends too.
    """

    at: float
    actor: str = ""
    reason: str = ""
    kills: bool = False

    def encoded(self) -> bytes:
        """Return the entry of the topic."""
        return orjson.dumps(attrs.asdict(self))

    @classmethod
    def of(cls, entry: bytes) -> Self:
        """Return the revocation of an entry; raises ``ValueError``."""
        return cls(**_facts(entry, cls))

    @staticmethod
    def name(key_id: str) -> str:
        """Return where the revocation of a key stands in the topic."""
        return _REVOKED + key_id

    @staticmethod
    def revokes(name: str) -> str | None:
        """Return the id of the key that an entry of this name revokes; None: it is a key's own."""
        return name.removeprefix(_REVOKED) if name.startswith(_REVOKED) else None


def _facts(entry: bytes, cls: Any) -> dict[str, Any]:  # noqa: ANN401 - a class of attrs
    """Return what an entry says. What this version does not know may be a condition: such a key lets nobody in."""
    facts = orjson.loads(entry)
    fields = attrs.fields_dict(cls)
    if not isinstance(facts, dict) or not facts.keys() <= fields.keys():
        msg = "the entry is of another version of aiogate"
        raise ValueError(msg)
    if missing := [name for name, field in fields.items() if field.default is attrs.NOTHING and name not in facts]:
        msg = f"the entry lacks {', '.join(missing)}"
        raise ValueError(msg)
    return facts
