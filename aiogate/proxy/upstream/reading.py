"""Reads an agent's bytes a piece at a time, so that one read cannot fill the memory that a stream may have.

For the connection. A loop reads a quarter of a megabyte at once where it may, all of which then waits for a client that
reads slowly. One piece is enough for all connections of a loop: it is copied before the next read.
"""

import asyncio
from abc import abstractmethod
from typing import Final

__all__ = ["PIECE_BYTES", "Reading"]

PIECE_BYTES: Final = 131072


class Reading(asyncio.BufferedProtocol):
    """A protocol that is given its bytes by ``data_received``, as others are; ``piece`` is where a read puts them."""

    __slots__ = ("_piece",)

    def __init__(self, piece: memoryview | None) -> None:
        self._piece = memoryview(bytearray(PIECE_BYTES)) if piece is None else piece

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's
        """Return where to read to."""
        return self._piece

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on what has been read."""
        self.data_received(bytes(self._piece[:nbytes]))

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Take what has been read."""
