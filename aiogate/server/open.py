"""Opens an exchange from a request: what it asks for, from where, with which headers and body."""

from random import getrandbits
from typing import Final

from multidict import CIMultiDict, istr

from aiogate.exchange import Exchange, Principal
from aiogate.proxy.body import ClientBody
from aiogate.proxy.client_address import client_address
from aiogate.proxy.headers import clean_request
from aiogate.proxy.inbound import Inbound
from aiogate.proxy.target import Target
from aiogate.server.generation import Generation

__all__ = ["ANONYMOUS", "open_exchange"]

ANONYMOUS = Principal(id="anonymous")
_CONTENT_LENGTH: Final = istr("Content-Length")
_EXPECT: Final = istr("Expect")


def open_exchange(inbound: Inbound, target: Target, generation: Generation) -> tuple[ClientBody, Exchange]:
    """Return the request's body and the exchange, with the agent that the path names as its candidate.

    A path that names no agent, or one that there is not, begins with all agents: what the plugins leave of them is what
    this principal may use, for the catalogue and for the suggestions of a 404.
    """
    settings, clock = generation.settings, generation.clock
    named = settings.agents.get(target.agent_id) if target.agent_id is not None else None
    headers = CIMultiDict(inbound.headers)
    length = headers.get(_CONTENT_LENGTH)
    max_body = settings.server.max_body if named is None or named.max_body is None else named.max_body
    body = ClientBody(inbound, max_body, _EXPECT in headers and headers[_EXPECT].lower() == "100-continue")
    transport = inbound.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    address = peer[0] if isinstance(peer, tuple) else ""
    if generation.trusted_proxies:
        address = client_address(address, headers, generation.trusted_proxies)
    clean_request(headers)
    return body, Exchange(  # by position: with so many names the call would take three times as long
        f"{getrandbits(128) | 1:032x}",
        clock,
        inbound.method,
        target.full_path,
        target.path,
        target.query,
        target.agent_id,
        "http",
        address,
        headers,
        int(length) if length is not None else None if inbound.has_body else 0,
        [named] if named is not None else list(settings.agents.values()),
        body,
        generation.number,
        clock.monotonic(),
        clock.wall(),
        "",
        ANONYMOUS if settings.server.anonymous else None,
        named,
    )
