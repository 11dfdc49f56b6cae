"""aiogate: one front door for an organisation's AI agents.

These are the names that a plugin may import; everything else may change without notice.
"""

from aiogate.agent import Agent, Health, Retry, Seconds, Secret, UsageRule
from aiogate.claims import Claim, Counted, Grant, Quota, Rate, Shortage
from aiogate.errors import AiogateError, Refusal, Refused, refusal
from aiogate.exchange import Attempt, Clock, Exchange, Key, Outcome, Principal, Reply, Usage
from aiogate.hookspecs import Finding, Gateway, Observer, Ranked, hookimpl

__all__ = [
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
    "Observer",
    "Outcome",
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
    "Usage",
    "UsageRule",
    "hookimpl",
    "refusal",
]
__version__ = "0.1.0"
