"""Usage: what a response says that it used, read from a copy of its bytes, and what that costs.

For the cost plugin and for plugin authors: what is in ``__all__`` is public, the one room besides ``aiogate`` itself
that a plugin may import. Knows nothing of exchanges on their way, configs or the journal.
"""

from aiogate.usage.body import ByteReader
from aiogate.usage.declared import declared
from aiogate.usage.prices import Price, cost_nanousd
from aiogate.usage.published import PublishedPrices
from aiogate.usage.reader import UsageReader, reader_for, reader_maker

__all__ = [
    "ByteReader",
    "Price",
    "PublishedPrices",
    "UsageReader",
    "cost_nanousd",
    "declared",
    "reader_for",
    "reader_maker",
]
