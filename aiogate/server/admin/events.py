"""What happens, as it happens: Server-Sent Events for operators, who may come back and read on where they were."""

import asyncio
import contextlib
from typing import Final

from aiohttp import web

from aiogate.errors import refusal
from aiogate.server.admin.answers import problem
from aiogate.server.admin.route import Route
from aiogate.server.admin.running import Running, gateway_of
from aiogate.server.events import Follower, Position, Wanted

__all__ = ["KINDS", "ROUTES"]

KINDS: Final = ("started", "first_byte", "ended", "refused", "breaker", "budget", "limit", "reload", "kill", "gap")
"""What there is; plugins may tell of more."""
_LOOK_SECONDS: Final = 0.2
"""How late an event may come. What has come meanwhile leaves in one write, and all readers look at the same moments, so
that those who ask the same share the work."""
_SILENT_SECONDS: Final = 10.0
_STUCK_SECONDS: Final = 60.0
"""A reader that takes nothing for so long has gone; what it loses it will find by its last id, or as a gap."""
_MOST_FOLLOWERS: Final = 128
_TRUE: Final = frozenset({"", "1", "true", "yes"})
_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


async def _events(request: web.Request) -> web.StreamResponse:
    """Give the events that are wanted until the reader leaves, or the gateway does."""
    gateway = gateway_of(request)
    events = gateway.house.events
    if events.followers >= _MOST_FOLLOWERS:
        return problem(refusal("too_many_connections", f"{_MOST_FOLLOWERS} read the events already"), request.path)
    last = request.headers.get("Last-Event-ID") or request.query.get("last_event_id")
    with events.followed():
        follower = Follower.of(events, _wanted(request), None if last is None else Position.parse(last))
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        if request.method != "HEAD":
            with contextlib.suppress(ConnectionError, TimeoutError):  # it has gone, or as good as that
                await _write(response, b"retry: 1000\nid: %b\n\n" % follower.id.encode())
                await _follow(gateway, follower, request, response)
    return response


def _wanted(request: web.Request) -> Wanted:
    query = request.query
    kinds = query.get("kinds")
    return Wanted(
        agent=query.get("agent"),
        principal=query.get("principal"),
        refused=query.get("refused", "0").lower() in _TRUE,
        kinds=None if kinds is None else frozenset(kinds.split(",")),
    )


async def _follow(gateway: Running, follower: Follower, request: web.Request, response: web.StreamResponse) -> None:
    loop = asyncio.get_running_loop()
    written_at = loop.time()
    while request.transport is not None and not request.transport.is_closing():
        ends = gateway.house.stopping and not gateway.house.open_exchanges
        text = follower.take()
        if not text and loop.time() - written_at > _SILENT_SECONDS:
            text = b": keepalive\nid: %b\n\n" % follower.id.encode()
        if text:
            await _write(response, text)
            written_at = loop.time()
        if follower.is_behind:
            await asyncio.sleep(0)
        elif ends:
            return
        else:
            await asyncio.sleep(_LOOK_SECONDS - loop.time() % _LOOK_SECONDS)


async def _write(response: web.StreamResponse, text: bytes) -> None:
    async with asyncio.timeout(_STUCK_SECONDS):
        await response.write(text)


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
