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
from aiogate.state.redis import ClusterState, RedisState
from aiogate.state.redis.scripts import source
from tests.state.redis_cluster import Cluster, redis_cluster
from tests.state.redis_server import RedisServer, redis_server

__all__ = ["STATES", "MakeState", "cluster_state", "redis_state_in_four_slots", "shared_server"]

MakeState = Callable[[Clock], State]
_PATIENT_SECONDS: Final = 30.0
_numbers: Final = count()


@cache
def shared_server() -> RedisServer:
    """Return a server for all tests that leave it in peace."""
    running = ExitStack()
    atexit.register(running.close)
    return running.enter_context(redis_server())


def redis_state(clock: Clock, script: str | None = None) -> RedisState:
    """Return counters in Redis that nobody else has, by the clock's time."""
    state = RedisState(
        shared_server().url,
        clock,
        prefix=f"test{next(_numbers)}:",
        timeout_seconds=_PATIENT_SECONDS,
        on_error="refuse",
        script=script,
    )
    return state.at(clock.wall)


@cache
def shared_cluster() -> Cluster:
    """Return a cluster for all tests that leave it in peace."""
    running = ExitStack()
    atexit.register(running.close)
    return running.enter_context(redis_cluster())


def cluster_state(clock: Clock) -> ClusterState:
    """Return counters in a cluster that nobody else has, by the clock's time."""
    url, prefix = shared_cluster().url, f"test{next(_numbers)}:"
    state = ClusterState(url, clock, prefix=prefix, timeout_seconds=_PATIENT_SECONDS, on_error="refuse")
    return state.at(clock.wall)


def redis_state_in_four_slots(clock: Clock) -> RedisState:
    """Return counters in Redis that keep windows of a limit over 4 in 4 slots."""
    script = source()
    assert "SLOTS = 1024" in script
    return redis_state(clock, script.replace("SLOTS = 1024", "SLOTS = 4"))


STATES: Final[dict[str, MakeState]] = {"memory": MemoryState, "redis": redis_state}
