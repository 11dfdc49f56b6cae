"""Gateways' counters on a Redis that a test may break."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import pytest

from aiogate.claims import OnStateError
from aiogate.exchange import Clock
from aiogate.state.redis import RedisState
from tests.state.redis_server import RedisServer

SECONDS = 20


class Connect(Protocol):
    async def __call__(
        self, clock: Clock | None = None, *, timeout_seconds: float = 0.25, on_error: OnStateError = "local"
    ) -> RedisState: ...


@pytest.fixture
async def connect(server: RedisServer) -> AsyncIterator[Connect]:
    """Make the counters of one more gateway."""
    made = list[RedisState]()

    async def connected(
        clock: Clock | None = None, *, timeout_seconds: float = 0.25, on_error: OnStateError = "local"
    ) -> RedisState:
        state = RedisState(server.url, clock or Clock(), timeout_seconds=timeout_seconds, on_error=on_error)
        await state.open()
        made.append(state)
        return state

    yield connected
    for state in made:
        await state.close()


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds."""
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.001)
