"""Reading the journal: all segments are one journal, and what is torn is passed over and reported."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from pathlib import Path

import pytest

from aiogate.journal.reader import Positions, Torn, ends, follow, records, unread
from tests.journal.segments import a_record, lines, numbers, write


def test_segments_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path / "20260102T000000000Z-1.jsonl", lines(a_record(3)))
    write(tmp_path / "20260101T000000000Z-2.jsonl", lines(a_record(1), a_record(2)))
    write(tmp_path / "notes.txt", b"no segment\n")
    assert numbers(records(tmp_path)) == [1, 2, 3]


def test_segments_that_were_written_side_by_side_are_read_by_time(tmp_path: Path) -> None:
    """Each keeps its own order; one that was opened later is not looked into before its time."""
    write(tmp_path / "20260101T120000000Z-7.jsonl", lines(a_record(1, 0), a_record(4, 30), a_record(3, 20)))
    write(tmp_path / "20260101T120010000Z-8.jsonl.gz", gzip.compress(lines(a_record(2, 10), a_record(5, 40))))
    write(tmp_path / "20260101T120041000Z-7.jsonl", b"torn\n" + lines(a_record(6, 41)))
    torn: list[Torn] = []
    found = records(tmp_path, torn=torn.append)
    assert numbers(islice(found, 4)) == [1, 2, 4, 3]
    assert not torn
    assert numbers(found) == [5, 6]
    assert len(torn) == 1


def test_a_journal_without_segments_is_empty(tmp_path: Path) -> None:
    assert list(records(tmp_path / "nowhere")) == []


@pytest.mark.parametrize(
    "end",
    [b'{"time":"2026-01-01T', lines(a_record(9)).rstrip(), b'{"time":"2026\n', b"\0\0\0\n", b'"text"\n', b'{"n":1}\n'],
    ids=["cut", "no line feed", "not JSON", "zeros", "no object", "no time"],
)
def test_what_is_torn_is_passed_over_and_reported(end: bytes, tmp_path: Path) -> None:
    first = write(tmp_path / "1.jsonl", lines(a_record(1)) + end)
    write(tmp_path / "2.jsonl", lines(a_record(2)))
    torn: list[Torn] = []
    assert numbers(records(tmp_path, torn=torn.append)) == [1, 2]
    assert torn == [Torn(path=first, offset=len(lines(a_record(1))), size=len(end))]


def test_a_torn_record_reads_as_a_sentence() -> None:
    torn = Torn(path=Path("1.jsonl"), offset=7, size=3)
    assert str(torn) == "1.jsonl: skipped a torn record of 3 bytes at byte 7"


def test_since_leaves_out_exchanges_that_started_earlier(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", lines(a_record(1, 0), a_record(2, 10), a_record(3, 9), a_record(4, 11)))
    since = datetime(2026, 1, 1, 14, 0, 10, tzinfo=timezone(timedelta(hours=2)))
    assert numbers(records(tmp_path, since)) == [2, 4]


def test_since_does_not_read_segments_that_were_finished_before(tmp_path: Path) -> None:
    since = datetime(2026, 1, 1, 12, tzinfo=UTC)
    write(tmp_path / "1.jsonl", b"never read\n", modified=since.timestamp() - 3600)
    write(tmp_path / "2.jsonl", lines(a_record(1)), modified=since.timestamp())
    torn: list[Torn] = []
    assert numbers(records(tmp_path, since, torn.append)) == [1]
    assert torn == []


def test_unread_records_come_once(tmp_path: Path) -> None:
    positions: Positions = {}
    segment = write(tmp_path / "1.jsonl", lines(a_record(1)))
    assert numbers(unread(tmp_path, positions)) == [1]
    write(segment, lines(a_record(2)))
    assert numbers(unread(tmp_path, positions)) == [2]
    assert numbers(unread(tmp_path, positions)) == []
    assert positions == ends(tmp_path)


def test_half_a_record_is_left_until_it_is_whole(tmp_path: Path) -> None:
    whole = lines(a_record(1))
    torn: list[Torn] = []
    positions: Positions = {}
    segment = write(tmp_path / "1.jsonl", whole[:10])
    assert list(unread(tmp_path, positions, torn.append)) == []
    write(segment, whole[10:])
    assert numbers(unread(tmp_path, positions, torn.append)) == [1]
    assert torn == []


def test_the_end_is_behind_the_last_whole_record(tmp_path: Path) -> None:
    whole = lines(a_record(1))
    write(tmp_path / "1.jsonl", whole + b'{"time"')
    write(tmp_path / "2.jsonl", b"")
    assert ends(tmp_path) == {"1.jsonl": len(whole), "2.jsonl": 0}


def steps(*actions: Callable[[], object]) -> Callable[[], bool]:
    """A waiter that does one thing each time, and then has seen enough."""
    left = iter(actions)

    def wait() -> bool:
        action = next(left, None)
        if action is not None:
            action()
        return action is not None

    return wait


def test_follow_sees_what_is_appended_and_new_segments(tmp_path: Path) -> None:
    first = write(tmp_path / "1.jsonl", lines(a_record(0)))
    wait = steps(
        lambda: write(first, lines(a_record(1), a_record(2))),
        lambda: None,
        lambda: write(tmp_path / "2.jsonl", lines(a_record(3))),
        lambda: write(first, lines(a_record(4))),
        first.unlink,
        lambda: write(tmp_path / "2.jsonl", lines(a_record(5))),
    )
    assert numbers(follow(tmp_path, wait)) == [1, 2, 3, 4, 5]


def test_follow_goes_on_from_positions_and_reports_what_is_torn(tmp_path: Path) -> None:
    segment = write(tmp_path / "1.jsonl", lines(a_record(0)))
    positions = ends(tmp_path)
    write(segment, lines(a_record(1)))
    torn: list[Torn] = []
    wait = steps(lambda: write(segment, b"torn\n" + lines(a_record(2))))
    assert numbers(follow(tmp_path, wait, positions, torn.append)) == [1, 2]
    assert [(part.size, part.path) for part in torn] == [(5, segment)]


def test_who_waits_is_told_how_far_it_is(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", lines(*({"time": "2026-01-01T00:00:00.000Z", "n": number} for number in range(2500))))
    told: list[tuple[int, int]] = []
    assert len(list(records(tmp_path, progress=lambda done, whole: told.append((done, whole))))) == 2500
    whole = (tmp_path / "1.jsonl").stat().st_size
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert (told[0], told[-1], len(told)) == ((0, whole), (whole, whole), 4)
