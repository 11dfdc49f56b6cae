"""What the walk does differently for an agent that speaks a protocol: its request looked at, its addresses rewritten.

Agents without ``protocol`` never come here. Bodies are looked at as far as they are small anyway; held is only a card,
which is bounded.
"""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import attrs
from multidict import istr

from aiogate.agent import Agent
from aiogate.calls import CARD, EXTENDED_CARD, TOO_LONG, Call, call_of
from aiogate.exchange import Exchange, Key
from aiogate.proxy.agent_card import CardError, Places, card_in, etag_of
from aiogate.proxy.answer import Answer
from aiogate.proxy.body import ClientBody
from aiogate.proxy.endpoint_event import EndpointEvent
from aiogate.proxy.upstream import Response
from aiogate.server.outgoing import ACCEPT_ENCODING, CHUNKED, Body
from aiogate.server.sessions import SESSION, unbound
from aiogate.usage.decoding import CODINGS, decoder

__all__ = ["Speech", "WholeCard", "held", "places_of", "relocate", "whole_card"]

_CARD_BYTES: Final = 1024 * 1024
_ACCEPT: Final = istr("Accept")
_EVENTS: Final = "text/event-stream"
_PEEK_BYTES: Final = 65536
_IF_NONE_MATCH: Final = istr("If-None-Match")
_CONDITIONS: Final = (_IF_NONE_MATCH, istr("If-Modified-Since"), istr("If-Range"), istr("Range"))
"""They are about what the agent sends, which is not what the client gets."""
_OF_THE_BYTES: Final = (
    "Content-Length",
    "Content-Encoding",
    "Content-MD5",
    "Content-Digest",
    "Repr-Digest",
    "Digest",
    "ETag",
)
KNOWN: Final = Key[str]("card.if_none_match")
"""The tags of the card that the client has already."""
WholeCard = tuple[int, bytes]
"""Status and body."""


@attrs.frozen
class Speech:
    """One exchange with an agent that speaks a protocol, on its way there.

    Args:
        client: the request's body.
        answer: what the client gets.
        public: the base of the gateway's addresses.
    """

    exchange: Exchange
    agent: Agent
    client: ClientBody
    answer: Answer
    public: str

    async def heard(self, body: Body, framing: str) -> tuple[Body, str]:
        """Note what a request calls, and make way for what will be rewritten; return the body and its framing."""
        exchange, agent = self.exchange, self.agent
        if framing is CHUNKED and (short := await self.client.peek(_PEEK_BYTES)) is not None:
            body, framing = short, f"\r\nContent-Length: {len(short)}"
        whole = body if isinstance(body, bytes) else b"" if body is None else None
        headers = exchange.request_headers
        call = exchange.call = call_of(agent.protocol or "", exchange.method, exchange.path, headers, whole)
        if agent.protocol == "mcp":
            self._make_way_for_endpoint()
            unbound(exchange, agent)
        elif agent.rewrite_card and call.method in {CARD, EXTENDED_CARD}:
            for name in _CONDITIONS:
                if (said := headers.popall(name, None)) and name is _IF_NONE_MATCH:
                    exchange[KNOWN] = ", ".join(said)
            headers[ACCEPT_ENCODING] = "identity"
        return body, framing

    def _make_way_for_endpoint(self) -> None:
        """Have the event rewritten that names a path, should the stream be one of the transport that has it."""
        headers = self.exchange.request_headers
        if self.exchange.method == "GET" and SESSION not in headers and _EVENTS in headers.get(_ACCEPT, ""):
            self.answer.sift = EndpointEvent(places_of(self.agent, self.public))
            headers[ACCEPT_ENCODING] = "identity"


def relocate(exchange: Exchange, agent: Agent, public: str) -> None:
    """Keep a redirect to the agent's own base on the gateway; any other ``Location`` stays as it is.

    Of a 2xx or of another host it is none of ours: clients resolve it by what they have called (RFC 9110 10.2.2).
    """
    said = _location(exchange)
    moved = None if said is None else places_of(agent, public).relocated(said)
    if moved is not None:
        exchange.response_headers["Location"] = moved


