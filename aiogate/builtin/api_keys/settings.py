"""What ``[plugins.api_keys]`` may say."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import attrs

from aiogate import Pepper, Secret

__all__ = ["ApiKeysConfig", "KeySettings"]

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")


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
        pepper: a secret outside the config, such as ``${AIOGATE_PEPPER}``, that ``hmac_sha256`` and the hashes of the
            store are made with.
        pepper_file: where the store's pepper is if it is not given; made, with mode 0600, when the first key is.
        store: let in those who have a key of the store, too: ``aiogate keys create`` makes one.
        keys: the keys; ``aiogate keys new`` prints one, and the block to paste.
    """

    pepper: Secret | None = attrs.field(default=None)
    pepper_file: Path = Path("var/pepper")
    store: bool = True
    keys: tuple[KeySettings, ...] = attrs.field(default=())

    @property
    def key_pepper(self) -> Pepper:
        """Where the pepper of the store's keys is."""
        return Pepper(self.pepper, self.pepper_file)

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
