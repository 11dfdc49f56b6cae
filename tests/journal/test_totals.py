"""The totals: each record counted once, whoever folds and whenever it is interrupted; deletable and made anew."""

import gzip
import random
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aiogate.errors import JournalError
from aiogate.journal.reader import Torn, records
from aiogate.journal.sealed import seal
from aiogate.journal.sums import Sums, spent_since, split_up, sums
from aiogate.journal.totals import Totals
from aiogate.journal.totals_file import TOTALS_FILE, connect
from tests.journal.segments import lines, write

MIDNIGHT = 1767225600.0
DAY = 86400


def an_ended(day: int = 1, time: str = "12:00:00", **facts: Any) -> dict[str, Any]:
    record = {
        "time": f"2026-01-{day:02}T{time}.000Z",
        "principal": "alice",
        "agent": "support",
        "outcome": "completed",
        "usage": {"source": "measured", "model": "m-1", "input_tokens": 10, "output_tokens": 5},
        "cost_nanousd": 7,
    }
    return {**record, **facts}


def folded(directory: Path, by: tuple[str, ...] = (), **asked: Any) -> dict[tuple[str, ...], Sums]:
    with Totals.of(directory) as totals:
        totals.fold()
        return sums(totals, by, **asked)


def test_records_are_summed_up_by_what_one_asks_for(tmp_path: Path) -> None:
    unknown = {"usage": {"source": "unknown"}, "cost_nanousd": None}
    write(
        tmp_path / "1.jsonl",
        lines(
            an_ended(),
            an_ended(principal="bob", department="data", key_id="k-bob", cost_center="research"),
            an_ended(principal="bob", department="data", key_id="k-bob", outcome="refused", **unknown),
            an_ended(usage={"source": "estimated", "cached_input_tokens": 3}, cost_nanousd=None, unpriced=True),
        ),
    )
    assert folded(tmp_path, ("principal",)) == {
        ("alice",): Sums(calls=2, unpriced=1, cost_nanousd=7, input_tokens=10, cached_input_tokens=3, output_tokens=5),
        ("bob",): Sums(calls=2, refused=1, cost_nanousd=7, input_tokens=10, output_tokens=5),
    }
    assert folded(tmp_path, ("source", "key_id")).keys() == {
        ("measured", ""),
        ("measured", "k-bob"),
        ("unknown", "k-bob"),
        ("estimated", ""),
    }
    assert folded(tmp_path, ("day",), only={"principal": "bob"})["2026-01-01",].calls == 2
    assert folded(tmp_path, (), only={"cost_center": "research"})[()].calls == 1


@pytest.mark.parametrize(
    "facts, unpriced",
    [
        ({"status": 200}, 1),
        ({"status": 200, "outcome": "client_gone"}, 1),
        ({"status": 200, "cost_nanousd": 0}, 0),
        ({"status": 200, "agent": None}, 0),
        ({"status": 404}, 0),
        ({"status": 502, "outcome": "upstream_failed"}, 0),
        ({"status": 429, "outcome": "refused", "code": "rate_limited"}, 0),
    ],
)
def test_a_good_answer_without_a_cost_is_unpriced_also_when_nobody_knows_what_it_used(
    facts: dict[str, Any], unpriced: int, tmp_path: Path
) -> None:
    record = an_ended(**{"usage": {"source": "unknown"}, "cost_nanousd": None, "code": None, **facts})
    write(tmp_path / "1.jsonl", lines(record))
    assert folded(tmp_path)[()].unpriced == unpriced


def test_what_was_folded_is_not_folded_again(tmp_path: Path) -> None:
    segment = write(tmp_path / "1.jsonl", lines(an_ended(), an_ended())[:-3])
    assert folded(tmp_path)[()].calls == 1
    write(segment, lines(an_ended())[-3:])
    assert folded(tmp_path)[()].calls == 2
    write(tmp_path / "2.jsonl", lines(an_ended()))
    assert folded(tmp_path)[()].calls == folded(tmp_path)[()].calls == 3


def test_a_segment_that_was_compressed_is_the_same_segment(tmp_path: Path) -> None:
    first = write(tmp_path / "1.jsonl", lines(an_ended()), modified=MIDNIGHT)
    assert folded(tmp_path)[()].calls == 1
    write(first, lines(an_ended()), modified=MIDNIGHT)
    sealed = seal(first)
    assert (sealed.name, sealed.stat().st_mtime, first.exists()) == ("1.jsonl.gz", MIDNIGHT, False)
    assert gzip.decompress(sealed.read_bytes()) == lines(an_ended(), an_ended())
    assert folded(tmp_path)[()].calls == 2


