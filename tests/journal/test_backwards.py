"""Reading the journal from its end: the newest first, and no more of it than is asked for."""

import os
import tracemalloc
from itertools import islice
from pathlib import Path

from aiogate.journal.backwards import newest_first
from aiogate.journal.reader import ends
from tests.journal.segments import a_record, lines, numbers, write

NOON = 1767268800.0


def test_records_come_backwards_across_blocks_and_segments(tmp_path: Path) -> None:
    every = [a_record(number, second=number, pad="x" * (number % 500)) for number in range(1000)]
    write(tmp_path / "1.jsonl", lines(*every[:400]), modified=NOON + 400)
    write(tmp_path / "2.jsonl", lines(*every[400:]), modified=NOON + 1000)
    assert list(newest_first(tmp_path, ends(tmp_path))) == every[::-1]


def test_segments_of_processes_side_by_side_are_merged_by_time(tmp_path: Path) -> None:
    write(tmp_path / "1-worker.jsonl", lines(a_record(1, 1), a_record(4, 4), a_record(6, 6)), modified=NOON + 6)
    write(tmp_path / "2-worker.jsonl", lines(a_record(2, 2), a_record(3, 3), a_record(5, 5)), modified=NOON + 5)
    assert numbers(newest_first(tmp_path, ends(tmp_path))) == [6, 5, 4, 3, 2, 1]


def test_an_older_segment_is_not_even_opened(tmp_path: Path) -> None:
    write(tmp_path / "2.jsonl", lines(a_record(1, 1), a_record(2, 2)), modified=NOON + 2)
    unreadable = tmp_path / "1.jsonl"
    unreadable.mkdir()
    positions = {"1.jsonl": 100, "2.jsonl": (tmp_path / "2.jsonl").stat().st_size}
    os.utime(unreadable, (NOON, NOON))
    assert numbers(islice(newest_first(tmp_path, positions), 2)) == [2, 1]


def test_the_last_records_of_a_large_segment_do_not_cost_its_size(tmp_path: Path) -> None:
    with (tmp_path / "1.jsonl").open("wb") as segment:
        segment.seek(64 * 1024 * 1024)
        segment.write(b"\n" + lines(a_record(1), a_record(2)))
    positions = ends(tmp_path)
    tracemalloc.start()
    try:
        assert numbers(islice(newest_first(tmp_path, positions), 2)) == [2, 1]
        _now, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1024 * 1024


def test_what_comes_later_than_the_positions_is_not_shown(tmp_path: Path) -> None:
    segment = write(tmp_path / "1.jsonl", lines(a_record(1)))
    positions = ends(tmp_path)
    write(segment, lines(a_record(2)))
    assert numbers(newest_first(tmp_path, positions)) == [1]


def test_what_is_torn_or_gone_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", lines(a_record(1)) + b"torn\n" + lines(a_record(2)) + b'{"time"')
    positions = {**ends(tmp_path), "gone.jsonl": 10}
    assert numbers(newest_first(tmp_path, positions)) == [2, 1]
