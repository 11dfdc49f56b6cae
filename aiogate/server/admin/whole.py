"""How a handler answers for all workers of the machine, when it has a view of its own and one of theirs is the same."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aiohttp import web

from aiogate.server.admin.running import gateway_of
from aiogate.server.siblings import from_a_sibling

__all__ = ["of_all", "worker_of"]

V = TypeVar("V")


async def of_all(request: web.Request, mine: V, merge: Callable[[Sequence[Any]], V]) -> V:
    """Return the views of all workers merged; this one's alone where a sibling asks, who merges, or there is none.

    ``mine`` must be as it will be parsed from JSON.
    """
    siblings = gateway_of(request).house.siblings
    if siblings.folder is None or from_a_sibling(request):
        return mine
    return merge([mine, *await siblings.gather(request.path_qs)])


def worker_of(request: web.Request) -> dict[str, Any]:
    """Return what tells this worker from the others, for a view of its own; nothing where there is one process."""
    siblings = gateway_of(request).house.siblings
    return {} if siblings.folder is None else {"worker": {"name": siblings.name, "pid": os.getpid()}}
