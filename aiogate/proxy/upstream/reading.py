"""Reads an agent's bytes a piece at a time, so that one read cannot fill the memory that a stream may have.

For the connection. A loop reads a quarter of a megabyte at once where it may, all of which then waits for a client that
reads slowly. One piece is enough for all connections of a loop: what is in it is used up before the next read.
"""

import asyncio
from typing import Final

__all__ = ["PIECE_BYTES", "Piece", "Reading"]

PIECE_BYTES: Final = 131072
_ASKED_BYTES: Final = 65536
"""What uvloop asks for before each read."""


class Piece(dict[int, memoryview]):
    """Where reads put what they bring: the same for whatever size is asked for, and no frame of Python for uvloop's."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(PIECE_BYTES))
        super().__init__({_ASKED_BYTES: self.view})

    def __missing__(self, size: int) -> memoryview:
        """Return it to those who ask for another size."""
        return self.view


class Reading(asyncio.BufferedProtocol):
    """A protocol that reads into ``piece``, of which ``buffer_updated`` uses up what has been read."""

    __slots__ = ("_piece", "get_buffer")

    def __init__(self, piece: Piece | None) -> None:
        if piece is None:
            piece = Piece()
        self._piece = piece.view
        self.get_buffer = piece.__getitem__  # type: ignore[method-assign, assignment] # it answers what a method would
