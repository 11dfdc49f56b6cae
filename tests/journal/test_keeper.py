"""What is done with segments beside the gateway: folded, torn ends set aside, compressed, removed after their time."""

import gzip
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiogate import Clock
from aiogate.errors import JournalError
from aiogate.journal.audit import audit
from aiogate.journal.backwards import newest_first
from aiogate.journal.keeper import Keeper
from aiogate.journal.reader import ends, records, unread
from aiogate.journal.sealed import seal
from aiogate.journal.sums import sums
from aiogate.journal.totals import Totals
from aiogate.journal.writer import Journal
from aiogate.settings.model import JournalSettings
from tests.journal.segments import write
from tests.journal.test_audit import a_line, append

DAY = 86400
LATER = 2_000_000_000.0


def settings(directory: Path, **facts: Any) -> JournalSettings:
    return JournalSettings(**{"dir": directory, **facts})


def keep(directory: Path, now: float = LATER, **facts: Any) -> None:
    Keeper(settings(directory, **facts), Clock(wall=lambda: now)).round()


def costs(directory: Path) -> int:
    with Totals.of(directory) as totals:
        found = sums(totals, ())
    return found[()].cost_nanousd if found else 0


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if not path.name.startswith("totals"))


def ids(found: Any) -> list[str]:
    return [record["request_id"] for record in found]


def test_what_has_ended_is_compressed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    append(tmp_path, range(3))
    journal = Journal(settings(tmp_path), Clock())
    journal.open()
    journal.append(a_line(3))
    keep(tmp_path)
    assert [name.rpartition(".")[2] for name in names(tmp_path)] == ["gz", "jsonl"]
    assert costs(tmp_path) == 0 + 1 + 2 + 3
    journal.append(a_line(4))
    journal.close()
    keep(tmp_path)
    assert [name.rpartition(".")[2] for name in names(tmp_path)] == ["gz", "gz"]
    assert costs(tmp_path) == 10
    assert audit(tmp_path).findings == []


def test_every_reader_reads_compressed_segments_from_where_it_was(tmp_path: Path) -> None:
    append(tmp_path, range(3))
    positions = ends(tmp_path)
    append(tmp_path, range(3, 6))
    keep(tmp_path)
    expected = [f"id-{number}" for number in range(6)]
    assert ids(records(tmp_path)) == expected
    assert sorted(ids(newest_first(tmp_path, ends(tmp_path)))) == expected
    assert ids(unread(tmp_path, positions)) == expected[3:]
    assert ids(unread(tmp_path, positions)) == []


def test_compression_can_be_left_out(tmp_path: Path) -> None:
    append(tmp_path, range(3))
    keep(tmp_path, compress=False)
    assert names(tmp_path)[0].endswith(".jsonl")


def test_a_compression_that_fails_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path, range(3))
    before = names(tmp_path)

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as filled, pytest.raises(JournalError, match="No space left"):
        filled.setattr("aiogate.journal.sealed.os.fsync", full)
        keep(tmp_path)
    assert names(tmp_path) == before
    keep(tmp_path)
    assert names(tmp_path) == [f"{before[0]}.gz"]


def test_a_torn_end_is_set_aside_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    append(tmp_path, range(2))
    [segment] = tmp_path.glob("*.jsonl")
    whole = segment.stat().st_size
    write(segment, b'{"time":"2026-01', modified=LATER - 10)
    with caplog.at_level(logging.WARNING):
        keep(tmp_path, compress=False)
    assert (tmp_path / f"{segment.name}.torn").read_bytes() == b'{"time":"2026-01'
    assert (segment.stat().st_size, segment.stat().st_mtime) == (whole, LATER - 10)
    assert f"a torn record of 16 bytes at byte {whole}; it is in {segment}.torn" in caplog.text
    keep(tmp_path)
    assert costs(tmp_path) == 1
    assert [finding.kind for finding in audit(tmp_path).findings] == ["torn"]


def test_nothing_is_set_aside_while_somebody_writes(tmp_path: Path) -> None:
    journal = Journal(settings(tmp_path), Clock())
    journal.open()
    journal.append(a_line(1))
    [segment] = tmp_path.glob("*.jsonl")
    write(segment, b"half a rec")
    keep(tmp_path)
    assert names(tmp_path) == [segment.name]
    assert segment.read_bytes().endswith(b"half a rec")
    journal.close()


@pytest.mark.parametrize("compress", [True, False])
def test_records_go_after_their_days_and_their_sums_stay(compress: bool, tmp_path: Path) -> None:
    append(tmp_path, range(3))
    append(tmp_path, range(3, 5))
    old, new = sorted(tmp_path.glob("*.jsonl"))
    os.utime(old, (LATER - 8 * DAY,) * 2)
    os.utime(new, (LATER - 6 * DAY,) * 2)
    keep(tmp_path, compress=compress)
    keep(tmp_path, compress=compress, retention_days=7)
    assert ids(records(tmp_path)) == ["id-3", "id-4"]
    assert costs(tmp_path) == 10
    with Totals.made_anew(tmp_path) as totals:
        assert totals.fold() == 2
    assert costs(tmp_path) == 10
    assert audit(tmp_path).findings == []


