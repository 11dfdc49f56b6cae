"""Opens an exchange from a request: what it asks for, from where, with which headers and body."""

from random import getrandbits

from aiohttp.web import BaseRequest
from multidict import CIMultiDict

from aiogate.exchange import Exchange, Principal
from aiogate.proxy.body import ClientBody
from aiogate.proxy.headers import clean_request
from aiogate.proxy.target import Target
from aiogate.server.generation import Generation

__all__ = ["ANONYMOUS", "open_exchange"]

ANONYMOUS = Principal(id="anonymous")


def open_exchange(request: BaseRequest, target: Target, generation: Generation) -> Exchange:
    """Return the exchange, with the agent that the path names as its candidate.

    A path that names no agent, or one that there is not, begins with all agents: what the plugins leave of them is what
    this principal may use, for the catalogue and for the suggestions of a 404.
    """
    settings = generation.settings
    named = settings.agents.get(target.agent_id) if target.agent_id is not None else None
    headers = CIMultiDict(request.headers)
    expects_continue = headers.get("Expect", "").lower() == "100-continue"
    clean_request(headers)
    max_body = settings.server.max_body if named is None or named.max_body is None else named.max_body
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    return Exchange(
        id=f"{getrandbits(128) or 1:032x}",
        clock=generation.clock,
        method=request.method,
        full_path=target.full_path,
        path=target.path,
        query=target.query,
        target=target.agent_id,
        scheme="http",
        client_address=peer[0] if isinstance(peer, tuple) else "",
        request_headers=headers,
        content_length=_content_length(request),
        agent=named,
        candidates=[named] if named is not None else list(settings.agents.values()),
        request_body=ClientBody(request, max_body, expects_continue),
        generation=generation.number,
        started=generation.clock.monotonic(),
        started_wall=generation.clock.wall(),
        principal=ANONYMOUS if settings.server.anonymous else None,
    )


def _content_length(request: BaseRequest) -> int | None:
    if not request.body_exists:
        return 0
    length = request.headers.get("Content-Length")
    return int(length) if length is not None else None
