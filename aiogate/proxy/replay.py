"""A request's body that may be sent again: what has left of it is kept, as long as it is short.

For requests to agents with several endpoints, retries or a fallback. Nothing is held back meanwhile.
"""

from collections.abc import AsyncIterator

from aiogate.proxy.body import ClientBody

__all__ = ["Replay"]


class Replay:
    """Streams a client's body as often as it is asked to.

    Args:
        body: what the client sends.
        most_bytes: a body that turns out to be longer cannot be sent again once it has begun to leave.
        length: of the body, None: nobody knows.
    """

    __slots__ = ("_body", "_kept", "_left", "is_spoilt")

    def __init__(self, body: ClientBody, most_bytes: int, length: int | None) -> None:
        self._body = body
        self._kept: list[bytes] = []
        self._left = most_bytes if length is None or length <= most_bytes else 0
        self.is_spoilt = False
        """Whether something has left that is not kept."""

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield what has left before, and then the rest as it arrives; raises what the body raises."""
        for chunk in tuple(self._kept):
            yield chunk
        async for chunk in self._body.stream():
            self._left -= len(chunk)
            if self._left >= 0:
                self._kept.append(chunk)
            else:
                self.is_spoilt = True
                self._kept.clear()
            yield chunk
