"""The ``api_keys`` plugin: finds the key that a caller presents, compares it, and says whose it is.

For configs that name it. See the package for what a config looks like.
"""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Final

from aiogate import ANONYMOUS, Exchange, Gateway, Pepper, Principal, Refusal, hookimpl, refusal
from aiogate.builtin.api_keys.known import NOBODYS, Known
from aiogate.builtin.api_keys.presented import MALFORMED, take_key
from aiogate.builtin.api_keys.settings import ApiKeysConfig
from aiogate.builtin.api_keys.stored import Stored

__all__ = ["ApiKeys"]

_LONGEST: Final = len("agk__") + 64 + 64
_ID_FROM: Final = len("agk_")
_ID_TO: Final = -len("_") - 64
_REFUSED: Final = refusal(
    "unauthenticated",
    "a valid API key is needed, as 'Authorization: Bearer <key>' or 'X-API-Key: <key>'",
    headers=(("WWW-Authenticate", 'Bearer realm="aiogate"'),),
)
_NOT_YET: Final = refusal(
    "state_unavailable", "the store of keys has not been reached since the gateway was started; ask again in a moment"
)


class ApiKeys:
    """Authenticates callers by API key; every failure looks and costs the same."""

    Config = ApiKeysConfig
    enforces = frozenset({"principal"})

    def __init__(self, config: ApiKeysConfig) -> None:
        """Index the keys of the config by their public id."""
        given = config.pepper.reveal().encode() if config.pepper is not None else None
        kinds = {given if key.hmac_sha256 else None for key in config.keys} or {given}
        self._peppers = sorted(kinds, key=lambda kind: kind is None)
        self._known = {
            key.id: Known.of_settings(key, self._peppers.index(given if key.hmac_sha256 else None))
            for key in config.keys
        }
        self._config_ids = frozenset(self._known)
        self._stored = Stored(config.key_pepper, self._known, self._peppers) if config.store else None

    @hookimpl
    def lifespan(self, gateway: Gateway) -> AbstractAsyncContextManager[object] | None:
        """Follow the keys of the store."""
        return None if self._stored is None else self._stored.followed(gateway.board)

    @hookimpl
    def pre_request(self, exchange: Exchange) -> Refusal | None:
        """Find the key, take it out of what the agent gets, and say whose it is, unless the caller is known already."""
        key = take_key(exchange.request_headers)
        caller = exchange.principal
        if caller is not None and caller is not ANONYMOUS:
            return _REFUSED if key else None  # a plugin before this one knows the caller; two callers at once are none
        known = self._recognise(key, exchange)
        if known.principal is None or (known.is_bound and not known.may_be_used(exchange)):
            return _NOT_YET if key and self._stored is not None and self._stored.is_unread else _REFUSED
        exchange.principal = known.principal
        return None

    def principals(self) -> Iterator[Principal]:
        """Yield whom the keys belong to, for ``aiogate explain --as``; a principal comes once for each key."""
        for known in tuple(self._known.values()):
            if known.principal is not None:
                yield known.principal

    def admits(self, key_id: str, exchange: Exchange) -> bool:
        """Tell whether a key still stands, for what was let in by it before and comes back, such as a ticket."""
        known = self._known.get(key_id)
        return known is not None and known.may_be_used(exchange)

    def key_store(self) -> tuple[Pepper, frozenset[str]] | None:
        """Return what the store's keys are made with, and the ids that the config has taken; None: no store."""
        return None if self._stored is None else (self._stored.pepper, self._config_ids)

    def _recognise(self, key: str, exchange: Exchange) -> Known:
        """Return the key that has this text; whatever is wrong with it takes the same digests and comparisons."""
        if len(key) > _LONGEST:
            key = MALFORMED
        known = self._known.get(key[_ID_FROM:_ID_TO], NOBODYS)
        text = key.encode("utf-8", "replace")
        peppers, stored = self._peppers, self._stored
        if len(peppers) == 1:
            digest = _digest(text, peppers[0])
        else:
            digest = [_digest(text, pepper) for pepper in peppers][known.pepper]
        if stored is None or not stored.rotating:
            return known if hmac.compare_digest(digest, known.digest) else NOBODYS
        return known if known.recognises(digest, exchange.clock.wall()) else NOBODYS


def _digest(text: bytes, pepper: bytes | None) -> bytes:
    return hashlib.sha256(text).digest() if pepper is None else hmac.digest(pepper, text, "sha256")
