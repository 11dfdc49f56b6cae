"""The journal's promise: what was appended is there, whole, whatever dies or fills up; what was not is not."""

import json
import os
import queue
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiogate import Clock
from aiogate.errors import JournalError
from aiogate.journal import disk_sync, writer
from aiogate.journal.reader import Torn, records
from aiogate.journal.writer import Journal
from aiogate.settings.model import JournalSettings
from tests.journal.segments import a_record, lines, numbers

NOON = 1767268800.0
DAY_SECONDS = 86400
WAIT_SECONDS = 10.0


class Wall:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def make(tmp_path: Path, wall: Wall) -> Iterator[Callable[..., Journal]]:
    journals = []

    def opened(**settings: Any) -> Journal:
        journal = Journal(JournalSettings(**{"dir": tmp_path / "journal", **settings}), Clock(wall=wall))
        journals.append(journal)
        journal.open()
        return journal

    yield opened
    for journal in journals:
        journal.close()


def names(directory: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in directory.iterdir())


def read(directory: Path) -> list[int]:
    return numbers(records(directory))


def test_what_was_appended_is_there_before_anything_is_closed(make: Callable[..., Journal], tmp_path: Path) -> None:
    journal = make()
    journal.append(lines(a_record(1)))
    assert read(tmp_path / "journal") == [1]
    assert journal.healthy


def test_a_segment_is_named_for_its_time_and_its_process(make: Callable[..., Journal], tmp_path: Path) -> None:
    make()
    assert [path.name for path in (tmp_path / "journal").iterdir()] == [f"20260101T120000000Z-{os.getpid()}.jsonl"]


