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
_SECONDS = 20


@attrs.frozen(kw_only=True)
class Told:
    """How an exchange went for its client; small, as there are very many.

    Args:
        sent_head: the request's head was sent whole.
        heard: bytes of the answer that came, where the client left before its end.
        status: 0 where there was no answer.
        wrong: what is wrong with the answer, or ``""``.
    """

    number: int
    fate: Fate
    sent_head: bool = True
    heard: int = 0
    status: int = 0
    request_id: str = ""
    wrong: str = ""


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
        answer = await _answer(reader)
        if answer is not None and answer.whole and not _closes(answer):
            self._kept = reader, writer
        else:
            writer.close()
        return _told(plan, answer)


def _told(plan: Plan, answer: Message | None) -> Told:
    if answer is None:
        wrong = "" if plan.fate is Fate.RESETS else "no answer"
        return Told(number=plan.number, fate=plan.fate, wrong=wrong)
    status = int(answer.head.parts[1])
    if plan.fate is Fate.RESETS:
        wrong = "a reset answer looks whole" if answer.whole and status != 502 else ""
    else:
        numbered = values(answer.head.headers, b"X-Number") == [b"%d" % plan.number]
        matches = numbered and answer.body == plan.answered_body
        wrong = "" if matches and answer.whole and status == 200 else f"not its own answer, whole: {answer}"
    request_id = b",".join(values(answer.head.headers, b"X-Request-Id")).decode()
    return Told(number=plan.number, fate=plan.fate, status=status, request_id=request_id, wrong=wrong)


async def _hang_up(plan: Plan, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Told:
    writer.write(plan.asked[: plan.point])
    heard = await _hear(reader, plan.point - len(plan.asked))
    if plan.abruptly:
        reset(writer)
    else:
        writer.close()
    return Told(number=plan.number, fate=plan.fate, sent_head=plan.point >= plan.head_bytes, heard=heard)


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
