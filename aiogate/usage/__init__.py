"""Usage: what a response says that it used, read from a copy of its bytes, and what that costs.

For the cost plugin and for plugin authors: what is in ``__all__`` is public, the one room besides ``aiogate`` itself
that a plugin may import. Knows nothing of exchanges on their way, configs or the journal.
"""

from collections.abc import Callable, Iterable

from aiogate.claims import Measure
from aiogate.exchange import Key
from aiogate.usage.body import ByteReader
from aiogate.usage.declared import declared
from aiogate.usage.decoding import readable_codings
from aiogate.usage.estimate import model_in, text_bytes
from aiogate.usage.prices import Price, cost_nanousd
from aiogate.usage.published import PublishedPrices
from aiogate.usage.reader import UsageReader, is_stream, reader_for, reader_maker

__all__ = [
    "ESTIMATE",
    "HELD",
    "SO_FAR",
    "ByteReader",
    "Price",
    "PublishedPrices",
    "UsageReader",
    "cost_nanousd",
    "declared",
    "is_stream",
    "model_in",
    "readable_codings",
    "reader_for",
    "reader_maker",
    "text_bytes",
]

ESTIMATE = Key[bool]("usage.estimate")
"""Set on an exchange that is counted in tokens: where its answer says nothing, they are to be estimated."""

SO_FAR = Key[Callable[[], tuple[int, int | None]]]("usage.so_far")
"""Set on an exchange whose answer streams, by who reads its usage: what it makes of what has come by now, output tokens
and nano-dollars, None without a price. For operators who look at what is under way; it is cheap, and an estimate. What
it is bound to must not lead back to the exchange."""

HELD = Key[Callable[[], Iterable[tuple[Measure, int]]]]("usage.held")
"""Likewise, by who holds more of budgets while the answer streams: how much of what is held by now."""
