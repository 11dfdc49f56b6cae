"""What is pressed on a terminal, key by key, without waiting for the end of a line."""

import codecs
import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Final

__all__ = ["Keys", "names_of", "pressed"]

_NAMES: Final = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x03": "ctrl-c",
    "\x1b": "escape",
}
_SEQUENCE: Final = 3
_PIECE: Final = 1024


class Keys:
    """The keys of a terminal that has been asked not to wait for lines."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def within(self, seconds: float) -> list[str]:
        """Return the names of what was pressed, as soon as anything is; nothing after so long."""
        ready, _, _ = select.select([self._fd], [], [], max(0.0, seconds))
        if not ready:
            return []
        piece = os.read(self._fd, _PIECE)
        return ["ctrl-c"] if not piece else list(names_of(self._decoder.decode(piece)))


def names_of(text: str) -> Iterator[str]:
    """Yield the names of keys, a character by itself where it is one."""
    while text:
        sequence = text[:_SEQUENCE]
        taken = sequence if sequence in _NAMES else text[0]
        yield _NAMES.get(taken, taken)
        text = text[len(taken) :]


@contextlib.contextmanager
def pressed() -> Iterator[Keys | None]:
    """Give the keys of stdin as long as the block runs, and leave the terminal as it was; None: it is no terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield Keys(fd)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
