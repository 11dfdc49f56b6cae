"""How the answers of an agent are read, and what every reader says of figures that cannot be true.

For the readers. Knows neither chunks nor heads.
"""

import logging
import reprlib
from typing import Final

from aiogate.exchange import Usage
from aiogate.usage.dialects import Found
from aiogate.usage.figures import AbsurdError
from aiogate.usage.framing import MARKERS, speaker
from aiogate.usage.recognise import Find, find

__all__ = ["ANY_DIALECT", "UNKNOWN", "Way", "tell"]

UNKNOWN: Final = Usage()
_logger: Final = logging.getLogger(__name__)


class Way:
    """How the answers of an agent are read: texts of which one is in what has figures, and who finds them."""

    __slots__ = ("find", "markers", "speaks")

    def __init__(self, marks: tuple[bytes, ...], find: Find) -> None:
        self.markers = marks or (b"",)
        self.speaks = speaker(marks)
        self.find = find


ANY_DIALECT: Final = Way(MARKERS, find)


def tell(found: Found | None, absurd: AbsurdError) -> None:
    """Log figures that cannot be true, raw."""
    _logger.warning("usage of model %s is unknown: %s", reprlib.repr(found[2] if found else None), absurd)
