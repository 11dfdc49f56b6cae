"""The end of a connection whose client may still be sending: it gets its answer, and not a reset in the place of it.

For the listener. Closing a socket that holds unread bytes resets it, and what the client has not read yet is lost; so
this side is closed first, and what still comes is taken for nothing, for a moment (RFC 9112 section 9.6).
"""

import asyncio
from typing import Final

from aiogate.errors import Refusal, problem_body, problem_headers
from aiogate.proxy.head import now

__all__ = ["Farewells", "answer_of_our_own"]

_SECONDS: Final = 1.0
_MOST_AT_ONCE: Final = 256
"""So many stay half open; what comes beyond them is closed at once."""


def answer_of_our_own(problem: Refusal) -> bytes:
    """Return a whole answer to what is no exchange; the connection is closed behind it."""
    body = problem_body(problem, "", "")
    lines = [f"HTTP/1.1 {problem.status} {problem.title}"]
    lines += [f"{name}: {value}" for name, value in problem_headers(problem)]
    lines += [f"Content-Length: {len(body)}", f"Date: {now()}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


class Farewells:
    """The connections of one listener that are about to go."""

    def __init__(self) -> None:
        self._under_way: set[_Farewell] = set()

    def say(self, transport: asyncio.Transport, answer: bytes = b"") -> None:
        """Write an answer, if there is one, and end the connection; its protocol hears no more of it."""
        if answer:
            transport.write(answer)
        if len(self._under_way) >= _MOST_AT_ONCE:
            transport.close()
        elif not transport.is_closing():
            transport.set_protocol(_Farewell(transport, self._under_way))
            transport.write_eof()
            transport.resume_reading()

    def __len__(self) -> int:
        """Return how many there are now."""
        return len(self._under_way)


class _Farewell(asyncio.Protocol):
    def __init__(self, transport: asyncio.Transport, under_way: "set[_Farewell]") -> None:
        self._under_way = under_way
        under_way.add(self)
        self._timer = asyncio.get_running_loop().call_later(_SECONDS, transport.abort)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget the connection."""
        self._under_way.discard(self)
        self._timer.cancel()
