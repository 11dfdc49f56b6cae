"""An agent that writes down every request it gets, and takes nothing that a strict parser would not take."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from tests.raw_server import raw_server

LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[\t -~\x80-\xff]*")
FIRST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~\x80-\xff]+) HTTP/1\.1")
SIZE = re.compile(rb"[0-9a-f]{1,8}\r\n")


@attrs.frozen
class Got:
    """One whole request."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@attrs.define
class Recording:
    """What came: whole requests in order, and why anything else could not be read."""

    url: str = ""
    got: list[Got] = attrs.field(factory=list)
    wrong: list[str] = attrs.field(factory=list)
    head_arrived: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.got.append(await self.request(reader))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except ValueError as error:
            self.wrong.append(str(error))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it ends, in the middle of a request that is given up perhaps
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    async def request(self, reader: asyncio.StreamReader) -> Got:
        first, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        self.head_arrived.set()
        match = FIRST.fullmatch(first)
        if match is None or not all(LINE.fullmatch(line) for line in lines):
            raise ValueError(f"no head: {first!r} {lines!r}")
        pairs = [line.decode("latin-1").split(":", 1) for line in lines]
        headers = [(name.lower(), value.strip(" \t")) for name, value in pairs]
        got = Got(match[1].decode(), match[2].decode(), headers, b"")
        return attrs.evolve(got, body=await self.body(got, reader))

    async def body(self, got: Got, reader: asyncio.StreamReader) -> bytes:
        lengths, codings, hosts = (got.values(name) for name in ("content-length", "transfer-encoding", "host"))
        if len(lengths) + len(codings) > 1 or len(hosts) != 1 or codings not in ([], ["chunked"]):
            raise ValueError(f"no framing: {lengths} {codings} {hosts}")
        if lengths:
            return await reader.readexactly(int(lengths[0]))
        return await self.chunks(reader) if codings else b""

    async def chunks(self, reader: asyncio.StreamReader) -> bytes:
        body = b""
        while True:
            line = await reader.readuntil(b"\n")
            if not SIZE.fullmatch(line):
                raise ValueError(f"no size: {line!r}")
            data = await reader.readexactly(int(line, 16) + 2)
            if not data.endswith(b"\r\n"):
                raise ValueError(f"no chunk: {data!r}")
            if line == b"0\r\n":
                return body
            body += data[:-2]


@asynccontextmanager
async def recording_agent() -> AsyncIterator[Recording]:
    recording = Recording()
    async with raw_server(recording.serve, limit=2**20) as recording.url:
        yield recording
