"""The clients of the soak: streams that are always open, calls at random times, and some of both that hang up.

Knows nothing of what the agents do; remembers every answer that came.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final

import aiohttp
import attrs

from tests.bench.soak.agents import EVENT_SECONDS

__all__ = ["Callers"]

_HANGS_UP: Final = 0.1
_FAULT: Final = 0.1
_STRANGER: Final = 0.02
_EVENTS: Final = (4, 40)
_LOST: Final = (aiohttp.ClientError, TimeoutError, ConnectionError)


@attrs.define(kw_only=True)
class Callers:
    """All clients of one run.

    Args:
        url: of the gateway.
        key: that it knows.
        faults: agents that misbehave.
        answered: ids of the exchanges whose head came; ``ends`` counts how they went.
    """

    url: str
    key: str
    faults: Sequence[str]
    answered: list[str] = attrs.field(factory=list)
    ends: Counter[str] = attrs.field(factory=Counter)
    _random: Random = attrs.field(factory=lambda: Random(7))
    _calls: set[asyncio.Task[None]] = attrs.field(factory=set)

    async def run(self, streams: int, calls_per_second: float, seconds: float) -> None:
        """Call until the time is over; then no new exchange is begun, and those under way are hung up on."""
        connector = aiohttp.TCPConnector(limit=0)
        headers = {"Authorization": f"Bearer {self.key}"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            streaming = [asyncio.create_task(self._streams(session, seconds)) for _ in range(streams)]
            end = asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < end:
                await asyncio.sleep(self._random.expovariate(calls_per_second))
                call = asyncio.create_task(self._call(session))
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)
            for task in (*streaming, *self._calls):
                task.cancel()
            await asyncio.gather(*streaming, *self._calls, return_exceptions=True)
            for task in streaming:
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error

    async def _streams(self, session: aiohttp.ClientSession, seconds: float) -> None:
        """Keep one stream open, one after the other; not all of them begin together."""
        await asyncio.sleep(self._random.uniform(0, min(5.0, seconds / 4)))
        while True:
            events = self._random.randint(*_EVENTS)
            stays = self._random.random() >= 2 * _HANGS_UP
            leaves = None if stays else self._random.uniform(0.0, events * EVENT_SECONDS)
            await self._ask(session, "stream", "GET", f"/agents/good/x?events={events}", leaves)

    async def _call(self, session: aiohttp.ClientSession) -> None:
        dice = self._random.random()
        leaves = self._random.uniform(0.0, 0.02) if self._random.random() < _HANGS_UP else None
        if dice < _FAULT:
            await self._ask(session, "fault", "POST", f"/agents/{self._random.choice(self.faults)}/x", leaves)
        elif dice < _FAULT + _STRANGER:
            await self._ask(session, "stranger", "POST", "/agents/good/x", leaves, Authorization="Bearer agk_x")
        else:
            await self._ask(session, "call", "POST", "/agents/good/x", leaves)

    async def _ask(
        self, session: aiohttp.ClientSession, kind: str, method: str, path: str, leaves: float | None, **headers: str
    ) -> None:
        """Make one exchange; hang up after so many seconds, or never."""
        body = b'{"message":"' + b"y" * 200 + b'"}' if method == "POST" else None
        end = "lost"
        with contextlib.suppress(*_LOST):
            async with asyncio.timeout(leaves):
                async with session.request(method, self.url + path, data=body, headers=headers) as response:
                    if "X-Request-Id" in response.headers:
                        self.answered.append(response.headers["X-Request-Id"])
                    end = "broken off"
                    async for _ in response.content.iter_any():
                        pass
                    end = str(response.status)
        self.ends[f"{kind} {'hung up' if leaves is not None and not end.isdigit() else end}"] += 1
