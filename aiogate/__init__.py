"""aiogate: one front door for an organisation's AI agents.

These are the names that a plugin may import; everything else may change without notice. They are loaded when the first
of them is asked for: ``aiogate --help`` needs none.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiogate.agent import Agent, Health, Retry, Seconds, Secret, UsageRule
    from aiogate.board import Board, Topic
    from aiogate.calls import Call
    from aiogate.claims import (
        LARGEST_AMOUNT,
        Claim,
        Counted,
        Grant,
        Measure,
        OnStateError,
        Period,
        Quota,
        Rate,
        Shortage,
        Standing,
        State,
        budget_refusal,
    )
    from aiogate.errors import AiogateError, Refusal, Refused, StateError, refusal
    from aiogate.exchange import ANONYMOUS, Attempt, Clock, Exchange, Key, Outcome, Principal, Reply, Usage
    from aiogate.hookspecs import Finding, Gateway, Observer, Ranked, Spent, hookimpl
    from aiogate.pepper import Pepper
    from aiogate.stored_key import KEYS_TOPIC, Revocation, StoredKey

__all__ = [
    "ANONYMOUS",
    "KEYS_TOPIC",
    "LARGEST_AMOUNT",
    "Agent",
    "AiogateError",
    "Attempt",
    "Board",
    "Call",
    "Claim",
    "Clock",
    "Counted",
    "Exchange",
    "Finding",
    "Gateway",
    "Grant",
    "Health",
    "Key",
    "Measure",
    "Observer",
    "OnStateError",
    "Outcome",
    "Pepper",
    "Period",
    "Principal",
    "Quota",
    "Ranked",
    "Rate",
    "Refusal",
    "Refused",
    "Reply",
    "Retry",
    "Revocation",
    "Seconds",
    "Secret",
    "Shortage",
    "Spent",
    "Standing",
    "State",
    "StateError",
    "StoredKey",
    "Topic",
    "Usage",
    "UsageRule",
    "budget_refusal",
    "hookimpl",
    "refusal",
]
__version__ = "0.1.0"

_ROOMS = ("agent", "board", "calls", "claims", "errors", "exchange", "hookspecs", "pepper", "stored_key")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return a public name, and have all of them here from now on (PEP 562)."""
        if name not in __all__:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        for room in _ROOMS:
            module = import_module(f"aiogate.{room}")
            globals().update({public: getattr(module, public) for public in __all__ if hasattr(module, public)})
        return globals()[name]
