"""A request's body on its way to the agent: counted, bounded, never held whole unless somebody asks for it."""

from collections.abc import AsyncIterator

from aiohttp.web import RequestPayloadError

from aiogate.errors import Refusal, Refused, refusal
from aiogate.proxy.inbound import Inbound
from aiogate.proxy.pace import Lateness, Pace
from aiogate.proxy.upstream.watch import Watched

__all__ = ["ClientBody", "too_large"]


class ClientBody:
    """The body that a client sends.

    Args:
        inbound: the request that it belongs to.
        max_bytes: more than this is refused with 413.
        expects_continue: the client waits for ``100 Continue`` before it sends anything (RFC 9110 section 10.1.1).
        pace: who looks whether the client is too slow; None: nobody.
    """

    __slots__ = (
        "_lateness",
        "_peeked",
        "_waits",
        "expects_continue",
        "inbound",
        "max_bytes",
        "pace",
        "received",
        "refused",
        "waits_in",
    )

    def __init__(self, inbound: Inbound, max_bytes: int, expects_continue: bool, pace: Pace | None = None) -> None:
        self.inbound = inbound
        self.max_bytes = max_bytes
        self.expects_continue = expects_continue
        self.received = 0
        self.refused: Refused | None = None
        self.pace = pace
        self._lateness: Lateness | None = None
        self._waits = False
        self._peeked: tuple[list[bytes], AsyncIterator[bytes]] | None = None
        self.waits_in: set[Watched] | None = None

    def at_once(self, max_bytes: int) -> bytes | None:
        """Return the whole body if it came along with the head, as small bodies do, and is not too long."""
        if self.received or not self.inbound.has_body:
            return None
        body = self.inbound.take_whole(self.inbound.content)
        if body is None or len(body) > max_bytes or len(body) > self.max_bytes:
            return None
        self.received = len(body)
        return body

    async def read(self, max_bytes: int) -> bytes:
        """Return the whole body; raises ``Refused`` (413) when it is longer than ``max_bytes`` or the agent's bound."""
        if not self.inbound.has_body:
            return b""
        body = self.at_once(max_bytes)
        if body is not None:
            return body
        bound = min(max_bytes, self.max_bytes)
        chunks = [chunk async for chunk in self._chunks(bound)]
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; over the bound raises ``Refused``, which is also kept in ``refused``."""
        held, chunks = self._peeked or ((), self._chunks(self.max_bytes))
        for chunk in held:
            yield chunk
        async for chunk in chunks:
            yield chunk

    async def peek(self, most: int) -> bytes | None:
        """Return the whole body where it has up to so many bytes; else None, and ``stream`` yields it from the start.

        Raises what ``stream`` raises.
        """
        held, size = list[bytes](), 0
        chunks = self._chunks(self.max_bytes)
        async for chunk in chunks:
            held.append(chunk)
            size += len(chunk)
            if size > most:
                self._peeked = held, chunks
                return None
        return b"".join(held)

    async def _chunks(self, bound: int) -> AsyncIterator[bytes]:
        self._continue()
        content, pace = self.inbound.content, self.pace
        if pace is not None and not content.is_eof():
            self._lateness = Lateness()
            pace.watch.add(self)
        try:
            while True:
                self._waits = True
                chunk = await content.readany()
                self._waits = False
                if not chunk:
                    return
                self._count(chunk, bound)
                yield chunk
        except RequestPayloadError as error:
            if self.refused is None:
                self.refused = Refused(refusal("bad_request", "the request's body is not framed as its head says"))
            raise self.refused from error
        finally:
            if pace is not None:
                pace.watch.discard(self)

    def check(self, now: float) -> float:
        """Give up on a client that sends its body too slowly; the coarse timer calls it while somebody reads it."""
        if self.pace is None or self._lateness is None:
            return now
        bounds = self.pace.bounds()
        if self._lateness.is_late(now, self.received, bounds, waits=self._waits):
            detail = f"the body came too slowly: nothing for {bounds.body_seconds:g} s"
            if bounds.body_bytes_per_second:
                detail += f", or fewer than {bounds.body_bytes_per_second} bytes a second"
            self.refused = Refused(refusal("request_timeout", detail))
            self.inbound.content.set_exception(RequestPayloadError("the client is too slow"))
        return now

    def _count(self, chunk: bytes, bound: int) -> None:
        self.received += len(chunk)
        if self.received > bound:
            self.refused = Refused(too_large(bound))
            raise self.refused

    def _continue(self) -> None:
        if self.expects_continue:
            self.expects_continue = False
            if self.inbound.transport is not None:
                self.inbound.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def too_large(bound: int) -> Refusal:
    """Return the 413 for a body over ``bound`` bytes."""
    return refusal("body_too_large", f"the body is longer than {bound} bytes", members={"max_body": bound})
