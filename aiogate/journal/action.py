"""The record of what an operator has done to a gateway that runs; it stands in the journal between those of exchanges.

It has ``"kind": "action"``, which no record of an exchange has: readers that add up or replay exchanges pass it over.
"""

from typing import Any, Final

import orjson

from aiogate.journal.record import RECORD_BYTES, timestamp

__all__ = ["encode_action", "is_action", "subject_of"]

_ACTION: Final = "action"
_CHARACTERS: Final = {"actor": 64, "reason": 160}
_SUBJECT_CHARACTERS: Final = 64
"""What is kept of each; even in the longest escapes the record stays within ``RECORD_BYTES``."""


def encode_action(wall: float, action: str, *, actor: str, reason: str, **subject: str) -> bytes:
    """Return the record: one line of JSON that ends in a line feed.

    Args:
        wall: when, in seconds since 1970.
        action: what was done: ``breaker.open``.
        actor: who says to have done it.
        reason: why, in the actor's words.
        subject: to what, by the name of what that is: ``agent="support"``, ``key="k-alice"``.
    """
    said = {**subject, "actor": actor, "reason": reason}
    facts = {"time": timestamp(wall), "kind": _ACTION, "action": action}
    for name, text in said.items():
        kept = _CHARACTERS.get(name, _SUBJECT_CHARACTERS)
        facts[name] = text.encode("utf-8", "replace").decode()[:kept]
    line = orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)
    while len(line) > RECORD_BYTES:
        facts["reason"] = facts["reason"][: len(facts["reason"]) // 2]
        facts["actor"] = facts["actor"][:32]
        line = orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)
    return line


def is_action(record: dict[str, Any]) -> bool:
    """Tell a record of an operator's doing from one of an exchange."""
    return record.get("kind") == _ACTION


def subject_of(record: dict[str, Any]) -> str:
    """Return what was done something to: the agent, the key, the generation."""
    known = {"time", "kind", "action", "actor", "reason", "after", "seq", "chain"}
    return " ".join(str(value) for name, value in record.items() if name not in known)
