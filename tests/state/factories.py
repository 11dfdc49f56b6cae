"""The states that there are, each made for a clock: what is promised of ``State`` is tested on every one."""

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from itertools import count
from typing import Final

from aiogate.claims import State
from aiogate.exchange import Clock
from aiogate.state.memory import MemoryState
from aiogate.state.redis import RedisState
from tests.state.redis_server import RedisServer, redis_server

__all__ = ["STATES", "MakeState", "shared_server"]

MakeState = Callable[[Clock], State]
_PATIENT_SECONDS: Final = 30.0
_numbers: Final = count()


@cache
def shared_server() -> RedisServer:
    """Return a server for all tests that leave it in peace."""
    running = ExitStack()
    atexit.register(running.close)
    return running.enter_context(redis_server())


def redis_state(clock: Clock) -> RedisState:
    """Return counters in Redis that nobody else has, by the clock's time."""
    prefix = f"test{next(_numbers)}:"
    state = RedisState(shared_server().url, clock, prefix=prefix, timeout_seconds=_PATIENT_SECONDS, on_error="refuse")
    return state.at(clock.wall)


STATES: Final[dict[str, MakeState]] = {"memory": MemoryState, "redis": redis_state}
