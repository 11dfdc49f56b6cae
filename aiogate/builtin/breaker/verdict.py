"""What the end of an exchange says about its agent.

For the breaker. Looks at public facts of the exchange alone.
"""

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Final

from aiogate import Attempt, Exchange, Outcome

__all__ = ["ASKS_FOR_PAUSE", "Verdict", "asked_seconds", "is_failure", "left_behind", "verdict"]

ASKS_FOR_PAUSE: Final = frozenset({429, 529})
_FAILED_STATUS: Final = 500
_INTERNAL_ERROR: Final = "-32603"
_SECONDS: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")


class Verdict(Enum):
    """What an exchange has found out."""

    GOOD = auto()
    BAD = auto()
    NOTHING = auto()


def is_failure(status: int) -> bool:
    """Tell whether an agent that answers with this status has failed."""
    return status >= _FAILED_STATUS


def verdict(exchange: Exchange) -> Verdict:
    """Return what an ended exchange says.

    A 5xx, an agent that cannot be reached, is silent or breaks the protocol is bad, and so is an internal error that
    JSON-RPC brings in an answer of 200; every other answer is good, a 4xx too. A client that hung up, a refusal of our
    own, a reply of a plugin and a gateway that stops say nothing.
    """
    if exchange.forwarded is None:
        return Verdict.NOTHING
    if exchange.outcome is Outcome.UPSTREAM_FAILED:
        return Verdict.BAD
    if exchange.outcome is Outcome.COMPLETED:
        has_failed = is_failure(exchange.status) or exchange.call_failure == _INTERNAL_ERROR
        return Verdict.BAD if has_failed else Verdict.GOOD
    return Verdict.NOTHING


def left_behind(exchange: Exchange) -> dict[str, Attempt]:
    """Return the agents in whose place another one has served, each with the last attempt there: a failed one."""
    agent = exchange.agent
    return {one.agent.id: one for one in exchange.attempts if agent is None or one.agent.id != agent.id}


def asked_seconds(exchange: Exchange) -> float:
    """Return for how long ``Retry-After`` asks (RFC 9110 section 10.2.3: seconds or a date); 0: it does not."""
    text = exchange.response_headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        wall = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):  # whatever an agent can write there
        return 0.0
    return max(0.0, wall - exchange.clock.wall()) if math.isfinite(wall) else 0.0
