"""Both agents, the one in C and the one in Python, say the same."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from tests.bench.ends import PYTHON_ENDS, ends
from tests.bench.framing import Message
from tests.bench.gateways import agent_running
from tests.bench.processes import Cores

ANYWHERE = Cores.of_this_machine()


@pytest.fixture
async def ports() -> AsyncIterator[tuple[int, int]]:
    """The ports of the agent in C and of the one in Python."""
    native = ends()
    if not native.native:
        pytest.skip(native.note)
    async with agent_running(ANYWHERE, native) as fast, agent_running(ANYWHERE, PYTHON_ENDS) as slow:
        yield fast.port, slow.port


async def asked(port: int, path: str, body: bytes = b"", *, enough: bytes = b"") -> bytes:
    """Return a whole answer, or a stream's up to what is enough, with every stamp masked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body))
    answer, said = Message(), b""
    while data := await reader.read(1 << 20):
        said += data
        if answer.feed(data) or (enough and said.count(enough) >= 3):
            break
    writer.close()
    return re.sub(rb'(?<="t":")\d{19}(?=")', b"0" * 19, said)


@pytest.mark.parametrize(
    "path", ["/chat", "/agents/bench/chat", "/long", "/flood/3", "/flood/1000", "/megabyte", "/bytes/123", "/readyz"]
)
async def test_they_answer_alike(ports: tuple[int, int], path: str) -> None:
    in_c, in_python = [await asked(port, path) for port in ports]
    assert in_c == in_python
    assert in_c.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_they_answer_a_large_body_with_a_larger_one(ports: tuple[int, int]) -> None:
    in_c, in_python = [await asked(port, "/bytes/5000001", b"y" * 3_000_000) for port in ports]
    assert in_c == in_python
    assert len(in_c) > 5_000_001


async def test_their_paced_streams_are_alike(ports: tuple[int, int]) -> None:
    in_c, in_python = [await asked(port, "/paced/100", enough=b"data: ") for port in ports]
    assert in_c[:600] == in_python[:600]


@pytest.mark.parametrize("path", ["/nosuch", "/", "/paced/0"])
async def test_the_fast_one_answers_what_it_does_not_know(ports: tuple[int, int], path: str) -> None:
    assert (await asked(ports[0], path)).startswith(b"HTTP/1.1 404 ")
