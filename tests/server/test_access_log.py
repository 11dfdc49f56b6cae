"""The access log: lines for people or machines, and never in the way of an exchange."""

import io
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pytest

from aiogate.server import access_log
from aiogate.server.access_log import WAITING_LINES, AccessLog

WAIT_SECONDS = 10.0


def a_line(number: int = 0, **facts: Any) -> bytes:
    record = {
        "time": "2026-01-01T12:00:01.123Z",
        "principal": "alice",
        "agent": "support",
        "method": "POST",
        "path": "/agents/support/chat",
        "status": 200,
        "outcome": "completed",
        "code": None,
        "n": number,
        **facts,
    }
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def written(mode: Any, *lines: bytes) -> bytes:
    stream = io.BytesIO()
    log = AccessLog(mode, stream)
    for line in lines:
        log.write(line)
    log.close()
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["json", "auto"])
def test_machines_get_the_journals_own_lines(mode: str) -> None:
    assert written(mode, a_line(1), a_line(2)) == a_line(1) + a_line(2)


def test_people_get_aligned_lines() -> None:
    text = written("pretty", a_line(), a_line(status=429, outcome="refused", code="rate_limited")).decode()
    first, second = text.splitlines()
    assert first.startswith("12:00:01.123  200  alice → support ")
    assert second.startswith("12:00:01.123  429  alice → support ")
    assert second.endswith("rate_limited")
    assert "\x1b" not in text


def test_off_is_silent_and_starts_nothing() -> None:
    before = threading.active_count()
    assert written("off", a_line()) == b""
    AccessLog("json", None).write(a_line())
    assert threading.active_count() == before


def test_nothing_is_written_after_it_was_closed() -> None:
    stream = io.BytesIO()
    log = AccessLog("json", stream)
    log.write(a_line(1))
    log.close()
    log.write(a_line(2))
    assert stream.getvalue() == a_line(1)


@pytest.mark.parametrize("no_color, coloured", [("", True), ("1", False)])
def test_a_terminal_gets_pretty_lines_in_colour_unless_its_owner_minds(
    no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    master, slave = pty.openpty()
    with open(master, "rb", buffering=0) as screen:  # noqa: PTH123 - a descriptor, no path
        with open(slave, "wb") as terminal:  # noqa: PTH123 - likewise
            log = AccessLog("auto", terminal)
            log.write(a_line())
            log.close()
            shown = screen.read(10_000).decode()
    assert "alice → support" in shown
    assert ("\x1b[32m200\x1b[0m" in shown) is coloured


class Pipe:
    """A pipe whose reader reads when it is told to."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.reader: BinaryIO = open(reading, "rb")  # noqa: PTH123, SIM115 - closed by the fixture
        self.writer: BinaryIO = open(writing, "wb")  # noqa: PTH123, SIM115 - likewise


@pytest.fixture
def pipe() -> Any:
    pipe = Pipe()
    with pipe.reader, pipe.writer:
        yield pipe


def test_a_reader_that_is_too_slow_loses_lines_and_is_told_how_many(pipe: Pipe) -> None:
    count = 3 * WAITING_LINES
    log = AccessLog("json", pipe.writer)
    for number in range(count):
        log.write(a_line(number))
    records: list[dict[str, Any]] = []
    told = threading.Event()

    def read() -> None:
        for line in pipe.reader:
            records.append(orjson.loads(line))
            if "dropped" in records[-1]:
                told.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert told.wait(WAIT_SECONDS)
    log.write(a_line(count))
    log.close()
    pipe.writer.close()
    reader.join(WAIT_SECONDS)
    numbers = [record["n"] for record in records if "n" in record]
    assert numbers == sorted(numbers)
    assert numbers[-1] == count
    assert len(numbers) + sum(record.get("dropped", 0) for record in records) == count + 1


def test_people_are_told_of_dropped_lines_too() -> None:
    stream = io.BytesIO()
    log = AccessLog("pretty", stream)
    for number in range(3 * WAITING_LINES):
        log.write(a_line(number))
    log.close()
    assert "lines dropped)\n" in stream.getvalue().decode()


def test_closing_does_not_wait_for_a_reader_that_never_reads(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "_FAREWELL_SECONDS", 0.01)
    log = AccessLog("json", pipe.writer)
    for number in range(WAITING_LINES):
        log.write(a_line(number))
    log.close()
    assert log._thread is not None
    assert log._thread.is_alive()
    pipe.reader.close()
    log._thread.join(WAIT_SECONDS)


def test_a_stdout_that_does_not_block_gets_every_line(pipe: Pipe) -> None:
    os.set_blocking(pipe.writer.fileno(), False)
    log = AccessLog("json", pipe.writer)
    for number in range(5000):
        log.write(a_line(number))
    lines = [orjson.loads(pipe.reader.readline())["n"] for _ in range(5000)]
    assert lines == list(range(5000))
    log.close()


def test_a_stdout_that_was_closed_turns_it_off_with_one_warning(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    pipe.reader.close()
    log = AccessLog("json", pipe.writer)
    log.write(a_line())
    assert log._thread is not None
    log._thread.join(WAIT_SECONDS)
    for number in range(10):
        log.write(a_line(number))
    log.close()
    assert not log._waiting
    assert [record.getMessage() for record in caplog.records] == [
        "the access log is off, stdout takes no more: [Errno 32] Broken pipe"
    ]


STUCK = """
import sys
from aiogate.server.access_log import AccessLog
log = AccessLog("json", sys.stdout.buffer)
for number in range(20_000):
    log.write(b'{"n":%d}\\n' % number)
log.close()
"""


def test_a_process_can_exit_while_nobody_reads_its_stdout(tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with errors.open("wb") as stderr:
        with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=stderr) as child:
            assert child.wait(WAIT_SECONDS) == 0
    assert errors.read_bytes() == b""
