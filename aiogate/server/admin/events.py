"""What happens, as it happens: Server-Sent Events for operators, who may come back and read on where they were."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

import attrs
from aiohttp import web

from aiogate.errors import refusal
from aiogate.server.admin.answers import problem
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import gateway_of
from aiogate.server.events import Follower, Merged, Position, Wanted
from aiogate.server.house import House
from aiogate.server.siblings import from_a_sibling

__all__ = ["KINDS", "ROUTES"]

KINDS: Final = ("started", "first_byte", "ended", "refused", "breaker", "budget", "limit", "reload", "kill", "gap")
"""What there is; plugins may tell of more."""
_LOOK_SECONDS: Final = 0.4
"""How late an event may come. What has come meanwhile leaves in one write, and all readers look at the same moments, so
that those who ask the same share the work."""
_SILENT_SECONDS: Final = 10.0
_STUCK_SECONDS: Final = 60.0
"""A reader that takes nothing for so long has gone; what it loses it will find by its last id, or as a gap."""
_MOST_FOLLOWERS: Final = 128
_MOST_OF_OTHERS: Final = 2_000
"""So many events of other workers wait for a reader."""
_TRUE: Final = frozenset({"", "1", "true", "yes"})
_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


async def _events(request: web.Request) -> web.StreamResponse:
    """Give the events that are wanted, of all workers of the machine, until the reader leaves or the gateway does."""
    house = gateway_of(request).house
    events = house.events
    if events.followers >= _MOST_FOLLOWERS:
        return problem(refusal("too_many_connections", f"{_MOST_FOLLOWERS} read the events already"), request.path)
    last = request.headers.get("Last-Event-ID") or request.query.get("last_event_id")
    place = None if last is None else Position.parse(last)
    with events.followed():
        reader = _Reader(request, house, Follower.of(events, _wanted(request), place))
        if house.siblings.folder is not None and not from_a_sibling(request):
            reader.merged = Merged(place or Position({}))
        await reader.response.prepare(request)
        if request.method != "HEAD":
            with contextlib.suppress(ConnectionError, TimeoutError):  # it has gone, or as good as that
                await reader.run({} if last is None else {"Last-Event-ID": last})
    return reader.response


def _wanted(request: web.Request) -> Wanted:
    query = request.query
    kinds = query.get("kinds")
    return Wanted(
        agent=query.get("agent"),
        principal=query.get("principal"),
        refused=query.get("refused", "0").lower() in _TRUE,
        kinds=None if kinds is None else frozenset(kinds.split(",")),
    )


@attrs.define
class _Reader:
    """One stream to one reader.

    Args:
        merged: makes one stream of those of all workers; None: it is of this process alone.
    """

    request: web.Request
    house: House
    follower: Follower
    merged: Merged | None = None
    response: web.StreamResponse = attrs.field(factory=lambda: web.StreamResponse(headers=_HEADERS))
    _of_others: asyncio.Queue[bytes] = attrs.field(factory=lambda: asyncio.Queue(_MOST_OF_OTHERS))

    async def run(self, headers: Mapping[str, str]) -> None:
        """Write until nobody reads any more, or there will be nothing more to write."""
        own_id = b"id: %b\n\n" % self.follower.id.encode()
        if self.merged is None:
            await self._write(b"retry: 1000\n" + own_id)
            await self._follow()
            return
        self.merged.add(own_id)
        await self._write(b"retry: 1000\n\n")
        hearing = self.house.tasks.start(self._hear(headers))
        try:
            await self._follow()
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _hear(self, headers: Mapping[str, str]) -> None:
        """Take what the other workers tell; while the reader has not taken it they wait, and lose it themselves."""
        async with contextlib.aclosing(self.house.siblings.events(self.request.path_qs, headers)) as heard:
            async for _, text in heard:
                await self._of_others.put(text)

    async def _follow(self) -> None:
        loop, transport = asyncio.get_running_loop(), self.request.transport
        written_at = loop.time()
        while transport is not None and not transport.is_closing():
            ends = self.house.stopping and not self.house.open_exchanges
            text = self._take()
            if not text and loop.time() - written_at > _SILENT_SECONDS:
                text = b": keepalive\nid: %b\n\n" % self._id()
            if text:
                await self._write(text)
                written_at = loop.time()
            if self.follower.is_behind:
                await asyncio.sleep(0)
            elif ends:
                return
            else:
                await asyncio.sleep(_LOOK_SECONDS - loop.time() % _LOOK_SECONDS)

    def _take(self) -> bytes:
        text = self.follower.take()
        if self.merged is None:
            return text
        others = [self._of_others.get_nowait() for _ in range(self._of_others.qsize())]
        own_id = b"id: %b\n\n" % self.follower.id.encode()  # further than its last event, where that is not wanted
        return self.merged.add(b"".join((text, own_id, *others)))

    def _id(self) -> bytes:
        return (self.follower.id if self.merged is None else str(self.merged.place)).encode()

    async def _write(self, text: bytes) -> None:
        async with asyncio.timeout(_STUCK_SECONDS):
            await self.response.write(text)


ROUTES: Final = (
    Route(
        method="GET",
        path="/api/events",
        handler=_events,
        summary="What happens, as Server-Sent Events; Last-Event-ID reads on from there.",
        media_type="text/event-stream",
        query={
            "agent": {"type": "string"},
            "principal": {"type": "string"},
            "refused": {"type": "boolean"},
            "kinds": {"type": "string", "description": f"With commas, of {', '.join(KINDS)}."},
            "last_event_id": {"type": "string", "description": "For those who cannot send the header."},
        },
        problems=("too_many_connections",),
    ),
)
