"""Asks an OpenAI-style agent for the usage of a stream, and hides the answer to it from a client that did not ask.

For agents with ``inject_usage``: ``asking`` changes the request's body, a ``UsageEventFilter`` the bytes of the
response, of these exchanges alone. Knows nothing of HTTP.
"""

import re
from typing import Any, Final

import orjson

__all__ = ["UsageEventFilter", "asking"]

_MARKER: Final = b'"usage"'
_NO_CHOICES: Final = re.compile(rb'"choices"\s*:\s*\[\s*\]').search
_A_CHOICE: Final = re.compile(rb'"choices"\s*:\s*\[\s*[^\]\s]').search
_BEGINNING: Final = re.compile(rb"data:[ \t]*\{")
_MAX_HELD_BYTES: Final = 64 * 1024
_EVENT_ENDS: Final = (b"\n\n", b"\n\r\n", b"\r\r")
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
    try:
        return orjson.dumps({**request, "stream_options": {**own, "include_usage": True}})
    except orjson.JSONEncodeError:  # nested deeper than it writes, though it reads that
        return None


class UsageEventFilter:
    """Takes the one event out of a stream that ``asking`` has brought into it: no choices, and a usage.

    Held back are the bytes of an event that may still be that one, as long as its end and its choices have not come, up
    to 64 KiB; a client can do nothing with them before its end anyway. Everything else goes on in the same call,
    unchanged and in order: the rest of an event as soon as it begins with a choice. The stream must not be compressed.
    """

    __slots__ = ("_held", "_passes", "_tail")

    def __init__(self) -> None:
        self._held = b""
        self._passes = False
        """Whether the beginning of the event that is under way has gone on already."""
        self._tail = b""
        """How that ended."""

    def feed(self, chunk: bytes) -> bytes:
        """Return what the client may have now that ``chunk`` has come."""
        waiting, passed = self._held + chunk, list[bytes]()
        start = max(0, len(self._held) - _LONGEST_END)
        self._held = b""
        while waiting:
            if self._passes:
                end = max(0, _first_end(self._tail + waiting, 0) - len(self._tail))
            else:
                end = _first_end(waiting, start)
            if not end:
                passed.append(self._begun(waiting))
                break
            if self._passes or not _is_usage_event(waiting[:end]):
                passed.append(waiting[:end])
            waiting, start = waiting[end:], 0
            self._passes, self._tail = False, b""
        return b"".join(passed)

    def finish(self) -> bytes:
        """Return what is left when the stream has ended."""
        held, self._held = self._held, b""
        return b"" if _is_usage_event(held) else held

    def _begun(self, event: bytes) -> bytes:
        """Return what may go on of an event whose end has not come."""
        if not self._passes and _may_be_usage_event(event):
            self._held = event
            return b""
        self._passes = True
        self._tail = (self._tail + event)[-_LONGEST_END:]
        return event


def _may_be_usage_event(begun: bytes) -> bool:
    """Tell whether an event that begins so may have no choices."""
    if len(begun) > _MAX_HELD_BYTES:
        return False
    if _BEGINNING.match(begun) is None:
        return b"data:".startswith(begun[:5]) and not begun[5:].strip(b" \t")
    return _A_CHOICE(begun) is None


def _is_usage_event(event: bytes) -> bool:
    if _MARKER not in event or _NO_CHOICES(event) is None:
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