def test_readers_side_by_side_count_each_record_once(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.jsonl", lines(*(an_ended(principal=f"p{n % 7}") for n in range(400))))
    start = threading.Barrier(4)

    def fold() -> None:
        with Totals.of(tmp_path, slice_bytes=5000) as totals:
            start.wait()
            totals.fold()

    threads = [threading.Thread(target=fold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folded(tmp_path)[()].calls == 1600


def test_an_interrupted_fold_goes_on_where_its_last_transaction_ended(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", lines(*(an_ended() for _ in range(100))))

    def interrupt() -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), Totals.of(tmp_path, slice_bytes=1000) as totals:
            totals.fold(pause=interrupt)
    with Totals.of(tmp_path) as totals:
        assert 0 < sums(totals, ())[()].calls < 100
    assert folded(tmp_path)[()].calls == 100


def test_what_is_no_record_is_reported_and_the_rest_counts(tmp_path: Path) -> None:
    bad = [b"torn\n", lines(an_ended(cost_nanousd="7")), lines(an_ended(usage=1)), lines(an_ended(time="99:00:00"))]
    write(tmp_path / "1.jsonl", lines(an_ended()) + b"".join(bad) + lines(an_ended()))
    torn: list[Torn] = []
    with Totals.of(tmp_path) as totals:
        assert totals.fold(torn.append) == 2
        assert totals.fold(torn.append) == 0
    assert [one.size for one in torn] == [len(line) for line in bad]


def test_progress_is_told_to_the_last_byte(tmp_path: Path) -> None:
    segment = write(tmp_path / "1.jsonl", lines(*(an_ended() for _ in range(50))))
    told: list[tuple[int, int]] = []
    with Totals.of(tmp_path, slice_bytes=1000) as totals:
        totals.fold(progress=lambda done, whole: told.append((done, whole)))
    size = segment.stat().st_size
    assert len(told) > 5
    assert told[-1] == (size, size)


def test_totals_can_be_deleted_and_made_anew(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", lines(*(an_ended(day) for day in range(1, 6))))
    before = folded(tmp_path, ("day",))
    with Totals.made_anew(tmp_path) as totals:
        assert sums(totals, ()) == {}
        totals.fold()
        assert sums(totals, ("day",)) == before
    (tmp_path / TOTALS_FILE).unlink()
    assert folded(tmp_path, ("day",)) == before


def test_totals_that_are_broken_say_so_and_can_be_made_anew(tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", lines(an_ended()))
    (tmp_path / TOTALS_FILE).write_bytes(b"no database" * 100)
    with pytest.raises(JournalError, match=r"file is not a database; .*aiogate usage --rebuild"):
        folded(tmp_path)
    with Totals.made_anew(tmp_path) as totals:
        assert totals.fold() == 1


def test_totals_that_are_busy_are_not_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "1.jsonl", lines(an_ended()))
    monkeypatch.setattr("aiogate.journal.totals_file._WAIT_SECONDS", 0.01)
    with Totals.of(tmp_path) as busy:
        busy.fold()
        busy.db.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="locked"), Totals.made_anew(tmp_path):
            pass
        busy.db.execute("ROLLBACK")
    assert folded(tmp_path)[()].calls == 1


def test_a_time_goes_to_its_quarters_of_an_hour_and_over_whole_days(tmp_path: Path) -> None:
    clocks = ["00:00:00", "05:44:59", "05:45:00", "23:59:59"]
    write(tmp_path / "1.jsonl", lines(*(an_ended(day, clock) for day in range(1, 5) for clock in clocks)))
    since = MIDNIGHT + 5 * 3600 + 45 * 60
    assert folded(tmp_path, since=since)[()].calls == 14
    assert folded(tmp_path, since=since + 899, until=MIDNIGHT + 3 * DAY)[()].calls == 10
    assert folded(tmp_path, since=since, until=since + 900)[()].calls == 1
    assert folded(tmp_path, ("hour",), since=MIDNIGHT + 3 * DAY).keys() == {
        ("2026-01-04T00:00Z",),
        ("2026-01-04T05:00Z",),
        ("2026-01-04T23:00Z",),
    }
    assert folded(tmp_path, ("month",), since=since)["2026-01",].calls == 14


def test_the_figures_equal_those_of_a_plain_sum_over_the_records(tmp_path: Path) -> None:
    random.seed(4)
    records = [
        an_ended(
            random.randrange(1, 28),
            f"{random.randrange(24):02}:{random.randrange(60):02}:00",
            principal=random.choice("abc"),
            cost_nanousd=random.randrange(10**12),
        )
        for _ in range(500)
    ]
    write(tmp_path / "1.jsonl", lines(*records))
    since, until = MIDNIGHT + 3.25 * DAY, MIDNIGHT + 20.75 * DAY
    inside = [one for one in records if "2026-01-04T06:00" <= one["time"] < "2026-01-21T18:00"]
    expected = {(name,): sum(one["cost_nanousd"] for one in inside if one["principal"] == name) for name in "abc"}
    found = folded(tmp_path, ("principal",), since=since, until=until)
    assert {key: part.cost_nanousd for key, part in found.items()} == expected


def test_budgets_begin_from_the_journals_last_record(tmp_path: Path) -> None:
    segment = write(tmp_path / "1.jsonl", lines(an_ended(1), an_ended(2), an_ended(2, principal="bob")))
    assert spent_since(tmp_path, MIDNIGHT + DAY, ["principal"])["alice",].cost_nanousd == 7
    write(segment, lines(an_ended(2)))
    assert spent_since(tmp_path, MIDNIGHT + DAY, ["principal"])["alice",].cost_nanousd == 14


def test_what_cost_centres_share_is_split_without_losing_a_nano_dollar(tmp_path: Path) -> None:
    shared = {"data": 33.33, "support": 33.33, "web": 33.34}
    write(tmp_path / "1.jsonl", lines(an_ended(cost_centers=shared, cost_nanousd=100), an_ended(cost_center="data")))
    found = folded(tmp_path, ("cost_center",))
    assert {key: part.cost_nanousd for key, part in found.items()} == {("data",): 41, ("support",): 33, ("web",): 33}
    assert sum(part.input_tokens for part in found.values()) == 20
    assert found["web",].calls == 1
    assert folded(tmp_path)[()].calls == 2
    assert folded(tmp_path, only={"cost_center": "web"})[()].cost_nanousd == 33


@pytest.mark.parametrize("amount", [0, 1, 2, 99, 100, 10**15 + 1])
def test_parts_sum_up_to_the_whole(amount: int) -> None:
    assert sum(split_up(amount, {"a": 60, "b": 39.99, "c": 0.01}).values()) == amount


@pytest.mark.parametrize(
    "facts",
    [
        {"cost_nanousd": -1},
        {"usage": {"source": "measured", "input_tokens": -5}},
        {"cost_nanousd": None, "status": "200"},
        {"cost_centers": {}},
        {"cost_centers": {"a": 0}},
        {"cost_centers": {"a": "all"}},
        {"cost_centers": ["a"]},
    ],
)
def test_what_cannot_be_summed_up_is_no_record_and_counts_nowhere(facts: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path / "1.jsonl", lines(an_ended(principal="bob", **facts), an_ended()))
    assert folded(tmp_path, ("principal",)).keys() == {("alice",)}
    assert folded(tmp_path, ("cost_center",))[("",)].calls == 1


def test_sums_beyond_all_bounds_are_the_largest_there_is(tmp_path: Path) -> None:
    absurd = [an_ended(principal=name, cost_nanousd=2**63 - 1) for name in ("alice", "bob")]
    write(tmp_path / "1.jsonl", lines(*absurd, *absurd))
    write(tmp_path / "2.jsonl", lines(*absurd))
    assert folded(tmp_path, ("principal",))["alice",].cost_nanousd == 2**63 - 1
    assert folded(tmp_path)[()].cost_nanousd == 2**63 - 1


@pytest.mark.parametrize("damage", [slice(None, -6), slice(None, 100), slice(1, None), slice(None, 2)])
def test_a_damaged_segment_is_reported_and_the_others_count(damage: slice, tmp_path: Path) -> None:
    first = seal(write(tmp_path / "1.jsonl", lines(*(an_ended(request_id=f"{number}") for number in range(99)))))
    first.write_bytes(first.read_bytes()[damage])
    write(tmp_path / "2.jsonl", lines(an_ended(principal="bob")))
    torn: list[Torn] = []
    with Totals.of(tmp_path) as totals:
        totals.fold(torn.append)
        assert sums(totals, ("principal",))["bob",].calls == 1
        readable = sum(record["principal"] == "alice" for record in records(tmp_path))
        assert sums(totals, ()).get((), Sums()).calls == 1 + readable
    assert {one.path for one in torn} == ({first} if first.stat().st_size > 4 else set())


def test_processes_that_make_the_totals_at_once_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As workers do at their first start: SQLite does not always wait while it goes over to WAL; here it never does."""
    open_it = sqlite3.connect
    with closing(sqlite3.connect(tmp_path / TOTALS_FILE, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE held (number)")
        other.execute("BEGIN")
        other.execute("SELECT * FROM held").fetchall()
        monkeypatch.setattr(sqlite3, "connect", lambda path, **facts: open_it(path, **{**facts, "timeout": 0}))
        release = threading.Timer(0.1, lambda: other.execute("COMMIT"))
        release.start()
        connect(tmp_path).close()
        release.join()
