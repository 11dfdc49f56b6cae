"""aiogate: one front door for an organisation's AI agents.

These are the names that a plugin may import; everything else may change without notice.
"""

from aiogate.agent import Agent, Secret, UsageRule
from aiogate.claims import Claim, Counted, Grant, Quota, Rate, Shortage
from aiogate.errors import AiogateError, Refusal, Refused, refusal
from aiogate.exchange import Clock, Exchange, Key, Outcome, Principal, Reply, Usage
from aiogate.hookspecs import Finding, Gateway, Observer, Ranked, hookimpl

__all__ = [
    "Agent",
    "AiogateError",
    "Claim",
    "Clock",
    "Counted",
    "Exchange",
    "Finding",
    "Gateway",
    "Grant",
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
    "Secret",
    "Shortage",
    "Usage",
    "UsageRule",
    "hookimpl",
    "refusal",
]
__version__ = "0.1.0"
