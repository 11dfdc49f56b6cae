"""The client of the leak test: makes exchanges by their plans over kept connections and says how each went."""

import asyncio
import contextlib
from collections.abc import Iterator

import attrs

from tests.e2e.differential.wire import Message, read_body, read_head, values
from tests.e2e.soak.agent import reset
from tests.e2e.soak.plan import Fate, Plan, plan_for

__all__ = ["Told", "Worker"]

_LIMIT_BYTES = 2**20
_LOST = (ConnectionError, asyncio.IncompleteReadError)
_SECONDS = 60


@attrs.frozen(kw_only=True)
class Told:
    """How an exchange went for its client.

    Args:
        sent_head: the request's head was sent whole.
        heard: bytes of the answer that came, where the client left before its end.
        answer: what came, whole or not; None where not even a head did.
    """

    plan: Plan
    sent_head: bool = True
    heard: int = 0
    answer: Message | None = None

    @property
    def status(self) -> int:
        return int(self.answer.head.parts[1]) if self.answer is not None else 0

    @property
    def request_id(self) -> str:
        assert self.answer is not None
        return b",".join(values(self.answer.head.headers, b"X-Request-Id")).decode()

    def wrong(self) -> str:
        """Return what is wrong with the answer, or ``""``."""
        answer = self.answer
        if self.plan.fate is Fate.HANGS_UP:
            return ""
        if self.plan.fate is Fate.RESETS:
            broken = answer is None or not answer.whole or self.status == 502
            return "" if broken else f"a reset answer looks whole: {answer}"
        if answer is None or not answer.whole or self.status != 200:
            return f"not answered: {answer}"
        numbered = values(answer.head.headers, b"X-Number") == [b"%d" % self.plan.number]
        matches = numbered and answer.body == self.plan.answered_body
        return "" if matches else f"somebody else's answer: {answer}"


@attrs.define
class Worker:
    """Takes numbers until there are none, one exchange at a time; ``told`` gets what came of each."""

    port: int
    prefix: bytes
    numbers: Iterator[int]
    told: list[Told]
    _kept: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        for number in self.numbers:
            plan = plan_for(number, self.prefix)
            async with asyncio.timeout(_SECONDS):
                self.told.append(await self._make(plan))
        if self._kept is not None:
            self._kept[1].close()

    async def _make(self, plan: Plan) -> Told:
        reader, writer = self._kept or await asyncio.open_connection("127.0.0.1", self.port, limit=_LIMIT_BYTES)
        self._kept = None
        if plan.fate is Fate.HANGS_UP:
            return await _hang_up(plan, reader, writer)
        writer.write(plan.asked)
        told = Told(plan=plan, answer=await _answer(reader))
        if told.answer is not None and told.answer.whole and not _closes(told.answer):
            self._kept = reader, writer
        else:
            writer.close()
        return told


async def _hang_up(plan: Plan, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Told:
    writer.write(plan.asked[: plan.point])
    heard = await _hear(reader, plan.point - len(plan.asked))
    if plan.abruptly:
        reset(writer)
    else:
        writer.close()
    return Told(plan=plan, sent_head=plan.point >= plan.head_bytes, heard=heard)


async def _hear(reader: asyncio.StreamReader, least: int) -> int:
    """Wait for so many bytes of the answer, or its end; return how many there were."""
    heard = 0
    with contextlib.suppress(*_LOST):
        while heard < least and (piece := await reader.read(least - heard)):
            heard += len(piece)
    return heard


async def _answer(reader: asyncio.StreamReader) -> Message | None:
    answer = None
    with contextlib.suppress(*_LOST):
        answer = Message(head=await read_head(reader))
        await read_body(reader, answer, is_request=False)
    return answer


def _closes(answer: Message) -> bool:
    return b"close" in b",".join(values(answer.head.headers, b"Connection"))
