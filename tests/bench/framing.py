"""Where an HTTP message ends, for the agent and the load generator.

Knows no sockets; trusts its peers, which are the two ends of the bench and a gateway under test.
"""

import re

import attrs

__all__ = ["BenchError", "Message", "chunk"]

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class BenchError(Exception):
    """The bench cannot go on; its text says why."""


@attrs.define
class Message:
    """One request or response while it arrives; ``head`` is whole once it is not empty."""

    head: bytes = b""
    _held: bytes = b""
    _chunked: bool = False
    _missing_bytes: int = 0
    _tail: bytes = b""

    def feed(self, data: bytes) -> bool:
        """Take what has arrived; True: the message is complete."""
        if self.head:
            return self._feed_body(data)
        if self._held:
            data = self._held + data
        end = data.find(_HEAD_END)
        if end < 0:
            self._held = data
            return False
        self.head = data[:end]
        length = _LENGTH.search(self.head)
        self._missing_bytes = int(length[1]) if length else 0
        self._chunked = length is None and _CHUNKED.search(self.head) is not None
        return self._feed_body(data[end + 4 :])

    def _feed_body(self, data: bytes) -> bool:
        if self._chunked:
            # No body of the bench contains these five bytes, so their place need not be parsed.
            self._tail = (self._tail + data)[-5:]
            return self._tail == _LAST_CHUNK
        self._missing_bytes -= len(data)
        return self._missing_bytes <= 0


def chunk(data: bytes) -> bytes:
    """Return ``data`` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
