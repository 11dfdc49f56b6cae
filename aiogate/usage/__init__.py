"""Usage: what a response says that it used, read from a copy of its bytes, and what that costs.

For the cost plugin and for plugin authors: what is in ``__all__`` is public, the one room besides ``aiogate`` itself
that a plugin may import. Knows nothing of exchanges on their way, configs or the journal.
"""

from aiogate.exchange import Key
from aiogate.usage.body import ByteReader
from aiogate.usage.declared import declared
from aiogate.usage.estimate import model_in, text_bytes
from aiogate.usage.prices import Price, cost_nanousd
from aiogate.usage.published import PublishedPrices
from aiogate.usage.reader import UsageReader, is_stream, reader_for, reader_maker

__all__ = [
    "ESTIMATE",
    "ByteReader",
    "Price",
    "PublishedPrices",
    "UsageReader",
    "cost_nanousd",
    "declared",
    "is_stream",
    "model_in",
    "reader_for",
    "reader_maker",
    "text_bytes",
]

ESTIMATE = Key[bool]("usage.estimate")
"""Set on an exchange that is counted in tokens: where its answer says nothing, they are to be estimated."""
