"""The deprecated HTTP+SSE transport of MCP: its first event names the path for messages, which leaves out the gateway.

Nothing else of a stream is touched: once the first event has passed, so does everything, as it comes.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from aiogate.proxy.agent_card import Places

__all__ = ["EndpointEvent"]

_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE: Final = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")
_NAMED: Final = re.compile(rb"(?:^|[\r\n])event: ?endpoint[ \t]*(?:[\r\n]|\Z)")
_LONGEST_BYTES: Final = 16 * 1024
_ELSEWHERE: Final = b": the agent's endpoint event leads elsewhere and is left out"


class EndpointEvent:
    """Puts the gateway's path into the event ``endpoint``; one that leads to another host is left out.

    A client would send its messages there, with its key.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self.query = ""
        """What is put behind the path, so that messages find the endpoint that the stream comes from."""
        self._held = b""
        self._is_past = False

    def feed(self, chunk: bytes) -> bytes:
        """Return what the client may have now that ``chunk`` has come."""
        if self._is_past:
            return chunk
        self._held += chunk
        passed = b""
        while (end := _END.search(self._held)) is not None:
            event, self._held = self._held[: end.end()], self._held[end.end() :]
            passed += self._moved(event)
            if not event.startswith(b":"):  # a comment is no event
                return passed + self._rest()
        return passed if len(self._held) <= _LONGEST_BYTES else passed + self._rest()

    def finish(self) -> bytes:
        """Return what is left when the stream has ended: half an event, which no client would take for one."""
        return b"" if _NAMED.search(self._held) else self._rest()

    def _rest(self) -> bytes:
        self._is_past = True
        held, self._held = self._held, b""
        return held

    def _moved(self, event: bytes) -> bytes:
        if _NAMED.search(event) is None:
            return event
        lines = _LINE.findall(event.decode("utf-8", "surrogateescape"))
        return "".join(self._line(text) + end for text, end in lines).encode("utf-8", "surrogateescape")

    def _line(self, text: str) -> str:
        if not text.startswith("data:"):
            return text
        said = text[len("data:") :].strip()
        if urlsplit(said).scheme or said.startswith("//") or "\\" in said:
            moved = self._places.moved(said)
        else:
            moved = self._places.path(said) if said.startswith("/") else said
        if moved is None:
            return _ELSEWHERE.decode()
        mark = f"{'&' if '?' in moved else '?'}{self.query}" if self.query else ""
        return f"data: {moved}{mark}"
