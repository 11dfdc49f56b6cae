"""The record of what an operator has done to a gateway that runs; it stands in the journal between those of exchanges.

It has ``"kind": "action"``, which no record of an exchange has: readers that add up or replay exchanges pass it over.
"""

from typing import Any, Final

import orjson

from aiogate.journal.record import RECORD_BYTES, timestamp

__all__ = ["encode_action", "is_action"]

_ACTION: Final = "action"
_CHARACTERS: Final = {"agent": 64, "actor": 64, "reason": 160}
"""What is kept of each; even in the longest escapes the record stays within ``RECORD_BYTES``."""


def encode_action(wall: float, action: str, *, agent: str, actor: str, reason: str) -> bytes:
    """Return the record: one line of JSON that ends in a line feed.

    Args:
        wall: when, in seconds since 1970.
        action: what was done: ``breaker.open``.
        agent: to which agent.
        actor: who says to have done it.
        reason: why, in the actor's words.
    """
    said = {"agent": agent, "actor": actor, "reason": reason}
    facts = {"time": timestamp(wall), "kind": _ACTION, "action": action}
    for name, text in said.items():
        facts[name] = text.encode("utf-8", "replace").decode()[: _CHARACTERS[name]]
    line = orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)
    while len(line) > RECORD_BYTES:
        facts["reason"] = facts["reason"][: len(facts["reason"]) // 2]
        facts["actor"] = facts["actor"][:32]
        line = orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)
    return line


def is_action(record: dict[str, Any]) -> bool:
    """Tell a record of an operator's doing from one of an exchange."""
    return record.get("kind") == _ACTION