def test_nobody_else_may_read_the_journal(make: Callable[..., Journal], tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make()
    finally:
        os.umask(before)
    [segment] = (tmp_path / "journal").iterdir()
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o700
    assert stat.S_IMODE(segment.stat().st_mode) == 0o600


def test_a_directory_that_is_there_keeps_its_mode(make: Callable[..., Journal], tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir(mode=0o750)
    make()
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o750


def test_a_full_segment_is_followed_by_another_and_none_passes_its_size(
    make: Callable[..., Journal], tmp_path: Path
) -> None:
    journal = make(segment_bytes=350)
    for number in range(6):
        journal.append(lines(a_record(number)))
    assert len(names(tmp_path / "journal")) == 3
    assert all(path.stat().st_size <= 350 for path in (tmp_path / "journal").iterdir())
    assert read(tmp_path / "journal") == list(range(6))


def test_a_record_larger_than_a_segment_has_one_for_itself(make: Callable[..., Journal], tmp_path: Path) -> None:
    journal = make(segment_bytes=10)
    journal.append(lines(a_record(1)))
    journal.append(lines(a_record(2)))
    assert len(names(tmp_path / "journal")) == 2
    assert read(tmp_path / "journal") == [1, 2]


def test_a_new_day_has_a_new_segment(make: Callable[..., Journal], tmp_path: Path, wall: Wall) -> None:
    journal = make()
    wall.now = NOON + DAY_SECONDS / 2 - 0.001
    journal.append(lines(a_record(1)))
    wall.now += 0.001
    journal.append(lines(a_record(2)))
    journal.append(lines(a_record(3)))
    assert names(tmp_path / "journal") == ["20260101T120000000Z", "20260102T000000000Z"]
    assert read(tmp_path / "journal") == [1, 2, 3]


def test_segments_stay_in_order_when_the_clock_is_set_back(
    make: Callable[..., Journal], tmp_path: Path, wall: Wall
) -> None:
    journal = make(segment_bytes=1)
    for number in range(3):
        wall.now -= 3600
        journal.append(lines(a_record(number)))
    assert read(tmp_path / "journal") == [0, 1, 2]


def test_a_segment_that_was_moved_away_is_replaced_at_the_next_rotation(
    make: Callable[..., Journal], tmp_path: Path, wall: Wall
) -> None:
    journal = make()
    (tmp_path / "journal").rename(tmp_path / "elsewhere")
    journal.append(lines(a_record(1)))
    wall.now += DAY_SECONDS
    journal.append(lines(a_record(2)))
    assert read(tmp_path / "elsewhere") == [1]
    assert read(tmp_path / "journal") == [2]


def test_a_journal_that_cannot_be_opened_says_where_and_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = Journal(JournalSettings(dir=tmp_path / "file"), Clock())
    with pytest.raises(JournalError, match=r"file: File exists"):
        journal.open()
    assert not journal.healthy


def test_a_rotation_that_fails_is_tried_again(make: Callable[..., Journal], tmp_path: Path, wall: Wall) -> None:
    journal = make()
    (tmp_path / "journal").rename(tmp_path / "elsewhere")
    (tmp_path / "journal").touch()
    wall.now += DAY_SECONDS
    with pytest.raises(JournalError):
        journal.append(lines(a_record(1)))
    assert not journal.healthy
    (tmp_path / "journal").unlink()
    journal.append(lines(a_record(2)))
    assert journal.healthy
    assert read(tmp_path / "journal") == [2]


def test_nothing_can_be_appended_to_a_closed_journal(make: Callable[..., Journal]) -> None:
    journal = make()
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="not open"):
        journal.append(b"{}\n")


@pytest.mark.parametrize("policy, calls", [("every record", 3), ("never", 0)])
def test_the_policy_says_how_often_the_caller_waits_for_the_disk(
    policy: str, calls: int, make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    monkeypatch.setattr(writer, "fdatasync", lambda _fd: threads.append(threading.current_thread()))
    journal = make(fsync=policy)
    for number in range(3):
        journal.append(lines(a_record(number)))
    assert threads == [threading.main_thread()] * calls


def test_every_second_the_disk_is_forced_in_another_thread(
    make: Callable[..., Journal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: dict[int, set[threading.Thread]] = {}

    def fdatasync(fd: int) -> None:
        forced.setdefault(os.fstat(fd).st_ino, set()).add(threading.current_thread())

    monkeypatch.setattr(disk_sync, "fdatasync", fdatasync)
    journal = make(segment_bytes=1)
    for number in range(3):
        journal.append(lines(a_record(number)))
    journal.close()
    assert forced.keys() == {path.stat().st_ino for path in (tmp_path / "journal").iterdir()}
    assert threading.main_thread() not in set.union(*forced.values())


def test_each_record_is_forced_not_only_the_first(
    make: Callable[..., Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: queue.SimpleQueue[int] = queue.SimpleQueue()
    monkeypatch.setattr(disk_sync, "fdatasync", forced.put)
    journal = make()
    for number in range(2):
        journal.append(lines(a_record(number)))
        forced.get(timeout=WAIT_SECONDS)
    assert forced.empty()


def python(code: str, directory: Path, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, str(directory)], stdout=subprocess.PIPE, **options)


APPENDS_AND_REPORTS = """
import itertools, os, sys
from pathlib import Path
from aiogate import Clock
from aiogate.journal.writer import Journal
from aiogate.settings.model import JournalSettings

journal = Journal(JournalSettings(dir=Path(sys.argv[1]), segment_bytes=20_000), Clock())
journal.open()
for number in itertools.count():
    journal.append(b'{"time":"2026-01-01T12:00:00.000Z","n":%d}\\n' % number)
    os.write(1, b"%d\\n" % number)
"""


@pytest.mark.parametrize("reports", [1, 100, 1000, 3000])
def test_what_was_reported_is_in_the_journal_after_kill_9(reports: int, tmp_path: Path) -> None:
    with python(APPENDS_AND_REPORTS, tmp_path) as child:
        assert child.stdout is not None
        for _ in range(reports):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        rest = [line for line in child.stdout if line.endswith(b"\n")]
    reported = reports + len(rest)
    written = read(tmp_path)
    assert len(written) >= reported
    assert written == list(range(len(written)))


FILLS_THE_DISK = """
import json, os, resource, signal, sys
from pathlib import Path
from aiogate import Clock
from aiogate.errors import JournalError
from aiogate.journal.writer import Journal
from aiogate.settings.model import JournalSettings

def refuse(*_arguments):
    raise OSError(5, "Input/output error")

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1400, hard))
journal = Journal(JournalSettings(dir=Path(sys.argv[1])), Clock())
journal.open()
if TAKING_BACK_FAILS:
    os.ftruncate = refuse
report = {"appended": [], "refused": [], "healthy": []}

def append(number):
    line = b'{"time":"2026-01-01T12:00:00.000Z","n":%d,"pad":"%s"}\\n' % (number, b"x" * 250)
    try:
        journal.append(line)
        report["appended"].append(number)
    except JournalError as error:
        report["refused"].append(str(error))
    report["healthy"].append(journal.healthy)

for number in range(5):
    append(number)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
append(5)
journal.close()
print(json.dumps(report))
"""


def fill(directory: Path, *, taking_back_fails: bool) -> dict[str, Any]:
    with python(FILLS_THE_DISK.replace("TAKING_BACK_FAILS", str(taking_back_fails)), directory) as child:
        output, _errors = child.communicate()
    report: dict[str, Any] = json.loads(output)
    return report


def test_a_full_disk_refuses_whole_records_and_heals(tmp_path: Path) -> None:
    report = fill(tmp_path, taking_back_fails=False)
    assert report["appended"] == [0, 1, 2, 5]
    assert report["healthy"] == [True, True, True, False, False, True]
    assert "No space left on device" in report["refused"][0]
    torn: list[Torn] = []
    assert numbers(records(tmp_path, torn=torn.append)) == [0, 1, 2, 5]
    assert torn == []


def test_nothing_follows_a_torn_record_that_could_not_be_taken_back(tmp_path: Path) -> None:
    report = fill(tmp_path, taking_back_fails=True)
    torn: list[Torn] = []
    assert numbers(records(tmp_path, torn=torn.append)) == report["appended"]
    assert 5 in report["appended"]
    assert len(torn) == 1
