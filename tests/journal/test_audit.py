"""The chain: whatever was done to a record is found, and named by file, line and request id."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from aiogate import Clock
from aiogate.journal.audit import Audit, audit
from aiogate.journal.chain import link_of
from aiogate.journal.record import RECORD_BYTES
from aiogate.journal.sealed import seal
from aiogate.journal.totals import Totals
from aiogate.journal.writer import Journal
from aiogate.settings.model import JournalSettings
from tests.journal.segments import lines

Segments = list[Path]


def a_line(number: int) -> bytes:
    return lines(
        {
            "time": "2026-01-01T12:00:00.000Z",
            "request_id": f"id-{number}",
            "principal": "alice",
            "outcome": "completed",
            "usage": {"source": "unknown"},
            "cost_nanousd": number,
        }
    )


def append(directory: Path, numbers: range, segment_bytes: int = 2**20) -> None:
    """Run a gateway's journal from its start to its end."""
    journal = Journal(JournalSettings(dir=directory, segment_bytes=segment_bytes), Clock())
    journal.open()
    for number in numbers:
        journal.append(a_line(number))
    journal.close()


@pytest.fixture
def journal(tmp_path: Path) -> Segments:
    """Three starts of a gateway, with segments of about eight records."""
    for start in range(3):
        append(tmp_path, range(start * 20, start * 20 + 20), segment_bytes=2200)
    return sorted(tmp_path.glob("*.jsonl"))


def said(report: Audit) -> list[tuple[str, str, int | None, str | None]]:
    return [(one.kind, one.segment, one.line, one.request_id) for one in report.findings]


def edit(path: Path, change: Callable[[list[bytes]], None]) -> None:
    content = path.read_bytes().splitlines(keepends=True)
    change(content)
    path.write_bytes(b"".join(content))


def test_a_journal_that_nobody_touched_is_intact_over_rotation_and_restarts(journal: Segments) -> None:
    report = audit(journal[0].parent)
    assert (report.findings, report.records, report.segments) == ([], 60, len(journal))
    assert len(journal) >= 6
    last = link_of(journal[-1].read_bytes().splitlines(keepends=True)[-1])
    assert last is not None
    assert report.head == last.chain.decode()


def test_a_compressed_segment_is_the_same_to_an_auditor(journal: Segments) -> None:
    for path in journal[:-1]:
        seal(path)
    assert audit(journal[0].parent).findings == []
    append(journal[0].parent, range(60, 62))
    assert audit(journal[0].parent).records == 62


def test_a_restart_goes_on_behind_a_compressed_segment(tmp_path: Path) -> None:
    append(tmp_path, range(3))
    seal(next(tmp_path.glob("*.jsonl")))
    append(tmp_path, range(3, 5))
    assert audit(tmp_path).findings == []
    next(tmp_path.glob("*.gz")).unlink()
    assert [kind for kind, *_ in said(audit(tmp_path))] == ["missing"]


def test_gateways_side_by_side_make_one_journal_that_is_intact(tmp_path: Path) -> None:
    """As when one still drains while the next one has been started."""
    first = Journal(JournalSettings(dir=tmp_path, segment_bytes=2200), Clock())
    first.open()
    for number in range(5):
        first.append(a_line(number))
    second = Journal(JournalSettings(dir=tmp_path, segment_bytes=2200), Clock())
    second.open()
    for number in range(5, 45, 2):
        first.append(a_line(number))
        second.append(a_line(number + 1))
    first.close()
    second.close()
    append(tmp_path, range(45, 48))
    report = audit(tmp_path)
    assert (report.findings, report.records) == ([], 48)


def test_a_changed_record_is_named(journal: Segments) -> None:
    edit(journal[1], lambda content: content.__setitem__(2, content[2].replace(b"alice", b"mlice")))
    [(kind, segment, line, request_id)] = said(audit(journal[1].parent))
    assert (kind, segment, line) == ("changed", journal[1].name, 3)
    assert request_id is not None
    assert request_id.encode() in journal[1].read_bytes().splitlines()[2]


@pytest.mark.parametrize("place", [0, 2, -1])
def test_a_record_that_was_taken_out_is_missing_before_the_one_that_follows(place: int, journal: Segments) -> None:
    edit(journal[1], lambda content: content.pop(place))
    [(kind, segment, line, request_id)] = said(audit(journal[1].parent))
    following = journal[2] if place == -1 else journal[1]
    assert (kind, segment, line) == ("missing", following.name, 1 if place == -1 else place + 1)
    assert request_id is not None


def test_a_record_that_was_put_in_is_named(journal: Segments) -> None:
    edit(journal[1], lambda content: content.insert(3, content[3].replace(b"alice", b"mlice")))
    [(kind, segment, line, _)] = said(audit(journal[1].parent))
    assert (kind, segment, line) == ("inserted", journal[1].name, 4)
    edit(journal[1], lambda content: content.pop(3))
    edit(journal[1], lambda content: content.insert(3, a_line(99)))
    assert said(audit(journal[1].parent)) == [("inserted", journal[1].name, 4, "id-99")]