def places_of(agent: Agent, public: str) -> Places:
    """Return where an agent is for itself, and through the gateway."""
    bases = (*(agent.urls or (agent.url,)), *agent.card_urls)
    return Places(public, agent.id, tuple(base for base in bases if urlsplit(base).scheme in {"http", "https"}))


async def whole_card(exchange: Exchange, agent: Agent, response: Response, public: str) -> WholeCard | None:
    """Return a card as the client gets it, with its headers in ``exchange``; None where the answer is none.

    Raises ``CardError`` for one that cannot be passed on: a client would follow it with its key.
    """
    if agent.protocol != "a2a" or not agent.rewrite_card or not _may_be_a_card(exchange):
        return None
    if not HTTPStatus.OK <= exchange.status < HTTPStatus.MULTIPLE_CHOICES:
        _keep_here(exchange, agent, public)
        return None
    headers = exchange.response_headers
    if exchange.method == "HEAD":
        for name in _OF_THE_BYTES:
            headers.popall(name, None)
        return exchange.status, b""
    raw = await held(response, agent)
    in_result = exchange.method == "POST"
    body = card_in(_plain(raw, exchange.content_encoding), places_of(agent, public), in_result=in_result)
    for name in _OF_THE_BYTES:
        headers.popall(name, None)
    if exchange.method != "GET":
        return exchange.status, body
    headers["ETag"] = tag = etag_of(body)
    return (HTTPStatus.NOT_MODIFIED.value, b"") if _is_known(exchange.get(KNOWN), tag) else (exchange.status, body)


def _keep_here(exchange: Exchange, agent: Agent, public: str) -> None:
    """Raise ``CardError`` for a redirect to a card elsewhere, which would name addresses that are not the gateway's."""
    said = _location(exchange)
    if said is None or exchange.status >= HTTPStatus.BAD_REQUEST or not _is_card(exchange.call):
        return
    if not places_of(agent, public).keeps(said, exchange.path):
        msg = f"agent {agent.id!r} redirects whoever asks for its card to another host"
        raise CardError(msg)


def _is_card(call: Call | None) -> bool:
    return call is not None and call.method in {CARD, EXTENDED_CARD}


def _location(exchange: Exchange) -> str | None:
    said = next((value for name, value in exchange.response_fields if name.lower() == b"location"), None)
    return None if said is None else said.decode("utf-8", "surrogateescape")


def _may_be_a_card(exchange: Exchange) -> bool:
    """Tell whether a card was asked for, or something that only the agent has understood."""
    call = exchange.call
    if call is None or not call.unclear:
        return _is_card(call)
    return call.unclear != TOO_LONG and "json" in exchange.content_type.lower()


def _is_known(tags: str | None, tag: str) -> bool:
    """Tell whether ``If-None-Match`` names a tag, strong or weak (RFC 9110 section 13.1.2)."""
    return tags is not None and any(one.strip().removeprefix("W/") in {tag, "*"} for one in tags.split(","))


async def held(response: Response, agent: Agent) -> bytes:
    """Return the whole body of a card."""
    chunks, size = list[bytes](), 0

    def hold(chunk: bytes) -> None:
        nonlocal size
        chunks.append(chunk)
        size += len(chunk)
        if size > _CARD_BYTES:
            response.hold()

    while not response.complete and size <= _CARD_BYTES:
        await response.pour(hold)
    if size <= _CARD_BYTES:
        hold(response.take())
    if size > _CARD_BYTES:
        msg = f"the card of agent {agent.id!r} is longer than {_CARD_BYTES} bytes"
        raise CardError(msg)
    return b"".join(chunks)


def _plain(body: bytes, content_encoding: str) -> bytes:
    """Undo a coding that nobody has asked for."""
    coding = content_encoding.strip().lower()
    if coding in {"", "identity"}:
        return body
    decodes = decoder(coding) if coding in CODINGS else None
    plain = None if decodes is None else decodes.decode(body)
    if plain is None or len(plain) > _CARD_BYTES:
        msg = f"the agent's card comes in the coding {coding!r}, which cannot be undone"
        raise CardError(msg)
    return plain
