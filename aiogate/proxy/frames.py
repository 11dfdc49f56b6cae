"""Steps over WebSocket frames to count messages and to find what closes the conversation (RFC 6455 section 5.2).

For the tunnel, which passes bytes as they are. Looks at heads alone.
"""

from typing import Final

__all__ = ["Frames", "close_frame"]

_OPCODE: Final = 0x0F
_CLOSE: Final = 0x8
_CONTROL: Final = 0x8
"""The bit of an opcode that all control frames have."""
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_EXTENDED_BYTES: Final = {126: 2, 127: 8}
_MASK_BYTES: Final = 4
_SHORTEST_HEAD: Final = 2
_FINAL: Final = 0x80
_MOST_REASON_BYTES: Final = 123


class Frames:
    """The frames of one direction."""

    __slots__ = ("_head", "_skip", "closing", "messages")

    def __init__(self) -> None:
        self._head = bytearray()
        self._skip = 0
        self.closing = False
        """Whether a closing frame has begun; nothing is looked at any more."""
        self.messages = 0
        """How many have come to their last frame; control frames are none."""

    @property
    def at_border(self) -> bool:
        """Whether what has passed ends with a whole frame; a control frame may follow even a fragment."""
        return not self._skip and not self._head and not self.closing

    def feed(self, chunk: bytes) -> None:
        """Look at the next bytes, cut anywhere."""
        at, head = 0, self._head
        while not self.closing:
            if self._skip >= len(chunk) - at:
                self._skip -= len(chunk) - at
                return
            at += self._skip
            self._skip = 0
            piece = chunk[at : at + _head_bytes(head) - len(head)]
            head += piece
            at += len(piece)
            self.closing = head[0] & _OPCODE == _CLOSE
            if len(head) == _head_bytes(head):
                self._skip = _payload_bytes(head)
                self.messages += head[0] & (_FINAL | _CONTROL) == _FINAL
                head.clear()


def close_frame(code: int, reason: str) -> bytes:
    """Return the frame with which a server closes; of a reason that is too long for one the beginning is said."""
    said = reason.encode()[:_MOST_REASON_BYTES].decode("utf-8", "ignore").encode()
    return bytes((_FINAL | _CLOSE, 2 + len(said))) + code.to_bytes(2) + said


def _head_bytes(head: bytearray) -> int:
    """Return how long a head is, as far as what is there of it tells."""
    if len(head) < _SHORTEST_HEAD:
        return _SHORTEST_HEAD
    mask = _MASK_BYTES if head[1] & _MASKED else 0
    return _SHORTEST_HEAD + _EXTENDED_BYTES.get(head[1] & _LENGTH, 0) + mask


def _payload_bytes(head: bytearray) -> int:
    length = head[1] & _LENGTH
    extended = _EXTENDED_BYTES.get(length, 0)
    return int.from_bytes(head[2 : 2 + extended]) if extended else length
