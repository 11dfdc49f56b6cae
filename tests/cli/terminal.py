"""A real terminal in which a command runs: what it shows is what a person would see."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pexpect
import pyte

__all__ = ["Terminal", "terminal"]

SECONDS = 15


class Terminal:
    """A screen of so many columns and rows, and the keys under it."""

    def __init__(self, process: "pexpect.spawn[bytes]", columns: int, rows: int) -> None:
        self._process = process
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""
        """All that the command has written, control sequences too."""

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def press(self, keys: str) -> None:
        self._process.send(keys)

    async def until(self, *texts: str, gone: str | None = None) -> str:
        """Return the screen once it shows all of the texts, and ``gone`` no more."""
        try:
            async with asyncio.timeout(SECONDS):
                while not (all(text in self.text for text in texts) and (gone is None or gone not in self.text)):
                    await self._read()
        except TimeoutError:
            raise AssertionError(f"the screen never showed {texts}, but:\n{self.text}") from None
        return self.text

    async def ended(self) -> int:
        """Return the command's exit code once it has ended."""
        async with asyncio.timeout(SECONDS):
            while self._process.isalive():
                await self._read()
        return int(self._process.exitstatus or 0)

    async def _read(self) -> None:
        try:
            piece = await asyncio.to_thread(self._process.read_nonblocking, 65536, 0.2)
        except pexpect.TIMEOUT:
            return
        except pexpect.EOF:
            await asyncio.to_thread(self._process.wait)
            return
        self.written += piece
        self._stream.feed(piece)


@asynccontextmanager
async def terminal(
    *args: str, columns: int = 80, rows: int = 24, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Terminal]:
    """Run ``aiogate`` with these arguments in a terminal of its own."""
    command = ["-c", "from aiogate.cli import main; main()", *args]
    inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
    env = {**inherited, "TERM": "xterm-256color", "LANG": "C.UTF-8", **(environ or {})}
    process = pexpect.spawn(sys.executable, command, dimensions=(rows, columns), env=env, timeout=SECONDS)
    try:
        yield Terminal(process, columns, rows)
    finally:
        await asyncio.to_thread(process.close, True)
