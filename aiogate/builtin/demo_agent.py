"""The demo agent: a small HTTP service that answers, streams, dawdles and fails when asked, for newcomers and tests.

Knows nothing of the gateway in front of it. Its model is ``demo-1``, its tokens are words, its endpoints:

- ``POST /chat``: ``{"message": "..."}`` gives ``{"reply", "model", "usage"}``.
- ``GET|POST /stream?words=12&delay_ms=80``: Server-Sent Events, one word each, then the usage and ``[DONE]``.
- ``POST /v1/chat/completions``, ``GET /v1/models``: as OpenAI's, ``stream`` and ``include_usage`` too.
- ``* /echo``: method, path, headers and body length as they arrived; credentials are masked.
- ``* /slow?seconds=2`` answers late, ``* /fail?status=503`` with an error, ``GET /health`` that all is well.
- ``GET /``: this list. Bad input gets a 400 whose JSON body says what was expected.
"""

import asyncio
import contextlib
import itertools
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

import attrs
import orjson
from aiohttp import web

from aiogate import Clock

__all__ = ["ENDPOINTS", "MODEL", "DemoAgent"]

MODEL: Final = "demo-1"
ENDPOINTS: Final[Mapping[str, str]] = {
    "POST /chat": 'send {"message": "..."}, get a reply and what it used',
    "GET|POST /stream": "one word per event: ?words=1..1000&delay_ms=0..5000",
    "POST /v1/chat/completions": "as OpenAI's: stream and stream_options.include_usage work, ?delay_ms=0..5000 too",
    "GET /v1/models": "the one model there is",
    "* /echo": "what arrived: method, path, headers, body length; credentials are masked",
    "* /slow": "answers late: ?seconds=0..60",
    "* /fail": "answers with an error: ?status=400..599",
    "GET /health": "answers that all is well",
}
_SPEECH: Final = ("every", "word", "left", "the", "agent", "alone", "and", "came", "to", "you", "at", "once")
_CREDENTIAL: Final = re.compile(r"authorization|cookie|api-?key|token|secret|password", re.IGNORECASE)
_STREAM_HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_SHOWN_CHARACTERS: Final = 40

N = TypeVar("N", int, float)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _BadInputError(ValueError):
    """What the client sent is not what the endpoint takes; the message says what is."""


@attrs.frozen
class _Parameter(Generic[N]):
    """A number in the query, from ``low`` to ``high``."""

    name: str
    default: N
    low: N
    high: N

    def read(self, request: web.Request) -> N:
        """Return what the client asked for."""
        text = request.query.get(self.name)
        if text is None:
            return self.default
        with contextlib.suppress(ValueError):
            number = type(self.default)(text)
            if self.low <= number <= self.high:
                return number
        kind = "whole number" if isinstance(self.default, int) else "number"
        shown = text[:_SHOWN_CHARACTERS]
        msg = f"{self.name}: expected a {kind} from {self.low:g} to {self.high:g}, got {shown!r}"
        raise _BadInputError(msg)


_WORDS: Final = _Parameter("words", 12, 1, 1000)
_DELAY_MS: Final = _Parameter("delay_ms", 80, 0, 5000)
_SECONDS: Final = _Parameter("seconds", 2.0, 0.0, 60.0)
_STATUS: Final = _Parameter("status", 503, 400, 599)


class DemoAgent:
    """Answers the requests; ``clock`` dates the completions."""

    def __init__(self, clock: Clock) -> None:
        """Start counting completions at 1."""
        self._clock = clock
        self._numbers = itertools.count(1)

    def application(self) -> web.Application:
        """Return the agent as an application, to be run once."""
        application = web.Application(middlewares=[_errors_as_json])
        application.router.add_get("/", _index)
        application.router.add_post("/chat", _chat)
        application.router.add_get("/stream", _stream, allow_head=False)
        application.router.add_post("/stream", _stream)
        application.router.add_post("/v1/chat/completions", self._completions)
        application.router.add_get("/v1/models", _models)
        application.router.add_route("*", "/echo", _echo)
        application.router.add_route("*", "/echo/{rest:.*}", _echo)
        application.router.add_route("*", "/slow", _slow)
        application.router.add_route("*", "/fail", _fail)
        application.router.add_get("/health", _health)
        return application

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        said = await _json_object(request)
        texts = _texts(said.get("messages"))
        words = f"You said: {texts[-1]}".split()
        usage = _usage(sum(len(text.split()) for text in texts), len(words))
        head = {"id": f"chatcmpl-demo-{next(self._numbers)}", "created": int(self._clock.wall()), "model": MODEL}
        if said.get("stream") is True:
            chunks = _completion_chunks(head, words, usage if _include_usage(said) else None)
            return await _events(request, chunks, _DELAY_MS.read(request))
        message = {"role": "assistant", "content": " ".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return _json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})


