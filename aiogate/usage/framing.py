"""Cuts a stream of bytes into the payloads that may speak of usage, for the readers.

Knows neither JSON nor dialects. It gets a copy of what the client got, so nothing waits for it.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final, Protocol

__all__ = ["MARKERS", "MAX_LINE_BYTES", "Events", "Framing", "Records", "speaker"]

Speaks = Callable[[bytes], bool]
"""Tells whether bytes may speak of usage; cheap, since it is asked of all that passes."""
MARKERS: Final = (b"usage", b"eval_count")
"""Texts of which every payload of a known dialect has one that has figures."""

MAX_LINE_BYTES: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_KEPT_BYTES: Final = MAX_LINE_BYTES + len(_BOM) + 1
_USAGE: Final = re.compile(rb'usage(?!"[ \t]*:[ \t]*null)').search  # null stands in all events but the last
_USAGE_MARKER: Final = b"usage"
_DATA: Final = b"data:"


def speaker(markers: tuple[bytes, ...] = MARKERS) -> Speaks:
    """Return what tells of bytes whether one of these is in them, all bytes without any; ``"usage": null`` is none."""
    if not markers:
        return bool
    others = tuple(marker for marker in markers if marker != _USAGE_MARKER)
    reads_usage = len(others) < len(markers)

    def speaks(lines: bytes) -> bool:
        if reads_usage and _USAGE_MARKER in lines and _USAGE(lines) is not None:
            return True
        return any(marker in lines for marker in others)

    return speaks


_SPEAKS: Final = speaker()


class Framing(Protocol):
    """Cuts a stream into the payloads that may speak of usage."""

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """Return the payloads that ``chunk`` completes."""
        ...

    def finish(self) -> Sequence[bytes]:
        """Return what the end of the stream completes."""
        ...


class Lines:
    """The complete lines of a stream; LF, CRLF and CR end a line.

    Line ends are looked for in the new chunk alone, so that neither tiny chunks nor long lines cost more than their
    bytes. Of a line that is too long just enough is kept to show that it is.
    """

    __slots__ = ("_at_start", "_carriage_return", "_open")

    def __init__(self) -> None:
        self._open = bytearray()
        self._carriage_return = False
        self._at_start = True

    def feed(self, chunk: bytes) -> bytes:
        """Return the lines that ``chunk`` completes, with their ends, or nothing."""
        if self._carriage_return:
            chunk = b"\r" + chunk
        self._carriage_return = chunk.endswith(b"\r")
        if self._carriage_return:  # perhaps half of a CRLF: the next byte tells
            chunk = chunk[:-1]
        end = chunk.rfind(b"\n") + 1
        end = chunk.rfind(b"\r", end) + 1 or end
        lines = chunk[:end]
        if end and self._open:
            lines = bytes(self._open) + lines
            self._open.clear()
        if end and self._at_start:
            self._at_start = False
            lines = lines.removeprefix(_BOM)
        if end < len(chunk):
            self._open += chunk[end : end + _KEPT_BYTES - len(self._open)]
        return lines


class Events:
    """The data of those Server-Sent Events that speak of a usage that is not null.

    The ``data:`` lines of one event are joined. Lines that are longer than ``MAX_LINE_BYTES``, alone or together with
    the data before them in their event, are skipped.
    """

    __slots__ = ("_data", "_data_bytes", "_lines", "_speaks")

    def __init__(self, speaks: Speaks = _SPEAKS) -> None:
        self._lines = Lines()
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._speaks = speaks

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """Return the payloads that ``chunk`` completes."""
        lines = self._lines.feed(chunk)
        if not lines:
            return ()
        if not self._data and not self._speaks(lines):
            lines = lines[_last_blank_line(lines) :]  # of an event that is still open a later part may speak
            if not lines:
                return ()
        return self._payloads(lines)

    def finish(self) -> Sequence[bytes]:
        """Return what a stream that was cut or ended without a blank line leaves behind."""
        return self.feed(b"\n\n")

    def _payloads(self, lines: bytes) -> list[bytes]:
        payloads = []
        for line in lines.splitlines():
            if line.startswith(_DATA):
                self._keep(line)
            elif not line and self._data:
                payload = self._end_event()
                if self._speaks(payload):
                    payloads.append(payload)
        return payloads

    def _keep(self, line: bytes) -> None:
        if self._data_bytes + len(line) <= MAX_LINE_BYTES:
            self._data.append(line[len(_DATA) :].removeprefix(b" "))
            self._data_bytes += len(line)

    def _end_event(self) -> bytes:
        payload = b"\n".join(self._data)
        self._data.clear()
        self._data_bytes = 0
        return payload


def _last_blank_line(lines: bytes) -> int:
    """Return where the events that are complete in ``lines`` end, whatever their line ends are."""
    end = lines.rfind(b"\n\n")
    if b"\r" in lines:  # searching for one byte is many times faster than for two
        end = max(end, lines.rfind(b"\n\r"), lines.rfind(b"\r\r"))
    return 0 if end < 0 else end + 2


class Records:
    """Those lines of newline-delimited JSON that speak of a usage that is not null.

    Lines that are longer than ``MAX_LINE_BYTES`` are skipped.
    """

    __slots__ = ("_lines", "_speaks")

    def __init__(self, speaks: Speaks = _SPEAKS) -> None:
        self._lines = Lines()
        self._speaks = speaks

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        """Return the payloads that ``chunk`` completes."""
        lines = self._lines.feed(chunk)
        if not lines or not self._speaks(lines):
            return ()
        return [line for line in lines.splitlines() if len(line) <= MAX_LINE_BYTES and self._speaks(line)]

    def finish(self) -> Sequence[bytes]:
        """Return what a stream without a last line end leaves behind."""
        return self.feed(b"\n")
