"""What operators have stopped: kills, which end what is under way and let nothing new in, and pauses, which do not end.

``halt.py`` is one of them, ``in_force.py`` all there are, ``file.py`` what of them outlives the process, ``cutting.py``
what a kill does to exchanges under way.
"""

from aiogate.server.halts.halt import Halt
from aiogate.server.halts.in_force import Halts

__all__ = ["Halt", "Halts"]
