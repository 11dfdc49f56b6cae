"""A stream of events that begins before the agent has answered: ``early_headers``.

For the walk. Once the client has its head an agent can no longer refuse: whatever it does wrong the stream has to say.
"""

from http import HTTPStatus
from typing import Final

import orjson
from multidict import istr

from aiogate.agent import Agent
from aiogate.calls import CARD, EXTENDED_CARD
from aiogate.errors import Refusal, refusal
from aiogate.exchange import Exchange, Outcome
from aiogate.proxy.answer import Answer
from aiogate.proxy.head import now
from aiogate.proxy.terminal_event import is_event_stream
from aiogate.proxy.upstream import Head
from aiogate.server.outgoing import ACCEPT_ENCODING, Body

__all__ = ["begin", "broken_promise", "wants_events"]

_ACCEPT: Final = istr("Accept")
_EVENT_STREAM: Final = "text/event-stream"


def wants_events(exchange: Exchange, body: Body) -> bool:
    """Tell whether the client asks for a stream of events, by its headers or by a small body of JSON.

    A card is none, whatever is asked for: it goes on as a whole.
    """
    if exchange.call is not None and exchange.call.method in {CARD, EXTENDED_CARD}:
        return False
    if _EVENT_STREAM in exchange.request_headers.get(_ACCEPT, ""):
        return True
    if not isinstance(body, bytes) or b'"stream"' not in body:
        return False
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return type(asked) is dict and asked.get("stream") is True


def begin(exchange: Exchange, answer: Answer, own: str) -> None:
    """Send the head; the agent is not to compress, since the head says nothing of that. ``own`` are our headers."""
    _promise(exchange)
    exchange.request_headers[ACCEPT_ENCODING] = "identity"
    fields = [(b"Content-Type", _EVENT_STREAM.encode()), (b"Cache-Control", b"no-cache")]
    own = f"{own}\r\nX-Accel-Buffering: no\r\nDate: {now()}"
    answer.start(answer.head(HTTPStatus.OK, None, fields, own, length_known=False))


def broken_promise(exchange: Exchange, agent: Agent, head: Head) -> tuple[Refusal, Outcome] | None:
    """Return what is wrong with an agent's answer that is not the stream that its client was promised, and whose fault.

    A 4xx is not the agent's.
    """
    if head.status == HTTPStatus.OK and is_event_stream(exchange):
        return None
    _promise(exchange)
    said = f"{head.status}, {head.media_type or 'no content type'}"
    why = refusal("agent_failed", f"agent {agent.id!r} answered {said} where a stream of events was promised")
    is_ours = HTTPStatus.BAD_REQUEST <= head.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return why, Outcome.CUT if is_ours else Outcome.UPSTREAM_FAILED


def _promise(exchange: Exchange) -> None:
    """Note what the client has been told."""
    exchange.status, exchange.content_type, exchange.content_encoding = HTTPStatus.OK.value, _EVENT_STREAM, ""
