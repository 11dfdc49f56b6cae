"""What happens in the gateway, as it happens, for operators who follow it: ``GET /api/events`` and ``aiogate tail``.

``ring`` keeps the last events, ``follow`` gives them to one reader, ``ids`` says where a reader is,
``merged`` makes one stream of those of several processes.
"""

from aiogate.server.events.follow import Follower, Wanted
from aiogate.server.events.ids import Position
from aiogate.server.events.merged import Merged
from aiogate.server.events.ring import Events

__all__ = ["Events", "Follower", "Merged", "Position", "Wanted"]
