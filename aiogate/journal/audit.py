"""Looks through the journal's chain and names every record that was changed, taken out, put in or moved; for auditors.

Knows nothing of what records say, save their ids. What was cut off behind the last record is only noticed where the
totals remember it, or where an auditor kept a hash (``anchors``).
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Literal

import attrs

from aiogate.journal.chain import HINT_DIGITS, Link, end_of, hash_of, link_of
from aiogate.journal.reader import parsed
from aiogate.journal.sealed import DamagedError, length, open_segment
from aiogate.journal.segment import TORN_SUFFIX, name_of, segments
from aiogate.journal.totals_file import TOTALS_FILE

__all__ = ["Audit", "Finding", "audit"]

Kind = Literal["changed", "missing", "inserted", "moved", "torn"]

_STEP_LINES: Final = 10_000


@attrs.frozen(kw_only=True)
class Finding:
    """Something that is not as it was written.

    Args:
        kind: ``torn`` is what a process left that died while it wrote; everything else is somebody's doing.
        segment: the file's name.
        line: counts from 1; None where it is about the whole file.
        request_id: of the record on that line, where it can be read.
        detail: one sentence.
    """

    kind: Kind
    segment: str
    line: int | None
    request_id: str | None
    detail: str


@attrs.define
class Audit:
    """What came out.

    Args:
        records: lines that were looked at.
        findings: what is wrong, in the order of segments and lines.
        head: the hash of the last record; keep it elsewhere, and nobody can replace the journal up to it.
        unchained: segments of a version that did not chain; there are none behind the first one that is chained.
    """

    segments: int = 0
    records: int = 0
    findings: list[Finding] = attrs.field(factory=list)
    head: str = ""
    unchained: list[str] = attrs.field(factory=list)
    chained: bool = False

    @property
    def intact(self) -> bool:
        """Whether nobody has tampered with anything."""
        return all(finding.kind == "torn" for finding in self.findings)


def audit(
    directory: Path, anchors: Collection[str] = (), progress: Callable[[int, int], None] = lambda _done, _whole: None
) -> Audit:
    """Look through a journal.

    Args:
        directory: the journal's.
        anchors: hashes that have to be in it, as earlier audits printed them.
        progress: is told how many bytes are done, and of how many.
    """
    paths = segments(directory)
    remembered, retired = _remembered(directory)
    ends = {end[:HINT_DIGITS]: end for end in (*retired.values(), *(end_of(path).decode() for path in paths)) if end}
    missed = {anchor.strip().lower() for anchor in anchors}
    report, whole, before = Audit(segments=len(paths)), sum(map(length, paths)), 0
    wanted = set(filter(None, map(_hint_of, paths))) - ends.keys()
    for path in paths:
        walk = _Walk(path, report, ends, missed, wanted)
        size = length(path)
        walk.run(lambda done, before=before: progress(before + done, whole))  # type: ignore[misc] # mypy: no default
        before += size
        progress(before, whole)
    _missing_segments(directory, report, remembered)
    for aside in sorted(directory.glob(f"*{TORN_SUFFIX}")):
        detail = f"{aside.stat().st_size} bytes that were found behind the last whole record of a segment, set aside"
        report.findings.append(Finding(kind="torn", segment=aside.name, line=None, request_id=None, detail=detail))
    for anchor in sorted(missed):
        detail = f"no record has the hash {anchor}, which was the journal's once"
        report.findings.append(Finding(kind="missing", segment="", line=None, request_id=None, detail=detail))
    report.head = next((end.decode() for path in reversed(paths) if (end := end_of(path))), "")
    return report


def _remembered(directory: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Return what the totals know: how far each segment went at least, and how those ended whose time was over."""
    path = directory / TOTALS_FILE
    if not path.exists():
        return {}, {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT name, position, chain, retired FROM segments").fetchall()
    except sqlite3.Error:
        return {}, {}
    there = {name: position for name, position, _, gone in rows if not gone}
    return there, {name: chain for name, _, chain, gone in rows if gone}


def _hint_of(path: Path) -> str:
    """Return how the hash begins behind which a segment says to begin; empty where it says nothing."""
    try:
        with open_segment(path) as file:
            link = link_of(file.readline())
    except (FileNotFoundError, DamagedError):
        return ""
    return "" if link is None or link.after is None else link.after.decode()


def _missing_segments(directory: Path, report: Audit, remembered: dict[str, int]) -> None:
    for name, position in sorted(remembered.items()):
        size = length(directory / name)
        if size < position:
            what = "is not there" if not size else f"has lost {position - size} bytes at its end"
            detail = f"the segment {what}: the totals know of {position} bytes in it"
            report.findings.append(Finding(kind="missing", segment=name, line=None, request_id=None, detail=detail))


@attrs.define
class _Walk:
    """Goes through one segment.

    Args:
        ends: the last hashes of all segments, by how they begin.
        missed: the anchors that were not met yet.
        wanted: beginnings of hashes that are no last ones, behind which segments begin: those of a gateway that was
            started while another one still wrote.
        before: the hash behind which the next line was made; None: unknown.
        expected: its number.
        absent: numbers that were passed over, each with the finding that says so.
        suspect: a line whose hash is wrong and may have been put in: its link, what stood before it, its finding.
    """

    path: Path
    report: Audit
    ends: dict[str, str]
    missed: set[str]
    wanted: set[str]
    before: bytes | None = None
    expected: int = 1
    absent: dict[int, Finding] = attrs.field(factory=dict)
    suspect: tuple[Link, bytes | None, Finding] | None = None
    _unlinked: list[Finding] = attrs.field(factory=list)
    _linked: int = 0

    def run(self, progress: Callable[[int], None]) -> None:
        """Look at every line."""
        done = number = 0
        try:
            with open_segment(self.path) as file:
                for number, line in enumerate(file, 1):
                    done += len(line)
                    self._line(number, line)
                    if number % _STEP_LINES == 0:
                        progress(done)
        except DamagedError as error:
            self._find("changed", number + 1, b"", f"from here on the file cannot be unpacked: {error}")
        if self._unlinked and not self._linked and not self.report.chained:
            self.report.unchained.append(name_of(self.path))
        else:
            self.report.findings += self._unlinked
        self.report.chained = self.report.chained or bool(self._linked)

    def _line(self, number: int, line: bytes) -> None:
        if not line.endswith(b"\n"):
            self._find("torn", number, line, f"{len(line)} bytes without an end, of a record that nobody was told of")
            return
        self.report.records += 1
        link = link_of(line)
        if link is None:
            detail = "a line without a link of the chain: put in, or its link was taken away"
            self._unlinked.append(self._finding("inserted", number, line, detail))
            return
        self._linked += 1
        if self.missed:
            self.missed.discard(link.chain.decode())
        if self.wanted and (hint := link.chain[:HINT_DIGITS].decode()) in self.wanted:
            self.ends[hint] = link.chain.decode()
        if link.seq == self.expected == 1:
            self._begin(number, line, link)
        right = self.before is not None and hash_of(self.before, link.body) == link.chain
        if link.seq < self.expected:
            self._late(number, line, link)
            return
        if link.seq > self.expected:
            self._gap(number, line, link)
        elif not right and self.before is not None:
            detail = "it does not say what was written: its hash, made with the record before, is another"
            finding = self._find("changed", number, line, detail)
            self.suspect = (link, self.before, finding)
        else:
            self.suspect = None
        self.before, self.expected = link.chain, link.seq + 1

    def _begin(self, number: int, line: bytes, link: Link) -> None:
        """Find out behind what a segment begins."""
        if link.after is None:
            self._find("changed", number, line, "it does not say behind what this segment begins")
            return
        hint = link.after.decode()
        end = self.ends.get(hint) if hint else ""
        if end is None:
            detail = "what stood before this segment is missing: the end of another one, or the whole of it"
            self._find("missing", number, line, detail)
        self.before = None if end is None else end.encode()

    def _gap(self, number: int, line: bytes, link: Link) -> None:
        count = link.seq - self.expected
        detail = f"{count} record{'s' if count > 1 else ''} missing before this one (numbers from {self.expected})"
        finding = self._find("missing", number, line, detail)
        self.absent |= dict.fromkeys(range(self.expected, link.seq), finding)
        self.suspect = None

    def _late(self, number: int, line: bytes, link: Link) -> None:
        """Tell a line that was moved from one that was put in: the one's number is absent elsewhere."""
        if link.seq in self.absent:
            finding = self.absent.pop(link.seq)
            if finding not in self.absent.values():
                self.report.findings.remove(finding)
            self._find("moved", number, line, f"number {link.seq} stands behind number {self.expected - 1}")
            return
        suspect = self.suspect
        if suspect is not None and suspect[0].seq == link.seq and self._follows(suspect[1], link):
            forged = attrs.evolve(suspect[2], kind="inserted", detail=f"a second number {link.seq}, which was put in")
            self.report.findings[self.report.findings.index(suspect[2])] = forged
            self.before, self.suspect = link.chain, None
            return
        self._find("inserted", number, line, f"a second number {link.seq}: one of both was put in")

    def _follows(self, before: bytes | None, link: Link) -> bool:
        return before is not None and hash_of(before, link.body) == link.chain

    def _find(self, kind: Kind, number: int, line: bytes, detail: str) -> Finding:
        finding = self._finding(kind, number, line, detail)
        self.report.findings.append(finding)
        return finding

    def _finding(self, kind: Kind, number: int, line: bytes, detail: str) -> Finding:
        record = parsed(line)
        request_id = record.get("request_id") if record is not None else None
        return Finding(kind=kind, segment=self.path.name, line=number, request_id=request_id, detail=detail)


def lines_of(findings: list[Finding]) -> Iterator[str]:
    """Yield each finding as one line for a person."""
    for one in findings:
        place = ":".join(str(part) for part in (one.segment, one.line) if part)
        who = f" (request {one.request_id})" if one.request_id else ""
        yield f"{one.kind:<8} {place}{who}: {one.detail}" if place else f"{one.kind:<8} {one.detail}"
