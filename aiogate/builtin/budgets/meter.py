"""Meters one stream while it passes, and holds more of its budgets before what is held is used.

For the plugin: an observer that adds up lengths, looks at what they mean only where a slice is half used, and never
keeps a chunk waiting. Where there is no slice left the stream is cut, unless its budget lets it finish.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import attrs

from aiogate import AiogateError, Exchange, Measure, Refusal, Shortage, State, Usage, budget_refusal, refusal
from aiogate.builtin.budgets.accounts import Account
from aiogate.usage import model_in, text_bytes

__all__ = ["Line", "Meter", "Price", "held_of"]

_log: Final = logging.getLogger(__name__)
_SAMPLE_BYTES: Final = 8192
"""The share of text in so much of the beginning stands for all of the stream, as in ``aiogate.usage.estimate``."""
_LEAST_SHARE: Final = 0.01
_BYTES_A_TOKEN: Final = 4
_STEP_BYTES: Final = 4096
_LEAST_A_BYTE: Final = 1e-9

Price = Callable[[Usage], int | None]
"""Returns what a usage costs in nano-dollars; None: it has no price."""


@attrs.define(eq=False)
class Line:
    """What a stream holds of one account.

    Args:
        held: until now, what was reserved included.
        exhausted: why it cannot hold more.
    """

    account: Account
    held: int
    exhausted: Refusal | None = None
    done: bool = False
    """Whether nothing more is to be held: the stream may finish on overdraft, or it was cut."""


def held_of(lines: list[Line]) -> list[tuple[Measure, int]]:
    """Return what is held by now, for those who look at what is under way."""
    return [(line.account.claim.measure, line.held) for line in lines]


class Meter:
    """The observer of one stream.

    Args:
        exchange: whose stream it is; its grant grows.
        lines: what it holds.
        usage: what was used before the stream began: the input, and the model if the request names it.
    """

    __slots__ = (
        "_due",
        "_exchange",
        "_growing",
        "_lines",
        "_price",
        "_reaches",
        "_sample",
        "_share",
        "_size",
        "_state",
        "_usage",
    )

    def __init__(self, exchange: Exchange, lines: list[Line], usage: Usage, price: Price, state: State) -> None:
        """Begin with nothing that has come."""
        self._exchange = exchange
        self._lines = lines
        self._usage = usage
        self._price = price
        self._state = state
        self._sample = b""
        self._share = 1.0
        """How much of the stream is text, by the sample."""
        self._size = 0
        self._reaches = 0.0
        """Up to so many bytes what is held reaches for sure."""
        self._due = 0.0
        """So many bytes, and somebody has to look: for the sample, or whether what is held still reaches."""
        self._growing: asyncio.Task[None] | None = None

    def __call__(self, chunk: bytes) -> None:
        """Add a chunk up."""
        size = self._size = self._size + len(chunk)
        if size >= self._due:
            self._look(chunk)

    def _look(self, chunk: bytes) -> None:
        """Take a sample of the beginning, and see whether what is held still reaches."""
        sampling = len(self._sample) < _SAMPLE_BYTES
        if sampling:
            self._sample += chunk[: _SAMPLE_BYTES - len(self._sample)]
            if self._usage.model is None and (model := model_in(self._sample)) is not None:
                self._usage, self._reaches = attrs.evolve(self._usage, model=model), 0.0
        if self._size >= self._reaches:
            if sampling and self._sample:
                self._share = max(_LEAST_SHARE, text_bytes(self._sample) / len(self._sample))
            # what comes may be all text, as long as the sample does not tell
            self._reaches = self._size + self._weigh(len(chunk), self._share if sampling else 1.0)
        self._due = 0.0 if sampling else self._reaches

    def _weigh(self, next_bytes: int, caution: float) -> float:
        """Return for how many bytes more what is held reaches; hold more where that is not far, or end the stream."""
        reach, wanting = float("inf"), list[Line]()
        for line in self._lines:
            used, more = self._used(line, 0), self._used(line, _STEP_BYTES)
            if line.done or used is None or more is None:  # without a price it will cost nothing that is known
                continue
            a_byte = max((more - used) / _STEP_BYTES, _LEAST_A_BYTE)
            # one more chunk like this one must not pass what is held where there is no more
            spare = line.account.slice / 2 if line.exhausted is None else a_byte * next_bytes
            left = line.held - spare - used
            if left > 0:
                reach = min(reach, max(1.0, left / a_byte * caution))
            elif line.exhausted is None:
                wanting.append(line)
            else:
                self._end(line)
        if wanting and self._growing is None:
            self._growing = asyncio.get_running_loop().create_task(self._grow(wanting))
        return min(reach, _STEP_BYTES) if wanting else reach

    def _used(self, line: Line, more: int) -> int | None:
        """Return what is used of an account when so many bytes more have come."""
        tokens = int((self._size + more) * self._share) // _BYTES_A_TOKEN
        usage = self._usage
        if line.account.claim.measure is Measure.TOKENS:
            return usage.tokens + tokens
        return self._price(attrs.evolve(usage, output_tokens=tokens))

    async def _grow(self, lines: list[Line]) -> None:
        """Hold a slice more of each account than is used; take note of the one that has none left."""
        try:
            for line in lines:
                await self._hold_more(line)
        finally:
            self._growing = None
            self._due = self._reaches = 0.0

    async def _hold_more(self, line: Line) -> None:
        grant, account = self._exchange.grant, line.account
        slice_ = account.slice
        missing = (self._used(line, 0) or 0) + slice_ - line.held
        if grant is None or missing <= 0:
            return
        claim = account.claimed(-(-missing // slice_) * slice_)
        try:
            decision = await self._state.extend(grant, [claim])
        except AiogateError as error:
            _log.error("exchange %s: no more of budget %r: %s", self._exchange.id, account.budget.name, error)
            line.exhausted = refusal("state_unavailable", "the counters cannot be reached; nothing more can be held")
            return
        if isinstance(decision, Shortage):
            line.exhausted = budget_refusal(decision.quotas[0], decision.retry_after_seconds)
        elif decision is not None:
            line.held += claim.amount

    def _end(self, line: Line) -> None:
        """End a stream that has used up what it could get, where its budget does not let it finish."""
        line.done = True
        if line.account.budget.on_exhausted == "cut" and line.exhausted is not None:
            self._exchange.cut(line.exhausted)
