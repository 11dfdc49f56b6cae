"""The same exchange made straight with the agent and through the gateway: it differs by what is listed, and no more.

300 exchanges are made up by a seed (``AIOGATE_SEED``, 1 by default); a few more are cut at every byte. What may differ
is data: ``differential/differences.py``, and ``shapes.py`` for what is refused.
"""

import asyncio
import logging
import os
import re
from pathlib import Path

import attrs
import pytest

from tests.e2e.differential.differences import HEADERS, MANNERS
from tests.e2e.differential.gateway import Both, both_ways
from tests.e2e.differential.generate import FAMILIES, generate
from tests.e2e.differential.messages import Answer, Body, Ends, Exchange, Framing
from tests.e2e.differential.shapes import ANSWERS, REFUSED, REQUESTS, plain, with_length
from tests.e2e.differential.wire import values

SECONDS = 10
SEED = int(os.environ.get("AIOGATE_SEED", "1"))
OK = Answer(body=with_length(b"ok"))
ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "README.md",
    ROOT / "plugins" / "README.md",
    *sorted(ROOT.glob("conf/*.toml")),
]


async def differing(both: Both, exchanges: list[Exchange]) -> str:
    """Return what is wrong with the first few exchanges that have something wrong with them."""
    told = [
        "\n".join([f"{exchange.name}: {exchange.request}\n{exchange.answer}", *wrong])
        for exchange in exchanges
        if (wrong := await both.compare(exchange))
    ]
    return f"{len(told)} exchanges differ:\n" + "\n\n".join(told[:5]) if told else ""


@pytest.mark.parametrize("family", FAMILIES)
async def test_an_exchange_differs_by_what_is_listed_and_no_more(family: str, tmp_path: Path) -> None:
    async with both_ways(tmp_path) as both:
        assert await differing(both, generate(family, SEED)) == ""


@pytest.mark.parametrize("shape", ANSWERS)
async def test_an_answer_is_the_same_wherever_it_is_cut(shape: str, tmp_path: Path) -> None:
    answer = ANSWERS[shape]
    length = len(answer.encoded())
    cuts = [*((cut,) for cut in range(1, length)), tuple(range(1, length))]
    exchanges = [Exchange(name=f"{cut}", request=plain(), answer=attrs.evolve(answer, cuts=cut)) for cut in cuts]
    async with both_ways(tmp_path) as both:
        assert await differing(both, exchanges) == ""


@pytest.mark.parametrize("shape", REQUESTS)
async def test_a_request_is_the_same_wherever_it_is_cut(shape: str, tmp_path: Path) -> None:
    request = REQUESTS[shape]
    length = len(request.head(b"/agents/echo") + request.body.encoded())
    cuts = [*((cut,) for cut in range(1, length)), tuple(range(1, length))]
    exchanges = [Exchange(name=f"{cut}", request=attrs.evolve(request, cuts=cut), answer=OK) for cut in cuts]
    async with both_ways(tmp_path) as both:
        assert await differing(both, exchanges) == ""


@pytest.mark.parametrize("row", REFUSED)
async def test_what_the_gateway_refuses_by_itself_reaches_no_agent(row: str, tmp_path: Path) -> None:
    exchange = Exchange(name=row, request=REFUSED[row].request, answer=OK)
    async with both_ways(tmp_path) as both, asyncio.timeout(SECONDS):
        assert len((await both.make(exchange, both.straight)).requests) == 1
        refused = await both.make(exchange, both.through)
    assert refused.requests == []
    assert refused.answer is not None
    assert (refused.answer.head.parts[1], refused.answer.whole) == (b"%d" % REFUSED[row].status, True)
    assert values(refused.answer.head.headers, b"Content-Type") == [b"application/problem+json"]


# what the comparison has found


async def test_a_trailer_of_one_request_is_no_header_of_the_next(tmp_path: Path) -> None:
    """Before the gateway may stand a terminator whose connections are many clients': the next one is somebody else."""
    chunks = Body(framing=Framing.CHUNKED, pieces=(b"x",), trailers=((b"X-API-Key", b" mallory's"),))
    async with both_ways(tmp_path) as both, asyncio.timeout(SECONDS):
        both.agent.script = OK
        for request in (plain(method=b"POST", body=chunks), plain()):
            await both.through.call(request)
        assert [values(seen.head.headers, b"X-API-Key") for seen in both.agent.seen] == [[], []]


async def test_several_via_lines_become_one(tmp_path: Path) -> None:
    headers = ((b"Host", b" x"), (b"Via", b" 1.0 fred"), (b"Via", b" 1.1 jane"))
    async with both_ways(tmp_path) as both:
        assert await both.compare(Exchange(name="lost", request=plain(headers=headers), answer=OK)) == []


async def test_an_early_answer_to_a_body_that_never_ends_leaves_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The client has its answer and leaves with half of its body unsent; nobody logs an error or goes on waiting."""
    request = plain(method=b"POST", body=Body(framing=Framing.CHUNKED, pieces=(b"half", b"rest")), withholds=20)
    until_close = Body(framing=Framing.UNTIL_CLOSE, pieces=(b"no",))
    answer = Answer(version=b"HTTP/1.0", status=403, body=until_close, early=True, ends=Ends.CLOSES)
    async with both_ways(tmp_path) as both:
        before = asyncio.all_tasks()
        assert await both.compare(Exchange(name="early", request=request, answer=answer)) == []
        if left := asyncio.all_tasks() - before:
            _, left = await asyncio.wait(left, timeout=1)
    assert left == set()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_what_differs_is_documented() -> None:
    rows = {f"{row.side}: {row.name}": row.documented for row in HEADERS}
    rows |= {row.what: row.documented for row in MANNERS}
    rows |= {name: row.documented for name, row in REFUSED.items()}
    told = [document.read_text() for document in DOCUMENTS]
    assert [row for row, words in rows.items() if not any(re.search(words, text) for text in told)] == []