def test_a_segment_that_was_archived_and_not_removed_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the machine dies between both."""
    append(tmp_path, range(3))
    [segment] = tmp_path.glob("*.jsonl")
    os.utime(segment, (LATER - 8 * DAY,) * 2)
    with monkeypatch.context() as dying:
        dying.setattr(Path, "unlink", lambda _path, **_: None)
        keep(tmp_path, compress=False, retention_days=7)
    assert (segment.exists(), costs(tmp_path)) == (True, 3)
    with Totals.made_anew(tmp_path) as totals:
        assert totals.fold() == 0
    keep(tmp_path, retention_days=7)
    assert (segment.exists(), costs(tmp_path)) == (False, 3)


def test_what_no_gateway_has_written_is_left_alone(tmp_path: Path) -> None:
    """A file that somebody has put there is read as a segment, and never cut, compressed or removed."""
    theirs = write(tmp_path / "export.jsonl", a_line(1) + b"a torn end", modified=0.0)
    before = theirs.read_bytes()
    keep(tmp_path)
    assert theirs.read_bytes() == before
    assert not list(tmp_path.glob("export.jsonl.*"))


def test_empty_segments_of_processes_that_died_are_removed_after_a_while(tmp_path: Path) -> None:
    empty = write(tmp_path / "20260101T000000000Z-1.jsonl", b"", modified=LATER - 59)
    keep(tmp_path)
    assert empty.exists()
    keep(tmp_path, now=LATER + 2)
    assert not empty.exists()


def test_the_thread_goes_round_and_stops_amid_its_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append(tmp_path, range(2000))
    began = threading.Event()
    fold = Totals.fold

    def watched(self: Totals, torn: Callable[..., None], pause: Callable[[], None], **more: Any) -> int:
        began.set()
        assert threading.current_thread() is not threading.main_thread()
        return fold(self, torn, pause=pause, **more)

    monkeypatch.setattr(Totals, "fold", watched)
    keeper = Keeper(settings(tmp_path), Clock(), 0.001)
    keeper.start()
    assert began.wait(10)
    keeper.stop()
    with Totals.of(tmp_path) as totals:
        fold(totals)
    assert costs(tmp_path) == sum(range(2000))


def test_a_compression_that_is_interrupted_has_not_begun(tmp_path: Path) -> None:
    append(tmp_path, range(3))
    before = names(tmp_path)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seal(tmp_path / before[0], stop)
    assert names(tmp_path) == before


def test_what_hinders_it_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    append(tmp_path, range(2))
    (tmp_path / "totals.sqlite").write_bytes(b"broken" * 100)
    keeper = Keeper(settings(tmp_path), Clock(), 0.001)
    keeper.start()
    while not caplog.records:
        pass
    keeper.stop()
    assert len(caplog.records) == 1
    assert "aiogate usage --rebuild" in caplog.text


def test_a_damaged_segment_is_said_once_and_hinders_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    append(tmp_path, range(3))
    keep(tmp_path)
    (sealed,) = tmp_path.glob("*.gz")
    sealed.write_bytes(sealed.read_bytes()[:-6])
    (tmp_path / "totals.sqlite").unlink()
    append(tmp_path, range(10, 12))
    keeper = Keeper(settings(tmp_path), Clock(wall=lambda: LATER))
    keeper.round()
    keeper.round()
    assert costs(tmp_path) >= 10 + 11
    assert caplog.text.count(sealed.name) == 1
    assert sealed.exists()


def test_what_one_gateway_compresses_no_other_touches(tmp_path: Path) -> None:
    path = write(tmp_path / "1.jsonl", a_line(1) * 1000)
    part = tmp_path / "1.jsonl.gz.part"
    seen: list[bytes] = []

    def another() -> None:
        if not seen:
            seen.append(part.read_bytes())
            seal(path)
            seen.append(part.read_bytes())

    sealed = seal(path, another)
    assert seen[0] == seen[1]
    assert gzip.decompress(sealed.read_bytes()) == a_line(1) * 1000
    assert seal(path) == sealed  # there is nothing left to do


def test_of_several_gateways_one_keeps_the_journal_and_another_when_it_has_gone(tmp_path: Path) -> None:
    """The lock is asked for before each round; a process that dies gives it back."""
    append(tmp_path, range(3))
    first, second = Keeper(settings(tmp_path), Clock(), seconds=0.001), Keeper(settings(tmp_path), Clock())
    first.start()
    while not first.keeps:
        threading.Event().wait(0.001)
    assert not second.takes_over()
    first.stop()
    second.may_keep = lambda: False  # another process ships the journal, and knows what may be removed
    assert not second.takes_over()
    second.may_keep = lambda: True
    assert second.takes_over()
    assert second.keeps
    second.stop()
    assert not second.keeps
