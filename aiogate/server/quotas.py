"""Quotas as the ``RateLimit`` and ``RateLimit-Policy`` headers (draft-ietf-httpapi-ratelimit-headers)."""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import Final

from aiogate.claims import Counted, Measure, Quota, Shortage, budget_refusal
from aiogate.errors import Refusal, refusal

__all__ = ["quota_lines", "shortage_refusal"]

_PERIOD: Final = Counted.PERIOD
_LEASE: Final = Counted.LEASE


def quota_lines(quotas: Sequence[Quota]) -> str:
    """Return the header lines that tell what is left of each limit, each with CRLF before it; ``""`` without any.

    Budgets are not told: whose money it is need not be the caller's business.
    """
    policies = left = ""
    for claim, remaining, reset_seconds, _, _ in quotas:
        kind = claim.kind
        if kind is _PERIOD or claim.otherwise is not None:
            continue
        policy = _policy(kind, claim.name, claim.limit, claim.seconds, claim.measure)
        one = (
            f'"{claim.name}";r={remaining}'
            if kind is _LEASE
            else f'"{claim.name}";r={remaining};t={ceil(reset_seconds)}'
        )
        policies, left = (f"{policies}, {policy}", f"{left}, {one}") if policies else (policy, one)
    return f"\r\nRateLimit-Policy: {policies}\r\nRateLimit: {left}" if policies else ""


@lru_cache(maxsize=1024)
def _policy(kind: Counted, name: str, limit: int, seconds: float, measure: Measure) -> str:
    """Return a limit as ``RateLimit-Policy`` has it."""
    if kind is _LEASE:
        return f'"{name}";q={limit};qu="concurrent-requests"'
    unit = "" if measure is Measure.REQUESTS else f';qu="{measure}"'
    return f'"{name}";q={limit}{unit};w={ceil(seconds)}'


def shortage_refusal(shortage: Shortage) -> Refusal:
    """Return the 429 for claims that did not fit, or what the one that fits last has in its place."""
    claim = shortage.claim
    if claim.otherwise is not None:
        return claim.otherwise
    if claim.kind is _PERIOD:
        quota = next(quota for quota in shortage.quotas if quota.claim is claim)
        return budget_refusal(quota, shortage.retry_after_seconds)
    if claim.kind is _LEASE:
        code, what = "concurrency_limited", f"{claim.limit} at once"
    else:
        unit = "" if claim.measure is Measure.REQUESTS else f" {claim.measure}"
        code, what = "rate_limited", f"{claim.limit}{unit} in {claim.seconds:g} s"
    return refusal(
        code,
        f"limit {claim.name!r} is reached: {what}; retry in {max(1, ceil(shortage.retry_after_seconds))} s",
        retry_after_seconds=shortage.retry_after_seconds,
        rule=claim.name,
        members={"limit": claim.limit},
    )
