"""Usage: what a response says that it used, read from a copy of its bytes, and what that costs.

For the cost plugin and for plugin authors: ``reader_for``, ``UsageReader``, ``Price`` and ``cost_nanousd`` are public,
the one room besides ``aiogate`` itself that a plugin may import. Knows nothing of exchanges on their way, configs or
the journal.
"""

from aiogate.usage.prices import Price, cost_nanousd
from aiogate.usage.reader import UsageReader, reader_for

__all__ = ["Price", "UsageReader", "cost_nanousd", "reader_for"]
