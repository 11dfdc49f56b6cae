"""What this process has appended is folded without being read, once, and exactly as if it had been read."""

import threading
from pathlib import Path

import pytest

from aiogate import Clock, Usage
from aiogate.journal.added import added
from aiogate.journal.keeper import Keeper
from aiogate.journal.ledger import Ledger, Stretch
from aiogate.journal.record import encode
from aiogate.journal.sealed import open_segment
from aiogate.journal.sums import sums
from aiogate.journal.totals import Totals
from aiogate.journal.writer import Journal
from aiogate.settings.model import JournalSettings
from tests.journal.test_added import ended
from tests.journal.test_audit import a_line

BY = ("principal", "agent", "model", "source")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    journal = Journal(JournalSettings(dir=tmp_path), Clock())
    journal.open()
    return journal


@pytest.fixture
def keeper(tmp_path: Path, journal: Journal) -> Keeper:
    keeper = Keeper(JournalSettings(dir=tmp_path), Clock(), ledger=journal.ledger)
    keeper.round()  # from now on sums are kept
    return keeper


def serve(journal: Journal, *costs: int) -> None:
    for cost in costs:
        exchange = ended(cost_nanousd=cost, usage=Usage(source="measured", input_tokens=cost))
        journal.append(encode(exchange), added(exchange))


def cost(directory: Path) -> int:
    """Return what the totals know, without folding anything."""
    with Totals.of(directory) as totals:
        return sum(found.cost_nanousd for found in sums(totals, BY).values())


def made_anew(directory: Path) -> int:
    with Totals.made_anew(directory) as totals:
        totals.fold()
    return cost(directory)


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    def refuse(*_: object) -> None:
        raise AssertionError("a segment was read")

    monkeypatch.setattr("aiogate.journal.totals.open_segment", refuse)
    return monkeypatch


def test_what_was_appended_is_folded_without_being_read(
    tmp_path: Path, journal: Journal, keeper: Keeper, unreadable: pytest.MonkeyPatch
) -> None:
    serve(journal, 1, 2)
    keeper.round()
    assert cost(tmp_path) == 3
    keeper.round()
    serve(journal, 4)
    keeper.round()
    assert cost(tmp_path) == 7
    unreadable.undo()
    journal.close()
    assert made_anew(tmp_path) == 7


def test_what_somebody_else_has_folded_meanwhile_is_not_folded_again(
    tmp_path: Path, journal: Journal, keeper: Keeper
) -> None:
    serve(journal, 1, 2)
    with Totals.of(tmp_path) as report:
        report.fold()
    serve(journal, 4)
    keeper.round()
    assert cost(tmp_path) == 7
    serve(journal, 8)
    keeper.round()
    assert cost(tmp_path) == made_anew(tmp_path) == 15


def test_a_line_of_which_nothing_is_known_is_read(tmp_path: Path, journal: Journal, keeper: Keeper) -> None:
    serve(journal, 1)
    journal.append(a_line(2))
    serve(journal, 4)
    keeper.round()
    assert cost(tmp_path) == 7


def test_what_comes_while_a_round_reads_is_left_for_the_next_one(
    tmp_path: Path, journal: Journal, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(a_line(2))  # to be read

    def late(path: Path, position: int = 0) -> object:
        serve(journal, 4)
        return open_segment(path, position)

    monkeypatch.setattr("aiogate.journal.totals.open_segment", late)
    keeper.round()
    assert cost(tmp_path) == 2
    monkeypatch.setattr("aiogate.journal.totals.open_segment", lambda *_: pytest.fail("it was read"))
    keeper.round()
    assert cost(tmp_path) == 6


def test_a_segment_that_has_ended_is_folded_to_its_end(tmp_path: Path) -> None:
    journal = Journal(JournalSettings(dir=tmp_path, segment_bytes=65536), Clock())
    journal.open()
    keeper = Keeper(JournalSettings(dir=tmp_path), Clock(), ledger=journal.ledger)
    keeper.round()
    serve(journal, *[1] * 300)  # several segments
    keeper.round()
    assert cost(tmp_path) == 300
    serve(journal, 1)
    journal.close()
    keeper.round()
    assert cost(tmp_path) == made_anew(tmp_path) == 301


def test_segments_that_another_gateway_writes_are_read(tmp_path: Path, journal: Journal, keeper: Keeper) -> None:
    other = Journal(JournalSettings(dir=tmp_path), Clock())
    other.open()
    serve(other, 1)
    serve(journal, 2)
    keeper.round()
    assert cost(tmp_path) == 3
    other.close()


def test_nothing_is_kept_for_nobody(journal: Journal) -> None:
    serve(journal, 1)
    [none_yet] = journal.ledger.take()
    assert (none_yet.count, none_yet.begin) == (0, none_yet.end)
    serve(journal, 1)
    [stretch] = journal.ledger.take()
    assert (stretch.count, stretch.begin) == (1, none_yet.end)


def test_a_reader_that_is_slower_than_the_writers_comes_to_an_end(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Journal(JournalSettings(dir=tmp_path), Clock())
    other.open()
    serve(journal, 1)  # before anybody keeps sums
    serve(other, 2)

    def late(path: Path, position: int = 0) -> object:
        serve(journal, 4)
        serve(other, 8)
        return open_segment(path, position)

    monkeypatch.setattr("aiogate.journal.totals.open_segment", late)
    keeper = Keeper(JournalSettings(dir=tmp_path), Clock(), ledger=journal.ledger)
    keeper.round()
    assert cost(tmp_path) == 3
    monkeypatch.undo()
    keeper.round()
    assert cost(tmp_path) == made_anew(tmp_path) == 3 + 2 * (4 + 8)
    other.close()


def test_a_keeper_that_runs_reads_nothing_of_its_own(
    tmp_path: Path, journal: Journal, unreadable: pytest.MonkeyPatch
) -> None:
    begun, take = threading.Event(), Ledger.take

    def taken(ledger: Ledger) -> list[Stretch]:
        stretches = take(ledger)
        begun.set()
        return stretches

    unreadable.setattr(Ledger, "take", taken)
    keeper = Keeper(JournalSettings(dir=tmp_path), Clock(), seconds=3600.0, ledger=journal.ledger)
    keeper.start()
    assert begun.wait(10)
    serve(journal, 1, 2)
    keeper.round()
    assert cost(tmp_path) == 3
    keeper.stop()
