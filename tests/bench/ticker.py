"""A timer finer than a millisecond, for the agent's paced streams and the open loop.

uvloop rounds its timers to milliseconds; a bench of delays around a millisecond cannot live with that.
Knows nothing of what it drives. Linux only, like the rest of the bench.
"""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["TICK_SECONDS", "Ticker"]

TICK_SECONDS = 0.0002

# os.timerfd_create exists from Python 3.13 on.
_libc = ctypes.CDLL(None, use_errno=True)
_NANOSECONDS = 1_000_000_000


class Ticker:
    """Calls ``tick`` every ``TICK_SECONDS`` while it is entered."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._fd = -1

    def __enter__(self) -> Self:
        """Start to tick."""
        self._fd = _libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        interval = divmod(round(TICK_SECONDS * _NANOSECONDS), _NANOSECONDS)
        spec = (ctypes.c_long * 4)(*interval, *interval)
        if self._fd < 0 or _libc.timerfd_settime(self._fd, 0, spec, None) < 0:
            raise OSError(ctypes.get_errno(), "no timerfd: the bench needs Linux")
        asyncio.get_running_loop().add_reader(self._fd, self._expired)
        return self

    def _expired(self) -> None:
        os.read(self._fd, 8)
        self._tick()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tick no more."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
