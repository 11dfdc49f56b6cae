"""aiogate: one front door for an organisation's AI agents.

These are the names that a plugin may import; everything else may change without notice.
"""

from aiogate.agent import Agent, Health, Retry, Seconds, Secret, UsageRule
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
from aiogate.errors import AiogateError, Refusal, Refused, refusal
from aiogate.exchange import Attempt, Clock, Exchange, Key, Outcome, Principal, Reply, Usage
from aiogate.hookspecs import Finding, Gateway, Observer, Ranked, Spent, hookimpl

__all__ = [
    "LARGEST_AMOUNT",
    "Agent",
    "AiogateError",
    "Attempt",
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
    "Period",
    "Principal",
    "Quota",
    "Ranked",
    "Rate",
    "Refusal",
    "Refused",
    "Reply",
    "Retry",
    "Seconds",
    "Secret",
    "Shortage",
    "Spent",
    "Standing",
    "State",
    "Usage",
    "UsageRule",
    "budget_refusal",
    "hookimpl",
    "refusal",
]
__version__ = "0.1.0"
