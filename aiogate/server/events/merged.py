"""Makes one stream of the event streams of several processes, in which a reader can go on as in any.

Pure: texts go in as each process writes them, and come out with ids that say where the reader is in all of them.
"""

from typing import Final

import attrs

from aiogate.server.events.ids import Position

__all__ = ["Merged"]

_ID: Final = b"id: "
_EVENT: Final = b"event: "
_GAP: Final = b"event: gap\n"
_END: Final = b"\n\n"


@attrs.define
class Merged:
    """The stream of one reader.

    Args:
        place: where it is, in each of the processes that it has heard of.
    """

    place: Position

    def add(self, text: bytes) -> bytes:
        """Return what a process has written, whole events, as the reader gets it: what it has had is left out."""
        return b"".join(self._one(block) for block in text.split(_END) if block)

    def _one(self, block: bytes) -> bytes:
        lines = block.split(b"\n")
        block_id = next((line[len(_ID) :].decode() for line in lines if line.startswith(_ID)), "")
        found = Position.parse(block_id)
        if found is None:
            return b""
        if not any(line.startswith(_EVENT) for line in lines):
            self.place = self.place.at_least(found)
            return b""
        is_gap = block.find(_GAP) >= 0
        if not is_gap and all(self.place.seen.get(epoch, 0) >= number for epoch, number in found.seen.items()):
            return b""  # one that came again, as a connection to its process was made anew
        self.place = self.place.at_least(found)
        rest = b"\n".join(line for line in lines if not line.startswith(_ID))
        return b"%b%b\n%b%b" % (_ID, str(self.place).encode(), rest, _END)
