"""What an operator asks for: the query and the JSON of one request as one, with who asks and why."""

from collections.abc import Mapping
from typing import Any, Final

import attrs
import orjson
from aiohttp import web

from aiogate.errors import JournalError, Refused, refusal
from aiogate.journal.action import encode_action
from aiogate.server.admin.route import Schema
from aiogate.server.admin.running import Running

__all__ = ["BY_WHOM", "Asked", "asked_of", "write_down"]

CALLER: Final = web.RequestKey("caller", str)
"""Who has been authenticated; where nobody had to be it is not there, and whoever asks says who it is."""
BY_WHOM: Final[Mapping[str, Schema]] = {
    "actor": {"type": "string", "description": "Who does it, where the listener does not know; for the journal."},
    "reason": {"type": "string", "description": "Why, for the journal and whoever looks."},
}
_UNKNOWN: Final = "unknown"
_NO_REASON: Final = "none given"


@attrs.frozen
class Asked:
    """One request for an action.

    Args:
        facts: all that was said, by name.
        actor: who asks: who was authenticated, else who it is said to be.
        reason: why, or ``""``.
    """

    facts: Mapping[str, Any]
    actor: str
    reason: str

    def text(self, name: str) -> str | None:
        """Return what was said; None: nothing. Raises ``Refused`` for what is no text."""
        value = self.facts.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return f"{value}"
        raise Refused(refusal("bad_request", f"{name}: expected a text"))


async def asked_of(request: web.Request) -> Asked:
    """Return what a request says; raises ``Refused``. What the body says counts before the query."""
    facts: dict[str, Any] = dict(request.query)
    body = await request.read()
    if body:
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Refused(refusal("bad_request", f"the body is no JSON: {error}")) from error
        if not isinstance(said, dict):
            raise Refused(refusal("bad_request", "the body has to be a JSON object"))
        facts |= said
    stated, caller = facts.pop("actor", None), request.get(CALLER)
    reason = facts.pop("reason", None)
    actor = caller or (stated if isinstance(stated, str) else None) or _UNKNOWN
    return Asked(facts, actor, reason.strip() if isinstance(reason, str) else "")


def write_down(gateway: Running, action: str, asked: Asked, **about: str | float | None) -> None:
    """Put an action into the journal before it is done; raises ``Refused``: then it must not be done."""
    house, reason = gateway.house, asked.reason or _NO_REASON
    try:
        house.journal.append(encode_action(house.clock.wall(), action, actor=asked.actor, reason=reason, **about))
    except JournalError as error:
        detail = "the record could not be written; nothing has changed"
        raise Refused(refusal("journal_unavailable", detail)) from error
