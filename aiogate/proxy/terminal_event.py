"""The last words to a client whose stream ends before its time: an error in the stream's own dialect.

For the walk, once per stream that is cut or breaks; costs the others nothing. They are said between two events only:
there is no way to take back half an event, and whatever came behind it would make a whole one of it. In the middle of
an event, in a compressed stream and in a body whose length the head has told there are none; then the aborted
connection alone says that something is missing, as it does in any case.
"""

import json
import re
from typing import Any, Final

import orjson

from aiogate.errors import CATALOGUE, Refusal
from aiogate.exchange import Exchange
from aiogate.proxy.answer import Answer
from aiogate.proxy.frames import close_frame

__all__ = ["at_border", "between_events", "ends_of", "is_event_stream", "last_words"]

_BETWEEN_EVENTS: Final = (b"\n\n", b"\n\r", b"\r\r", b"\n\r\n", b"\r\r\n")
_END_OF_EVENT: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_END_OF_RECORD: Final = re.compile(rb"\n")
_RECORDS: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl")
_OPENINGS: Final = (
    (b'"jsonrpc"', "a2a"),
    (b"message_start", "anthropic"),
    (b'"chat.completion.chunk"', "openai"),
    (b'"text_completion"', "openai"),
    (b"response.created", "responses"),
    (b'"candidates"', "gemini"),
)
"""What stands in the first event of a stream of each dialect; MCP is JSON-RPC as A2A is."""
_PATHS: Final = (("/messages", "anthropic"), ("/responses", "responses"), ("/completions", "openai"))
_INTERNAL_ERROR: Final = -32603
_REQUEST_BYTES: Final = 65536
_EVENT_ID: Final = re.compile(
    rb'^data:\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*("[^"\\\r\n]*"|-?[1-9]\d{0,17}|0)\s*[,}]',
    re.MULTILINE,
).search
"""Where the id stands that a JSON-RPC response begins with, half of which is enough."""
_POLICY_VIOLATION, _SERVER_ERROR, _SERVICE_RESTART = 1008, 1011, 1012
_LEAST_SERVER_STATUS: Final = 500


def is_event_stream(exchange: Exchange) -> bool:
    """Tell whether the response comes in Server-Sent Events that can be read as they are."""
    return _media_type(exchange) == "text/event-stream" and _is_plain(exchange)


def between_events(tail: bytes) -> bool:
    """Tell by the last four bytes of a stream of events whether none of them is under way."""
    return not tail or tail.endswith(_BETWEEN_EVENTS)


def ends_of(exchange: Exchange) -> re.Pattern[bytes] | None:
    """Return what ends an event, or a record, of the response; None: it has none that can be told apart."""
    if not _is_plain(exchange):
        return None
    media_type = _media_type(exchange)
    return _END_OF_EVENT if media_type == "text/event-stream" else _END_OF_RECORD if media_type in _RECORDS else None


def at_border(exchange: Exchange, answer: Answer) -> bool:
    """Tell whether the response has events, or records, and none is under way."""
    end = ends_of(exchange)
    if end is _END_OF_RECORD:
        return not answer.tail or answer.tail.endswith(b"\n")
    return end is not None and between_events(answer.tail)


def last_words(exchange: Exchange, answer: Answer, why: Refusal) -> bytes:
    """Return the terminal error event for a response whose head the client has, ``b""`` where none can be sent."""
    if answer.frames is not None:
        return close_frame(_close_code(why), why.detail) if answer.frames.at_border else b""
    if answer.length_known:
        return b""
    if not at_border(exchange, answer):
        return b""
    if is_event_stream(exchange):
        return _event(exchange, answer, why)
    error = _error(exchange, why)
    return _json({"error": error.pop("message"), **error}) + b"\n"  # as Ollama has it


def _event(exchange: Exchange, answer: Answer, why: Refusal) -> bytes:
    error = _error(exchange, why)
    match _dialect(exchange, answer):
        case "openai":
            return b"data: %b\n\n" % _json({"error": error})
        case "responses":
            said = {"type": "error", "code": why.code, "message": why.detail, "param": None, "error": error}
            return b"event: error\ndata: %b\n\n" % _json(said)
        case "anthropic":
            said = {"type": "error", "error": error, "request_id": exchange.id}
            return b"event: error\ndata: %b\n\n" % _json(said)
        case "gemini":
            said = {"error": {"code": why.status, "status": "UNAVAILABLE", "message": why.detail, "details": [error]}}
            return b"data: %b\n\n" % _json(said)
        case "a2a":
            failed = {"code": _INTERNAL_ERROR, "message": error.pop("message"), "data": error}
            return b"data: %b\n\n" % _json({"jsonrpc": "2.0", "id": _request_id(exchange, answer), "error": failed})
        case _:
            retry = error.get("retry_after_seconds")
            hint = b"" if retry is None else b"retry: %d\n" % (retry * 1000)
            return b"%bevent: error\ndata: %b\n\n" % (hint, _json({"error": error}))


def _dialect(exchange: Exchange, answer: Answer) -> str:
    """Return the dialect: by how the stream has begun, else by the agent's config, else by the path."""
    for mark, dialect in _OPENINGS:
        if mark in answer.opening:
            return dialect
    if exchange.call is not None and exchange.call.id is not None:
        return "a2a"  # whatever has been called, it was by JSON-RPC
    kind = "" if exchange.agent is None else exchange.agent.usage.kind
    path = next((dialect for end, dialect in _PATHS if exchange.path.endswith(end)), "")
    return path if kind in {"", "recognised", "declared", "pointers", "estimate"} else kind


def _error(exchange: Exchange, why: Refusal) -> dict[str, Any]:
    kind = CATALOGUE.get(why.code)
    error: dict[str, Any] = {
        "message": why.detail,
        "type": "api_error" if kind is None else kind.error_type,
        "code": why.code,
        "request_id": exchange.id,
    }
    if why.rule is not None:
        error["rule"] = why.rule
    if why.retry_after_seconds is not None:
        error["retry_after_seconds"] = why.retry_after_seconds
    return error


def _request_id(exchange: Exchange, answer: Answer) -> str | int | None:
    """Return the id of the JSON-RPC request: out of its body where that was read, else of the first event."""
    if exchange.call is not None and exchange.call.id is not None:
        return exchange.call.id
    body = exchange.body
    if body is not None and len(body) <= _REQUEST_BYTES:
        try:
            request = orjson.loads(body)
        except orjson.JSONDecodeError:
            request = None
        if type(request) is dict and type(request.get("id")) in {str, int}:
            return request["id"]  # type: ignore[no-any-return] # it is one of these
    event = _EVENT_ID(answer.opening)
    return orjson.loads(event[1]) if event else None


def _close_code(why: Refusal) -> int:
    """Return the code that a WebSocket is closed with (RFC 6455 section 7.4.1 and its registry)."""
    if why.code == "shutting_down":
        return _SERVICE_RESTART
    return _SERVER_ERROR if why.status >= _LEAST_SERVER_STATUS else _POLICY_VIOLATION


def _media_type(exchange: Exchange) -> str:
    return exchange.content_type.partition(";")[0].strip().lower()


def _is_plain(exchange: Exchange) -> bool:
    return exchange.content_encoding.strip().lower() in {"", "identity"}


def _json(said: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(said)
    except orjson.JSONEncodeError:  # the request's id: an integer of more than 64 bits, or a lone surrogate
        return json.dumps(said).encode()
