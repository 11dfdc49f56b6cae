"""The backlog: what was not acknowledged comes again, in order, whoever reads it and however it is interrupted."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aiogate.errors import JournalError
from aiogate.exchange import Clock
from aiogate.journal.action import encode_action
from aiogate.journal.backlog import Backlog, Batch, source_of
from aiogate.journal.keeper import Keeper
from aiogate.journal.sealed import seal
from aiogate.journal.writer import Journal
from aiogate.settings.model import JournalSettings
from tests.journal.segments import lines, write
from tests.journal.test_totals import MIDNIGHT, an_ended


def opened(directory: Path) -> Backlog:
    backlog = Backlog.opened(directory)
    assert backlog is not None
    return backlog


def ended(*numbers: int) -> bytes:
    return lines(*(an_ended(request_id=f"r{number}") for number in numbers))


def ids(batch: Batch | None) -> list[str]:
    return [] if batch is None else [line.id for line in batch.records]


def drained(backlog: Backlog) -> list[str]:
    found = list[str]()
    while (batch := backlog.next(100)) is not None:
        found.extend(ids(batch))
        backlog.acknowledged(batch)
    return found


def test_what_was_not_acknowledged_comes_again_also_after_a_restart(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", ended(1, 2))
    write(tmp_path / "2.jsonl", ended(3))
    first = opened(tmp_path)
    first.measure()
    assert first.behind == 3
    assert ids(first.next()) == ids(first.next()) == ["r1", "r2"]
    first.close()
    second = opened(tmp_path)
    second.measure()
    assert (second.source, second.behind) == (first.source, 3)
    batch = second.next()
    assert batch is not None
    second.acknowledged(batch)
    assert second.behind == 1
    second.close()
    third = opened(tmp_path)
    write(tmp_path / "1.jsonl", ended(4)[:-5])
    assert drained(third) == ["r3"]
    write(tmp_path / "1.jsonl", ended(4)[-5:])
    assert drained(third) == ["r4"]
    third.measure()
    assert third.behind == 0
    third.close()


def test_a_segment_that_grows_all_the_time_does_not_keep_the_others_from_their_turn(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", ended(1))
    write(tmp_path / "2.jsonl", ended(2))
    backlog = opened(tmp_path)
    ends, found = backlog.measure(), list[str]()
    for number in range(10, 20):
        write(tmp_path / "1.jsonl", ended(number))
        if (batch := backlog.next(ends=ends)) is None:
            break
        found.extend(ids(batch))
        backlog.acknowledged(batch)
    assert found == ["r1", "r2"]
    assert drained(backlog) == ["r10", "r11", "r12"]


def test_all_who_ask_at_once_get_one_and_the_same_source(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(source_of, [tmp_path] * 40))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["source.id"]
    with pytest.raises(JournalError, match="No such file"):
        source_of(tmp_path / "missing")


def test_of_several_processes_one_reads_it(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert Backlog.opened(tmp_path) is None
    first.close()
    opened(tmp_path).close()


def test_a_segment_that_was_compressed_meanwhile_goes_on_and_one_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", ended(1))
    backlog = opened(tmp_path)
    assert drained(backlog) == ["r1"]
    write(tmp_path / "1.jsonl", ended(2, 3))
    assert not backlog.has_all_of(tmp_path / "1.jsonl")
    sealed = seal(tmp_path / "1.jsonl")
    assert drained(backlog) == ["r2", "r3"]
    assert backlog.has_all_of(sealed)
    assert backlog.forget_gone() == []
    sealed.unlink()
    assert backlog.forget_gone() == ["1.jsonl"]
    assert backlog.positions == {}
    backlog.close()


def test_what_is_torn_is_passed_over_and_an_action_is_known_by_its_hash(tmp_path: Path) -> None:
    journal = Journal(JournalSettings(dir=tmp_path, fsync="never"), Clock(wall=lambda: MIDNIGHT))
    journal.open()
    journal.append(encode_action(MIDNIGHT, "breaker.open", agent="support", actor="alice", reason="deploy"))
    journal.append(encode_action(MIDNIGHT, "breaker.open", agent="support", actor="alice", reason="deploy"))
    journal.close()
    write(tmp_path / "9.jsonl", b"{torn\n" + ended(1))
    found = drained(backlog := opened(tmp_path))
    assert len(set(found)) == 3
    assert [len(one) for one in found] == [64, 64, 2]
    assert backlog.behind == 0
    backlog.close()


def test_a_batch_names_the_sums_that_it_changes(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", lines(an_ended(), an_ended(time="13:01:00", principal="bob"), an_ended()))
    batch = opened(tmp_path).next()
    assert batch is not None
    assert batch.lines == 3
    assert [(quarter - MIDNIGHT, names[:3]) for quarter, names in batch.touched] == [
        (12 * 3600, ("alice", "", "support")),
        (13 * 3600, ("bob", "", "support")),
    ]


def test_going_back_counts_anew(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", ended(1, 2, 3))
    backlog = opened(tmp_path)
    assert drained(backlog) == ["r1", "r2", "r3"]
    backlog.go_back("1.jsonl", len(ended(1)))
    assert backlog.behind == 2
    assert drained(backlog) == ["r2", "r3"]
    backlog.close()


def test_a_position_that_cannot_be_kept_is_not_moved(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", ended(1))
    backlog = opened(tmp_path)
    batch = backlog.next()
    assert batch is not None
    shutil.rmtree(tmp_path)
    with pytest.raises(JournalError):
        backlog.acknowledged(batch)
    assert backlog.positions == {}
    backlog.close()


def test_a_segment_whose_time_is_over_stays_until_it_was_shipped(tmp_path: Path) -> None:
    settings = JournalSettings(dir=tmp_path, retention_days=1, compress=False)
    path = write(tmp_path / "20260101T120000000Z-1.jsonl", ended(1), modified=MIDNIGHT)
    backlog = opened(tmp_path)
    keeper = Keeper(settings, Clock(wall=lambda: MIDNIGHT + 3 * 86400))
    keeper.may_go = backlog.has_all_of
    keeper.round()
    assert path.exists()
    assert drained(backlog) == ["r1"]
    keeper.round()
    assert not path.exists()
    backlog.close()
