"""How a gateway stops taking exchanges, and lets go of those that it has: nobody is refused, nothing is lost.

Knows nothing of signals; who asks for the drain may lose patience in the middle of it.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final

import attrs
from aiohttp import web

from aiogate.server.house import House
from aiogate.server.protocol import PublicServer

__all__ = ["Drain"]

_FIRST_REQUEST_SECONDS: Final = 1.0
"""How long a connection that was let in may take to say what for."""
_LOOK_SECONDS: Final = 0.02
_CUT_SECONDS: Final = 2.0
_TASKS_SECONDS: Final = 10.0
"""How long a plugin's ``post_response`` may hold a gateway that stops."""
_HURRIED_SECONDS: Final = 1.0
"""Likewise when whoever stops it has lost patience."""


@attrs.define
class Drain:
    """One stop of one gateway.

    While it lasts answers say ``Connection: close``. A request on a kept connection is served until the grace is over,
    and refused as ``shutting_down`` after that.
    """

    _house: House
    _hurried: asyncio.Event = attrs.field(factory=asyncio.Event)

    def hurry(self) -> None:
        """Cut what is under way, now."""
        self._hurried.set()
        self._house.cut()

    async def run(
        self, runners: Iterable[web.BaseRunner], public: PublicServer | None, delay_seconds: float, grace_seconds: float
    ) -> None:
        """Say so, stop listening after ``delay_seconds``, let exchanges end for ``grace_seconds``, cut the rest."""
        house = self._house
        house.stopping = True
        for walk in house.open_exchanges.values():
            walk.answer.keep_alive = False
        if grace_seconds > 0:
            await self._unless_hurried(delay_seconds)
        for runner in runners:
            for site in list(runner.sites):
                await site.stop()
        if grace_seconds > 0:
            if public is not None:
                await self._until_known(public)
            await house.emptied(grace_seconds)
        house.cut()
        await house.emptied(_CUT_SECONDS)
        await self.join()

    async def join(self) -> None:
        """Wait for what is done about exchanges that have ended."""
        await self._house.tasks.join(_HURRIED_SECONDS if self._hurried.is_set() else _TASKS_SECONDS)

    async def _until_known(self, public: PublicServer) -> None:
        """Close the connections that are kept for nothing; wait for the first word of those that are new."""
        await asyncio.sleep(0)  # what the listener has accepted becomes connections
        public.close_idle()
        end = asyncio.get_running_loop().time() + _FIRST_REQUEST_SECONDS
        while public.has_unheard() and asyncio.get_running_loop().time() < end and not self._hurried.is_set():
            await self._unless_hurried(_LOOK_SECONDS)

    async def _unless_hurried(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()
