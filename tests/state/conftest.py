"""Every state that there is, on a clock that a test moves."""

from collections.abc import AsyncIterator, Iterator

import pytest

from aiogate.claims import State
from aiogate.state.redis.scripts import board_source, central_source, source
from tests.state.factories import STATES, shared_server
from tests.state.redis_server import RedisServer, redis_server
from tests.state.ticking import Ticking


@pytest.fixture(scope="session", autouse=True)
def ready() -> None:
    """Do what takes files and processes before there is a loop that it would hold up."""
    shared_server()
    source()
    board_source()
    central_source()


@pytest.fixture
def ticking() -> Ticking:
    return Ticking()


@pytest.fixture(params=STATES)
async def state(request: pytest.FixtureRequest, ticking: Ticking) -> AsyncIterator[State]:
    made = STATES[request.param](ticking.clock())
    yield made
    await made.close()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running
