"""A request's body on its way to the agent: counted, bounded, never held whole unless somebody asks for it."""

from collections.abc import AsyncIterator

from aiohttp.web import RequestPayloadError

from aiogate.errors import Refusal, Refused, refusal
from aiogate.proxy.inbound import Inbound

__all__ = ["ClientBody", "too_large"]


class ClientBody:
    """The body that a client sends.

    Args:
        inbound: the request that it belongs to.
        max_bytes: more than this is refused with 413.
        expects_continue: the client waits for ``100 Continue`` before it sends anything (RFC 9110 section 10.1.1).
    """

    __slots__ = ("expects_continue", "inbound", "max_bytes", "received", "refused")

    def __init__(self, inbound: Inbound, max_bytes: int, expects_continue: bool) -> None:
        self.inbound = inbound
        self.max_bytes = max_bytes
        self.expects_continue = expects_continue
        self.received = 0
        self.refused: Refused | None = None

    async def read(self, max_bytes: int) -> bytes:
        """Return the whole body; raises ``Refused`` (413) when it is longer than ``max_bytes`` or the agent's bound."""
        bound = min(max_bytes, self.max_bytes)
        if not self.inbound.has_body:
            return b""
        if not self.received:
            body = self.inbound.take_whole(self.inbound.content)
            if body is not None and len(body) <= bound:  # it came along with the head, as small bodies do
                self.received = len(body)
                return body
        chunks = [chunk async for chunk in self._chunks(bound)]
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives; over the bound raises ``Refused``, which is also kept in ``refused``."""
        async for chunk in self._chunks(self.max_bytes):
            yield chunk

    async def _chunks(self, bound: int) -> AsyncIterator[bytes]:
        self._continue()
        content = self.inbound.content
        try:
            while chunk := await content.readany():
                self._count(chunk, bound)
                yield chunk
        except RequestPayloadError as error:
            self.refused = Refused(refusal("bad_request", "the request's body is not framed as its head says"))
            raise self.refused from error

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
