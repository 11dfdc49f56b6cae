"""The centre that the journals of all gateways are shipped to: one stream of records, and what each journal sums up to.

For the shipper, the reports and budgets. Knows nothing of files. The stream is ``<prefix>{journal}:stream``; an entry
has ``id``, ``source`` and ``record``, the JSON of the journal. Records of one process come in their order, each at
least once: a consumer passes over an ``id`` that it has seen. It keeps the newest ``[state] stream_records``, about.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import orjson

from aiogate.errors import StateError
from aiogate.state.redis.link import Link
from aiogate.state.redis.places import place_of
from aiogate.state.redis.scripts import central_source

__all__ = ["Acknowledged", "Central", "Row", "Source"]

_DAY_SECONDS: Final = 86400
_ASK_SECONDS: Final = 2.0
_KEYS_AT_ONCE: Final = 16
_ROWS_AT_ONCE: Final = 500
_UNKNOWN: Final = -2

Row = tuple[int, tuple[str, ...], Sequence[int]]
"""Sums: the quarter in seconds since 1970, who and what they are of, and the figures."""


@attrs.frozen(kw_only=True)
class Source:
    """One journal: its id, the host that it is kept on, and when it was last heard of, in seconds since 1970."""

    id: str
    host: str
    heard: float


@attrs.frozen
class Acknowledged:
    """What came of shipping.

    Args:
        is_known: False: the centre knows nothing of the journal; ``begin`` comes first.
        at: where the centre is, if that is before what was shipped; None: all of it has arrived.
    """

    is_known: bool
    at: int | None = None


class Central:
    """What is asked of the centre; one call at a time."""

    def __init__(self, url: str, *, prefix: str = "aiogate:", stream_records: int, fleet_days: int) -> None:
        """Keep where to connect; raises ``ValueError`` for a URL that cannot be read."""
        self._prefix = f"{prefix}{{journal}}:"  # in a cluster, all of it is in one slot
        self._link = Link(place_of(url, self._prefix), central_source())
        self._asking = asyncio.Lock()
        self._stream_records = stream_records
        self.fleet_days: Final = fleet_days

    async def begin(
        self, source: str, host: str, gone: Sequence[str], positions: Mapping[str, int]
    ) -> Mapping[str, int] | None:
        """Return up to where each segment of a journal is here; None: nothing was known, and is from now on.

        ``gone`` are segments that there are no more. Raises ``StateError``, as all of it does.
        """
        before = [part for name, at in positions.items() for part in (name, str(at))]
        known = await self._run(source, (), b"begin", source, host, " ".join(gone), *before)
        found = {name.decode(): value for name, value in _pairs(known)}
        if not found:
            return None
        return {name.removeprefix("at:"): int(at) for name, at in found.items() if name.startswith("at:")}

    async def ship(  # noqa: PLR0913 - each is said by its name
        self,
        source: str,
        host: str,
        segment: str,
        *,
        start: int,
        end: int,
        records: Sequence[tuple[str, bytes, int]],
        rows: Iterable[Row],
    ) -> Acknowledged:
        """Have the records between two places of a segment in the stream, and what the journal sums up to by them.

        ``records`` are their ids, texts and ends. Doing it again changes nothing.
        """
        days, told = _by_day(rows)
        facts = (source, host, segment, start, end, self._stream_records, self.fleet_days, len(records))
        flat = [part for record in records for part in record]
        reply = await self._run(source, days, b"ship", *facts, *flat, *told)
        return Acknowledged(reply != _UNKNOWN, None if reply < 0 else reply)

    async def tell_sums(self, source: str, rows: Iterable[Row]) -> None:
        """Say what a journal sums up to."""
        every = list(rows)
        for first in range(0, len(every), _ROWS_AT_ONCE):
            days, told = _by_day(every[first : first + _ROWS_AT_ONCE])
            await self._run(source, days, b"sums", self.fleet_days, *told)

    async def sources(self, forget_before: float = 0.0) -> list[Source]:
        """Return the journals that were ever heard of; those that were last before a time are forgotten."""
        flat = await self._run("", (), b"sources", int(forget_before * 1000))
        found = [(name.decode(), float(heard) / 1000) for name, heard in _pairs(flat)]
        hosts = [await self._run(source, (), b"host") or b"" for source, _ in found]
        return [Source(id=one[0], host=host.decode(), heard=one[1]) for one, host in zip(found, hosts, strict=True)]

    async def rows(self, source: str, since: float, until: float) -> list[Row]:
        """Return what a journal sums up to, by the quarters between two times."""
        days = range(int(since) // _DAY_SECONDS, int(until) // _DAY_SECONDS + 1)
        found = list[Row]()
        for first in range(0, len(days), _KEYS_AT_ONCE):
            for flat in await self._run(source, days[first : first + _KEYS_AT_ONCE], b"read"):
                found.extend(row for row in _rows_of(flat) if since <= row[0] < until)
        return found

    async def close(self) -> None:
        """Let go of the connection."""
        await self._link.close()

    async def _run(self, source: str, days: Sequence[int], operation: bytes, *arguments: str | bytes | int) -> Any:  # noqa: ANN401 - what Redis says
        fixed = ("stream", "sources", f"source:{source}")
        keys = [f"{self._prefix}{name}" for name in (*fixed, *(f"sums:{source}:{day}" for day in days))]
        told = [part if isinstance(part, bytes) else str(part).encode() for part in arguments]
        async with self._asking:
            try:
                async with asyncio.timeout(_ASK_SECONDS):
                    return await self._link.run(keys, operation, *told)
            except TimeoutError:
                msg = f"Redis has not answered within {_ASK_SECONDS:g} s"
                raise StateError(msg) from None


def _by_day(rows: Iterable[Row]) -> tuple[list[int], list[str | bytes | int]]:
    """Return the days that rows are of, and the rows as the script reads them."""
    days, told = dict[int, int](), list[str | bytes | int]()
    for quarter, names, figures in rows:
        place = days.setdefault(quarter // _DAY_SECONDS, len(days) + 1)
        told.extend((place, orjson.dumps((quarter, *names)), " ".join(map(str, figures))))
    return list(days), told


def _rows_of(flat: Sequence[bytes]) -> Iterator[Row]:
    for field, figures in _pairs(flat):
        quarter, *names = orjson.loads(field)
        yield quarter, tuple(names), [int(figure) for figure in figures.split()]


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(flat[::2], flat[1::2], strict=True)
