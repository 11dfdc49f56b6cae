"""Quotas as the ``RateLimit`` and ``RateLimit-Policy`` headers (draft-ietf-httpapi-ratelimit-headers)."""

import math
from collections.abc import Sequence

from multidict import CIMultiDict

from aiogate.claims import Counted, Quota, Shortage
from aiogate.errors import Refusal, refusal

__all__ = ["put_quotas", "shortage_refusal"]


def put_quotas(headers: CIMultiDict[str], quotas: Sequence[Quota]) -> None:
    """Tell the client what is left of each limit that the exchange was counted on."""
    if not quotas:
        return
    policies, left = [], []
    for quota in quotas:
        claim = quota.claim
        if claim.kind is Counted.LEASE:
            policies.append(f'"{claim.name}";q={claim.limit};qu="concurrent-requests"')
            left.append(f'"{claim.name}";r={quota.remaining}')
        else:
            policies.append(f'"{claim.name}";q={claim.limit};w={math.ceil(claim.seconds)}')
            left.append(f'"{claim.name}";r={quota.remaining};t={math.ceil(quota.reset_seconds)}')
    headers["RateLimit-Policy"] = ", ".join(policies)
    headers["RateLimit"] = ", ".join(left)


def shortage_refusal(shortage: Shortage) -> Refusal:
    """Return the 429 for claims that did not fit."""
    claim = shortage.claim
    if claim.kind is Counted.LEASE:
        code, what = "concurrency_limited", f"{claim.limit} at once"
    else:
        code, what = "rate_limited", f"{claim.limit} in {claim.seconds:g} s"
    return refusal(
        code,
        f"limit {claim.name!r} is reached: {what}; retry in {max(1, math.ceil(shortage.retry_after_seconds))} s",
        retry_after_seconds=shortage.retry_after_seconds,
        rule=claim.name,
        members={"limit": claim.limit},
    )
