"""Keeps a session of MCP with the endpoint that has begun it, where an agent has several.

The id of a session tells which that is: the gateway puts a mark before it on its way to the client and takes it off on
the way back. So every gateway and every worker knows, and nothing is shared or remembered. A mark that means no
endpoint any more goes to another one, whose 404 has the client begin anew, as the protocol has it.
"""

import hashlib
from functools import lru_cache
from typing import Final

from multidict import istr

from aiogate.agent import Agent
from aiogate.exchange import Exchange, Key
from aiogate.proxy.answer import Answer
from aiogate.proxy.endpoint_event import EndpointEvent
from aiogate.proxy.upstream.endpoint import Endpoint
from aiogate.proxy.upstream.endpoints import Endpoints

__all__ = ["SESSION", "begun_at", "bound", "unbound"]

SESSION: Final = istr("Mcp-Session-Id")
_MARK: Final = Key[str]("mcp.mark")
_MARK_CHARACTERS: Final = 8
_BEHIND: Final = "."
_PARAMETER: Final = "aiogate-endpoint="


def unbound(exchange: Exchange, agent: Agent) -> None:
    """Take the mark off the session's id, or off the query that the old transport has it in; the agent gets its own."""
    before, named, mark = exchange.query.rpartition(_PARAMETER)
    if len(agent.urls) > 1 and named and len(mark) == _MARK_CHARACTERS:
        exchange[_MARK] = mark
        exchange.query = before.removesuffix("&")
    marked = exchange.request_headers.get(SESSION)
    if len(agent.urls) > 1 and marked is not None and marked[_MARK_CHARACTERS : _MARK_CHARACTERS + 1] == _BEHIND:
        exchange[_MARK] = marked[:_MARK_CHARACTERS]
        exchange.request_headers[SESSION] = marked[_MARK_CHARACTERS + 1 :]


def begun_at(exchange: Exchange, endpoints: Endpoints) -> int | None:
    """Return the place of the endpoint that has begun the exchange's session; None: any, or it is down."""
    mark = exchange.get(_MARK)
    if mark is None:
        return None
    places = enumerate(endpoints.places)
    return next((at for at, place in places if _mark(place.endpoint) == mark and not place.is_down), None)


def bound(exchange: Exchange, answer: Answer, endpoint: Endpoint) -> None:
    """Put the mark before the session's id in a response, if it has one, and into the event that the old one has."""
    if isinstance(answer.sift, EndpointEvent):
        answer.sift.query = f"{_PARAMETER}{_mark(endpoint)}"
    session = exchange.response_headers.get(SESSION)
    if session is not None:
        exchange.response_headers[SESSION] = f"{_mark(endpoint)}{_BEHIND}{session}"


@lru_cache(maxsize=1024)
def _mark(endpoint: Endpoint) -> str:
    return hashlib.sha256(f"{endpoint.name}{endpoint.base_path}".encode()).hexdigest()[:_MARK_CHARACTERS]
