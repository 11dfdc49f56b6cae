"""One line per exchange on stdout, for whoever watches the gateway or collects its output.

Never in the way of an exchange: a reader that is too slow loses lines, and is told how many. The journal is the place
where nothing is lost. Knows nothing of exchanges: it gets the journal's lines.
"""

import logging
import os
import threading
from collections import deque
from typing import BinaryIO, Final, Literal, cast

import attrs
import orjson

from aiogate.journal.pretty import pretty, welcomes_colour

__all__ = ["WAITING_LINES", "AccessLog"]

WAITING_LINES: Final = 10_000
"""So many lines may wait for the reader of stdout; more are dropped."""

_PERIOD_SECONDS: Final = 0.1
_BATCH_LINES: Final = 64
"""So many lines wake the thread at once: more of them would push what the loop works with out of the caches."""
_FAREWELL_SECONDS: Final = 2.0
_LOG: Final = logging.getLogger("aiogate.access_log")


@attrs.define(eq=False)
class AccessLog:
    """Takes lines on the loop and writes them in batches from a thread of its own, which the first line starts.

    Args:
        mode: ``json`` as the journal has them, ``pretty`` for people, ``auto`` (pretty on a terminal), ``off``.
        stream: the binary side of stdout; None: nowhere.
    """

    _mode: Literal["auto", "json", "pretty", "off"]
    _stream: BinaryIO | None
    is_silent: bool = attrs.field(init=False)
    """Whether lines go nowhere, so that none need be made."""
    _waiting: deque[bytes] = attrs.field(factory=deque, init=False)
    _dropped: int = attrs.field(default=0, init=False)
    _noted: int = attrs.field(default=0, init=False)
    _closing: threading.Event = attrs.field(factory=threading.Event, init=False)
    _awake: threading.Event = attrs.field(factory=threading.Event, init=False)
    _thread: threading.Thread | None = attrs.field(default=None, init=False)

    @is_silent.default
    def _says_nothing(self) -> bool:
        return self._mode == "off" or self._stream is None

    def write(self, line: bytes) -> None:
        """Take a line that ends in a line feed; never blocks."""
        if self.is_silent:
            return
        count = len(self._waiting)
        if count >= WAITING_LINES:
            self._dropped += 1
            return
        self._waiting.append(line)
        if count == _BATCH_LINES:
            self._awake.set()
        if self._thread is None:
            self._start()

    def close(self) -> None:
        """Write what waits, unless nobody reads it, and take no more lines."""
        self.is_silent = True
        self._closing.set()
        self._awake.set()
        if self._thread is not None:
            self._thread.join(_FAREWELL_SECONDS)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="aiogate-access-log", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            printer = self._printer()
            while not self._closing.is_set():
                self._awake.wait(_PERIOD_SECONDS)
                self._awake.clear()
                printer.print(self._batch())
            printer.print(self._batch())
        except (OSError, ValueError) as error:  # ValueError: the stream was closed on this side
            self.is_silent = True
            self._waiting.clear()
            _LOG.warning("the access log is off, stdout takes no more: %s", error)

    def _printer(self) -> "_Printer":
        stream = cast("BinaryIO", self._stream)
        return _Printer(
            sink=getattr(stream, "raw", stream),
            pretty=self._mode == "pretty" or (self._mode == "auto" and stream.isatty()),
            coloured=welcomes_colour(stream, os.environ),
            closing=self._closing,
        )

    def _batch(self) -> list[bytes]:
        """Return the lines that wait, and a note behind them when there were more.

        ``_dropped`` only grows and is the loop's, ``_noted`` is the thread's: no count is lost between them.
        """
        lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if missing := self._dropped - self._noted:
            self._noted += missing
            lines.append(orjson.dumps({"dropped": missing}, option=orjson.OPT_APPEND_NEWLINE))
        return lines


@attrs.frozen(kw_only=True)
class _Printer:
    """The thread's side.

    Args:
        sink: unbuffered where there is such a thing: a thread that is stuck in a buffered writer keeps its lock, and
            the interpreter cannot exit.
        closing: set when nobody waits for the reader any more.
    """

    sink: BinaryIO
    pretty: bool
    coloured: bool
    closing: threading.Event

    def print(self, lines: list[bytes]) -> None:
        rest = memoryview(b"".join(map(self._shown, lines) if self.pretty else lines))
        while rest:
            written = self.sink.write(rest)
            if written is None and self.closing.wait(_PERIOD_SECONDS):  # it does not block, and is full
                return
            rest = rest[written or 0 :]

    def _shown(self, line: bytes) -> bytes:
        record = orjson.loads(line)
        if "dropped" in record:
            return f"({record['dropped']} lines dropped)\n".encode()
        return f"{pretty(record, coloured=self.coloured)}\n".encode()
