"""Asks an OpenAI-style agent for the usage of a stream, and hides the answer to it from a client that did not ask.

For whoever stands between client and agent: ``asking`` changes the request's body, a ``UsageEventFilter`` the bytes of
the response. Nothing here is in force yet, since nothing may stand between an arriving chunk and its write; what the
filter would hold back its docstring says. Knows nothing of HTTP.
"""

from typing import Any, Final

import orjson

__all__ = ["UsageEventFilter", "asking"]

_MARKER: Final = b'"usage"'
_MAX_HELD_BYTES: Final = 64 * 1024
_EVENT_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")
_LONGEST_END: Final = 3  # bytes of one that may have come when the last is missing
_ASKED: Final = b'"stream_options":{"include_usage":true}'


def asking(body: bytes) -> bytes | None:
    """Return the body of a chat or completion request with ``stream_options.include_usage``; None: leave it as it is.

    It stays as it is where it is no such request, asks for no stream, or asks for the usage already. Without
    ``stream_options`` of the client's own nothing but these is added, so that all other bytes stay what they were.
    """
    try:
        request: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if (
        type(request) is not dict
        or request.get("stream") is not True
        or not ("messages" in request or "prompt" in request)
    ):
        return None
    options = request.get("stream_options")
    if options is None and "stream_options" not in request:
        return body.rstrip()[:-1] + b"," + _ASKED + b"}"
    if type(options) is dict and options.get("include_usage") is True:
        return None
    own = options if type(options) is dict else {}
    return orjson.dumps({**request, "stream_options": {**own, "include_usage": True}})


class UsageEventFilter:
    """Takes the one event out of a stream that ``asking`` has brought into it: no choices, and a usage.

    What belongs to an event whose end has not come yet is held back, up to 64 KiB; a client can do nothing with it
    before its end anyway. Everything else goes on in the same call, unchanged and in order. Events of more bytes go on
    as they come. The stream must not be compressed.
    """

    __slots__ = ("_held", "_is_long")

    def __init__(self) -> None:
        self._held = b""
        self._is_long = False

    def feed(self, chunk: bytes) -> bytes:
        """Return what the client may have now that ``chunk`` has come."""
        start = max(0, len(self._held) - _LONGEST_END)
        waiting, passed = self._held + chunk, list[bytes]()
        while end := _first_end(waiting, start):
            if self._is_long or not _is_usage_event(waiting[:end]):
                passed.append(waiting[:end])
            waiting, start, self._is_long = waiting[end:], 0, False
        if self._is_long or len(waiting) > _MAX_HELD_BYTES:
            self._is_long = True
            passed.append(waiting[:-_LONGEST_END])  # an end may have come in part
            waiting = waiting[-_LONGEST_END:]
        self._held = waiting
        return b"".join(passed)

    def finish(self) -> bytes:
        """Return what is left when the stream has ended."""
        held, self._held = self._held, b""
        return b"" if not self._is_long and _is_usage_event(held) else held


def _is_usage_event(event: bytes) -> bool:
    if _MARKER not in event:
        return False
    data = b"\n".join(line[5:] for line in event.splitlines() if line.startswith(b"data:"))
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return type(said) is dict and said.get("choices") == [] and type(said.get("usage")) is dict


def _first_end(events: bytes, start: int) -> int:
    """Return where the first event ends, 0 when none does."""
    ends = [at + len(end) for end in _EVENT_ENDS if (at := events.find(end, start)) >= 0]
    return min(ends, default=0)