def test_records_that_changed_places_are_named(journal: Segments) -> None:
    edit(journal[1], lambda content: content.insert(1, content.pop(4)))
    findings = said(audit(journal[1].parent))
    assert {kind for kind, *_ in findings} == {"moved"}
    assert {segment for _, segment, *_ in findings} == {journal[1].name}


@pytest.mark.parametrize("index", [0, 1, -2])
def test_a_segment_that_was_taken_away_is_missing(index: int, journal: Segments) -> None:
    journal[index].unlink()
    [(kind, segment, line, _)] = said(audit(journal[0].parent))
    following = sorted(journal)[1:] if index == 0 else sorted(journal)[index + 1 :] or [journal[-1]]
    assert (kind, segment, line) == ("missing", following[0].name, 1)


def test_what_was_cut_off_at_the_end_is_known_to_the_totals(journal: Segments) -> None:
    with Totals.of(journal[0].parent) as totals:
        totals.fold()
    assert audit(journal[0].parent).findings == []
    edit(journal[-1], lambda content: content.pop())
    assert [one[:2] for one in said(audit(journal[0].parent))] == [("missing", journal[-1].name)]
    journal[-1].unlink()
    assert [one[:2] for one in said(audit(journal[0].parent))] == [("missing", journal[-1].name)]


def test_a_hash_that_was_kept_elsewhere_proves_the_journal_up_to_it(journal: Segments, tmp_path: Path) -> None:
    head = audit(journal[0].parent).head
    append(journal[0].parent, range(60, 65))
    assert audit(journal[0].parent, [head]).findings == []
    elsewhere = tmp_path / "another"
    append(elsewhere, range(65))  # a whole new chain, in order in itself
    assert audit(elsewhere).findings == []
    assert not audit(elsewhere, [head]).intact


def test_a_torn_end_is_reported_and_is_nobodys_doing(journal: Segments) -> None:
    with journal[2].open("ab") as file:
        file.write(b'{"time":"2026-')
    report = audit(journal[0].parent)
    assert [one[:2] for one in said(report)] == [("torn", journal[2].name)]
    assert report.intact


def test_segments_of_a_version_that_did_not_chain_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "20200101T000000000Z-1.jsonl").write_bytes(a_line(1) + a_line(2))
    append(tmp_path, range(3))
    report = audit(tmp_path)
    assert (report.findings, report.unchained) == ([], ["20200101T000000000Z-1.jsonl"])


@pytest.mark.parametrize("seed", range(40))
def test_no_change_of_a_byte_goes_unnoticed(seed: int, journal: Segments) -> None:
    random.seed(seed)
    path = random.choice(journal)
    content = bytearray(path.read_bytes())
    place = random.randrange(len(content))
    content[place] ^= 1 << random.randrange(8)
    path.write_bytes(content)
    report = audit(path.parent)
    assert report.findings
    assert any(one.segment == path.name or one.line == 1 for one in report.findings)


def test_a_line_that_was_not_written_leaves_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(JournalSettings(dir=tmp_path), Clock())
    journal.open()
    journal.append(a_line(1))
    with monkeypatch.context() as broken, pytest.raises(Exception, match="journal in"):
        broken.setattr("aiogate.journal.segment.os.write", lambda *_: 0)
        journal.append(a_line(2))
    journal.append(a_line(3))
    journal.close()
    report = audit(tmp_path)
    assert (report.findings, report.records) == ([], 2)


def test_the_longest_record_stays_below_a_kibibyte_with_its_link(tmp_path: Path) -> None:
    line = b'{"time":"2026-01-01T12:00:00.000Z","x":"' + b"x" * RECORD_BYTES
    line = line[: RECORD_BYTES - 3] + b'"}\n'
    journal = Journal(JournalSettings(dir=tmp_path), Clock())
    journal.open()
    for _ in range(12):
        journal.append(line)
    journal.close()
    [segment] = tmp_path.glob("*.jsonl")
    assert max(map(len, segment.read_bytes().splitlines(keepends=True))) < 1024


def test_a_compressed_segment_that_is_damaged_is_named(journal: Segments) -> None:
    sealed = seal(journal[1])
    sealed.write_bytes(sealed.read_bytes()[:-20])
    assert (sealed.name, "changed") in {(one.segment, one.kind) for one in audit(sealed.parent).findings}


def test_a_gateway_starts_behind_a_damaged_segment(journal: Segments) -> None:
    sealed = seal(journal[-1])
    sealed.write_bytes(sealed.read_bytes()[:-20])
    append(sealed.parent, range(100, 102))
    assert b'"id-101"' in max(sealed.parent.glob("*.jsonl")).read_bytes()
