"""Chains the journal's records, so that none can be changed, taken out or put in without notice.

For the writer and ``audit.py``. A line carries its number in its segment and the SHA-256 of the hash before it followed
by the line itself, up to there; both hashes as their hexadecimal digits::

    {... ,"seq":7,"chain":"<64 digits>"}
    chain = sha256(chain of line 6 + '{... ,"seq":7')

The first line of a segment says in ``after`` how the hash begins behind which its own was made: that of the last record
before the segment was opened. Whoever can write all of the journal can make a new chain; keep a hash elsewhere
(``aiogate audit verify`` prints the last one) and no such chain will hold it.
"""

import re
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

import attrs

from aiogate.journal.sealed import open_segment
from aiogate.journal.segment import SEALED_SUFFIX, segments

__all__ = ["HASH_DIGITS", "HINT_DIGITS", "LINK_BYTES", "Chain", "Link", "end_of", "hash_of", "link_of"]

HASH_DIGITS: Final = 64
HINT_DIGITS: Final = 16
LINK_BYTES: Final = len(b',"after":""') + HINT_DIGITS + len(b',"seq":999999999') + len(b',"chain":""') + HASH_DIGITS
"""So much longer does a record become at most."""

_LINK: Final = re.compile(
    rb'(?:,"after":"(?P<after>[0-9a-f]*)")?,"seq":(?P<seq>[0-9]+),"chain":"(?P<chain>[0-9a-f]{64})"\}\n'
)
_TAIL_BYTES: Final = 64 * 1024


@attrs.define(eq=False)
class Chain:
    """The end of the chain that one process makes.

    ``linked`` changes nothing: a line that could not be written leaves the chain as it was until ``advance``.

    Args:
        hash: of the last line; empty before the first one of all.
        seq: its number in the segment; 0: the segment has none yet.
    """

    hash: bytes = b""
    seq: int = 0
    _next: bytes = attrs.field(default=b"", init=False)

    @classmethod
    def continued(cls, directory: Path) -> Self:
        """Return the chain that goes on behind what is in a journal."""
        return cls(next((end for path in reversed(segments(directory)) if (end := end_of(path))), b""))

    def linked(self, line: bytes) -> bytes:
        """Return a line of JSON, with its line feed, as the next one of the chain."""
        if self.seq:
            body = b'%b,"seq":%d' % (line[:-2], self.seq + 1)
        else:
            body = b'%b,"after":"%b","seq":1' % (line[:-2], self.hash[:HINT_DIGITS])
        self._next = chain = sha256(self.hash + body).hexdigest().encode()  # ``hash_of``, without the call
        return b"".join((body, b',"chain":"', chain, b'"}\n'))

    def advance(self) -> None:
        """Go on from the line that was linked last: it has been written."""
        self.hash = self._next
        self.seq += 1

    def begin_segment(self) -> None:
        """Make the next line the first one of a segment."""
        self.seq = 0


@attrs.frozen(kw_only=True)
class Link:
    """What a line says of its place.

    ``after`` is None save in the first line of a segment; ``body`` is what its hash is made of.
    """

    seq: int
    chain: bytes
    after: bytes | None
    body: bytes


def hash_of(before: bytes, body: bytes) -> bytes:
    """Return the hash of a line by the one before it and the line itself up to its hash."""
    return sha256(before + body).hexdigest().encode()


def link_of(line: bytes) -> Link | None:
    """Return the link of a whole line; None: it has none."""
    match = _LINK.search(line, max(0, len(line) - LINK_BYTES - 3))
    if match is None or match.end() != len(line):
        return None
    body = line[: match.start("chain") - len(b',"chain":"')]
    return Link(seq=int(match["seq"]), chain=match["chain"], after=match["after"], body=body)


def end_of(path: Path) -> bytes:
    """Return the hash of the last whole line of a segment; empty when none of them has one."""
    try:
        with open_segment(path) as file:
            if path.suffix != SEALED_SUFFIX:
                file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            tail = b""
            while block := file.read(_TAIL_BYTES):
                tail = tail[-_TAIL_BYTES:] + block
    except FileNotFoundError:
        return b""
    for line in reversed(tail.split(b"\n")[:-1]):
        if (link := link_of(line + b"\n")) is not None:
            return link.chain
    return b""
