"""Ends what is under way with a key that was revoked so: on every gateway, as soon as it hears of it.

Knows nothing of how a key is recognised.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from aiogate.errors import refusal
from aiogate.server.halts.cutting import cut_those
from aiogate.server.house import House
from aiogate.stored_key import KEYS_TOPIC, Revocation

__all__ = ["cut_what_is_revoked"]

_log: Final = logging.getLogger(__name__)
_WHY: Final = refusal("unauthenticated", "the API key of this call was revoked while it was under way")


def cut_what_is_revoked(house: House) -> Callable[[], None]:
    """From now on cut exchanges whose key is revoked with ``kills``; what is returned ends that."""
    return house.board.topic(KEYS_TOPIC).on_change(partial(_heard, house))


def _heard(house: House, name: str, entry: bytes | None) -> None:
    key_id = Revocation.revokes(name)
    if key_id is None or entry is None or not _kills(entry):
        return
    count = cut_those(house, _WHY, lambda principal, _: principal.key_id == key_id)
    if count:
        _log.warning("key %s is revoked, and %d exchanges with it have ended", key_id, count)


def _kills(entry: bytes) -> bool:
    """Tell whether a revocation is about what is under way too; of one that is not understood it is taken to be."""
    try:
        return Revocation.of(entry).kills
    except (ValueError, TypeError):
        return True
