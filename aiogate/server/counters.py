"""The counters that a config asks for, ready to be taken from, the board, and the journals' centre.

Knows nothing of who takes.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiogate.errors import AiogateError, StateError
from aiogate.exchange import Clock
from aiogate.settings.model import StateSettings
from aiogate.state import State
from aiogate.state.board import Board
from aiogate.state.disk_topic import DISK_FILE, DiskBoard
from aiogate.state.memory import MemoryState
from aiogate.stored_key import KEYS_TOPIC

if TYPE_CHECKING:
    from aiogate.state.redis.central import Central

__all__ = ["central_of", "open_board", "open_state"]


async def open_state(settings: StateSettings, clock: Clock) -> State:
    """Return the counters, connected; raises ``AiogateError``.

    A Redis that cannot be reached hinders no start: it is the same as one that goes away later. One that refuses the
    user does, since no waiting helps there.
    """
    if settings.url.reveal() == "memory://":
        return MemoryState(clock)
    try:
        state = await asyncio.to_thread(_redis, settings, clock)
        await state.open()
    except (StateError, OSError, ValueError) as error:
        msg = f"[state] url: {error}"
        raise AiogateError(msg) from error
    counters: State = state
    return counters


async def open_board(settings: StateSettings, directory: Path, clock: Clock) -> Board:
    """Return the board, with what all others know; raises ``AiogateError`` as ``open_state`` does.

    Without a Redis the keys are in a file in ``directory``, so that they are there again after a restart.
    """
    if settings.url.reveal() == "memory://":
        kept = DiskBoard(directory / DISK_FILE, (KEYS_TOPIC,), clock.wall)
        await kept.open()
        return kept
    try:
        board = await asyncio.to_thread(_redis_board, settings)
        await board.open()
    except (StateError, OSError, ValueError) as error:
        msg = f"[state] url: {error}"
        raise AiogateError(msg) from error
    shared: Board = board
    return shared


def central_of(settings: StateSettings) -> "Central | None":
    """Return where journals are shipped to, not connected yet; None: nowhere. Blocks."""
    if settings.url.reveal() == "memory://":
        return None
    from aiogate.state.redis.central import Central  # noqa: PLC0415 - redis-py, which takes long to import

    return Central(
        settings.url.reveal(),
        prefix=settings.prefix,
        stream_records=settings.stream_records,
        fleet_days=settings.fleet_days,
    )


def _redis_board(settings: StateSettings) -> Any:  # noqa: ANN401 - its class is imported here alone
    from aiogate.state.redis.board import RedisBoard  # noqa: PLC0415 - redis-py, which takes long to import

    return RedisBoard(settings.url.reveal(), prefix=settings.prefix)


def _redis(settings: StateSettings, clock: Clock) -> Any:  # noqa: ANN401 - its class is imported here alone
    from aiogate.state.redis import counters_at  # noqa: PLC0415 - redis-py, which takes long to import

    return counters_at(
        settings.url.reveal(),
        clock,
        prefix=settings.prefix,
        timeout_seconds=settings.timeout_seconds,
        on_error=settings.on_error,
    )
