"""A way to Redis on which requests and answers get lost, at random."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import attrs


@attrs.define
class Lossy:
    """Passes on to ``port``; of what comes it loses some, and with it the connection."""

    port: int
    turn: random.Random
    loses: float = 0.0
    lost: int = 0
    unheard: int = 0
    here: int = 0
    _writers: set[asyncio.StreamWriter] = attrs.field(factory=set)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers |= {writer, there_writer}
        try:
            with suppress(ConnectionError):
                while data := await reader.read(1 << 20):
                    fate = self.turn.random()
                    if fate < self.loses / 2:  # it never gets there
                        self.lost += 1
                        return
                    there_writer.write(data)
                    answer = await there_reader.read(1 << 20)
                    if fate < self.loses:  # it is done, and nobody hears of it
                        self.lost += 1
                        self.unheard += b'"acquire"' in data
                        return
                    writer.write(answer)
        finally:
            writer.close()
            there_writer.close()
            self._writers -= {writer, there_writer}

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.here}"


@asynccontextmanager
async def lossy(port: int, seed: int) -> AsyncIterator[Lossy]:
    way = Lossy(port, random.Random(seed))
    listener = await asyncio.start_server(way, "127.0.0.1", 0)
    way.here = listener.sockets[0].getsockname()[1]
    async with listener:
        yield way