async def _index(_request: web.Request) -> web.Response:
    return _json({"agent": "demo", "model": MODEL, "endpoints": ENDPOINTS})


async def _health(_request: web.Request) -> web.Response:
    return _json({"status": "ok"})


async def _models(_request: web.Request) -> web.Response:
    model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "aiogate"}
    return _json({"object": "list", "data": [model]})


async def _chat(request: web.Request) -> web.Response:
    message = (await _json_object(request)).get("message")
    if not isinstance(message, str):
        msg = 'expected a JSON object with a text "message"'
        raise _BadInputError(msg)
    reply = f"You said: {message}"
    usage = _usage(len(message.split()), len(reply.split()))
    return _json({"reply": reply, "model": MODEL, "usage": usage})


async def _stream(request: web.Request) -> web.StreamResponse:
    count, delay_ms = _WORDS.read(request), _DELAY_MS.read(request)
    words = itertools.islice(itertools.cycle(_SPEECH), count)
    last = {"object": "chat.completion.chunk", "model": MODEL, "choices": [], "usage": _usage(0, count)}
    return await _events(request, itertools.chain(({"word": word} for word in words), [last]), delay_ms)


async def _echo(request: web.Request) -> web.Response:
    length = 0
    async for part in request.content.iter_any():
        length += len(part)
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.raw_headers:  # request.headers respells the names that it knows
        name, value = raw_name.decode("utf-8", "replace"), raw_value.decode("utf-8", "replace")
        shown = "***" if _CREDENTIAL.search(name) else value
        headers[name] = f"{headers[name]}, {shown}" if name in headers else shown
    return _json({"method": request.method, "path": request.raw_path, "headers": headers, "body_bytes": length})


async def _slow(request: web.Request) -> web.Response:
    seconds = _SECONDS.read(request)
    await asyncio.sleep(seconds)
    return _json({"slept_seconds": seconds})


async def _fail(request: web.Request) -> web.Response:
    status = _STATUS.read(request)
    return _error(status, f"the demo agent failed with {status} because it was asked to")


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except _BadInputError as bad:
        return _error(400, str(bad))
    except web.HTTPException as error:
        answer = _error(error.status, f"{error.reason}; GET / lists what there is")
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer


async def _events(request: web.Request, payloads: Iterable[Any], delay_ms: int) -> web.StreamResponse:
    """Answer with one event per payload, each written alone, and ``[DONE]``."""
    response = web.StreamResponse(headers=_STREAM_HEADERS)
    await response.prepare(request)
    for number, payload in enumerate(payloads):
        if number:
            await asyncio.sleep(delay_ms / 1000)
        await response.write(b"data: %b\n\n" % orjson.dumps(payload))
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _completion_chunks(head: Mapping[str, Any], words: Iterable[str], usage: Any) -> Iterable[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Yield the chunks of a streamed completion; ``usage`` is None where it was not asked for."""
    frame = {**head, "object": "chat.completion.chunk"}
    asked = {} if usage is None else {"usage": None}
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": f" {word}" if number else word}, None) for number, word in enumerate(words)]
    deltas.append(({}, "stop"))
    for delta, finish_reason in deltas:
        yield {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], **asked}
    if usage is not None:
        yield {**frame, "choices": [], "usage": usage}


def _include_usage(said: Mapping[str, Any]) -> bool:
    options = said.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _texts(messages: object) -> list[str]:
    """Return the text of each message, whose content is a text or a list of parts."""
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        msg = 'expected "messages": a list of at least one {"role": ..., "content": ...}'
        raise _BadInputError(msg)
    return [_text(message.get("content")) for message in messages]


def _text(content: object) -> str:
    parts = content if isinstance(content, list) else [{"text": content}]
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return " ".join(text for text in texts if isinstance(text, str))


async def _json_object(request: web.Request) -> dict[str, Any]:
    try:
        said = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        msg = f"expected a JSON object, got something that is no JSON: {error}"
        raise _BadInputError(msg) from error
    if not isinstance(said, dict):
        msg = f"expected a JSON object, got {type(said).__name__}"
        raise _BadInputError(msg)
    return said


def _usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    total_tokens = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total_tokens}


def _error(status: int, message: str) -> web.Response:
    kind = "invalid_request_error" if status < 500 else "api_error"  # noqa: PLR2004 - RFC 9110 section 15.6
    return _json({"error": {"message": message, "type": kind, "code": None}}, status)


def _json(said: Any, status: int = 200) -> web.Response:  # noqa: ANN401 - JSON
    body = orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(body=body, status=status, content_type="application/json")
