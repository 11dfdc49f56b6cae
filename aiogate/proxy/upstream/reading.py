"""Reads an agent's bytes a piece at a time, so that one read cannot fill the memory that a stream may have.

For the connection. A loop reads a quarter of a megabyte at once where it may, all of which then waits for a client that
reads slowly. One piece is enough for all connections of a loop: what is in it is used up before the next read.
"""

import asyncio
from collections import deque
from typing import Final

__all__ = ["PIECE_BYTES", "Piece", "Reading"]

PIECE_BYTES: Final = 131072
_ASKED_BYTES: Final = 65536
"""What uvloop asks for before each read."""
_USUAL_BYTES: Final = 2048
"""The most of a read whose view is kept: half a megabyte for all of them."""


class Piece(dict[int, memoryview]):
    """Where reads put what they bring: the same for whatever size is asked for, and no frame of Python for uvloop's."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(PIECE_BYTES))
        self.read = Views(self.view)
        """What a read has brought, by its size."""
        self.bodies = deque[bytes]()
        """What of it belongs to a body; empty again before the next read."""
        self.on_body = self.bodies.append
        super().__init__({_ASKED_BYTES: self.view})

    def __missing__(self, size: int) -> memoryview:
        """Return it to those who ask for another size."""
        return self.view


class Views(dict[int, memoryview]):
    """The beginning of a piece by how many bytes it has; those that come again and again, the small ones, are kept."""

    def __init__(self, piece: memoryview) -> None:
        self._piece = piece
        super().__init__()

    def __missing__(self, size: int) -> memoryview:
        view = self._piece[:size]
        if size <= _USUAL_BYTES:
            self[size] = view
        return view


class Reading(asyncio.BufferedProtocol):
    """A protocol that reads into ``piece``, of which ``buffer_updated`` uses up what has been read."""

    __slots__ = ("_bodies", "_read", "get_buffer", "on_body")

    def __init__(self, piece: Piece | None) -> None:
        if piece is None:
            piece = Piece()
        self._read = piece.read
        self._bodies = piece.bodies
        self.on_body = piece.on_body
        self.get_buffer = piece.__getitem__  # type: ignore[method-assign, assignment] # it answers what a method would
