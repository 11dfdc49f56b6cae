"""Asking a state, with the decision that a test expects."""

from collections.abc import Sequence

from aiogate.claims import Claim, Grant, Shortage, State


async def granted(state: State, *claims: Claim) -> Grant:
    decision = await state.acquire(claims)
    assert isinstance(decision, Grant), decision
    return decision


async def refused(state: State, *claims: Claim) -> Shortage:
    decision = await state.acquire(claims)
    assert isinstance(decision, Shortage), decision
    return decision


def left(decision: Grant | Shortage) -> list[tuple[int, float]]:
    return [(quota.remaining, quota.reset_seconds) for quota in decision.quotas]


async def fill(state: State, claim: Claim, times: int) -> Sequence[Grant]:
    return [await granted(state, claim) for _ in range(times)]
