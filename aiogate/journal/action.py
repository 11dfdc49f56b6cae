"""The record of what an operator has done to a gateway that runs; it stands in the journal between those of exchanges.

It has ``"kind": "action"``, which no record of an exchange has: readers that add up or replay exchanges pass it over.
"""

from typing import Any, Final

import orjson

from aiogate.journal.record import RECORD_BYTES, timestamp

__all__ = ["ABOUT", "encode_action", "is_action"]

ABOUT: Final = ("agent", "principal", "department", "key_id", "request_id", "generation")
"""The names of what an action may be about, the most telling first."""
_ACTION: Final = "action"
_CHARACTERS: Final = {"actor": 64, "reason": 160}
_NAME_CHARACTERS: Final = 64
"""What is kept of each; even in the longest escapes the record stays within ``RECORD_BYTES``."""


def encode_action(wall: float, action: str, *, actor: str, reason: str, **about: str | float | None) -> bytes:
    """Return the record: one line of JSON that ends in a line feed.

    Args:
        wall: when, in seconds since 1970.
        action: what was done: ``breaker.open``.
        actor: who has done it, or says so.
        reason: why, in the actor's words.
        about: to what, by name: ``agent``, ``principal``, ``key_id``; None is left out.
    """
    facts: dict[str, str | float] = {"time": timestamp(wall), "kind": _ACTION, "action": action}
    for name, fact in {**about, "actor": actor, "reason": reason}.items():
        if fact is not None:
            facts[name] = _tame(fact, _CHARACTERS.get(name, _NAME_CHARACTERS))
    line = orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)
    while len(line) > RECORD_BYTES:
        texts = {name: fact for name, fact in facts.items() if isinstance(fact, str)}
        longest = max(texts, key=lambda name: len(orjson.dumps(texts[name])))
        facts[longest] = texts[longest][: len(texts[longest]) // 2]
        line = orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)
    return line


def _tame(fact: str | float, characters: int) -> str | float:
    return fact.encode("utf-8", "replace").decode()[:characters] if isinstance(fact, str) else fact


def is_action(record: dict[str, Any]) -> bool:
    """Tell a record of an operator's doing from one of an exchange."""
    return record.get("kind") == _ACTION
