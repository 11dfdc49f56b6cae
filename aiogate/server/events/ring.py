"""The last events of this process, in a ring of fixed size.

An event costs one small tuple when it happens, and nothing where the ring is off and nobody follows. It becomes text
when somebody reads it, once for all who do. Nobody is told that there is something new, so no reader, however slow, can
hold up an exchange: readers come and look, ten times a second.
"""

import re
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

import orjson

from aiogate.exchange import Clock, Exchange, Outcome
from aiogate.journal.record import PATH_CHARACTERS, timestamp

__all__ = ["Event", "Events"]

Event = tuple[str, str | None, str | None, Any]
"""Kind, agent, principal, and a tuple of facts; in their place its text, ``bytes``, once somebody has read it."""

_STARTED: Final = "started"
_FIRST_BYTE: Final = "first_byte"
_ENDED: Final = "ended"
_REFUSED: Final = "refused"
_KIND: Final = re.compile(r"[a-z][a-z_]{0,31}")
_IS_REFUSED: Final = Outcome.REFUSED
_FOLLOWED: Final = 4096
"""So many events are kept while somebody follows, where none are otherwise."""
_REACHED: Final = {"rate_limited": "limit", "concurrency_limited": "limit", "budget_exhausted": "budget"}
_AGAIN_SECONDS: Final = 10.0
"""A limit that stays reached is told so seldom; each refusal has an event of its own besides."""
_KNOWN_LIMITS: Final = 1024


class Events:
    """What exchanges and everybody else tell, and followers read.

    Args:
        kept: how many are there for those who come back; 0: none but while somebody follows.
        epoch: tells this process's ids from those of any other; 8 hexadecimal digits.
    """

    __slots__ = ("_cached", "_clock", "_followers", "_kept", "_reached", "_ring", "count", "epoch", "on")

    def __init__(self, kept: int, clock: Clock, epoch: str | None = None) -> None:
        self._kept = kept
        self._clock = clock
        self._ring: deque[Event] = deque(maxlen=kept)
        self._followers = 0
        self._cached: tuple[tuple[object, int, int], bytes] | None = None
        self._reached: dict[tuple[str | None, ...], float] = {}
        self.epoch = secrets.token_hex(4) if epoch is None else epoch
        self.count = 0
        """How many events there have been."""
        self.on = kept > 0
        """Whether anything is to be told; whoever tells looks here first."""

    # what tells

    def started(self, exchange: Exchange, agent_id: str) -> None:
        """Tell that an exchange has been let in and goes to an agent."""
        principal = exchange.principal
        facts = exchange.id, exchange.started_wall, exchange.method, exchange.full_path[:PATH_CHARACTERS]
        self._ring.append((_STARTED, agent_id, None if principal is None else principal.id, facts))
        self.count += 1

    def first_byte(self, exchange: Exchange) -> None:
        """Tell that the head of an agent's answer is there."""
        principal, agent = exchange.principal, exchange.agent
        facts = exchange.id, exchange.started_wall, exchange.started, exchange.first_byte, exchange.status
        self._ring.append(
            (_FIRST_BYTE, None if agent is None else agent.id, None if principal is None else principal.id, facts)
        )
        self.count += 1

    def ended(self, exchange: Exchange, record: bytes) -> None:
        """Tell how an exchange has ended, by its record; the first refusal by a limit tells of the limit too."""
        principal, agent = exchange.principal, exchange.agent
        who = None if principal is None else principal.id
        if exchange.outcome is not _IS_REFUSED:
            self._ring.append((_ENDED, None if agent is None else agent.id, who, (record,)))
            self.count += 1
            return
        agent_id = exchange.target if agent is None else agent.id
        self._ring.append((_REFUSED, agent_id, who, (record,)))
        self.count += 1
        refused = exchange.refusal
        if refused is not None and (kind := _REACHED.get(refused.code)) is not None:
            self._tell_reached(kind, refused.rule, agent_id, who, refused.detail)

    def tell(self, kind: str, *, agent: str | None = None, principal: str | None = None, **facts: object) -> None:
        """Tell anything else: ``facts`` are what JSON has words for; ValueError for a kind that is no small word."""
        if not self.on:
            return
        if _KIND.fullmatch(kind) is None:
            msg = f"expected a kind of event such as 'breaker', got {kind!r}"
            raise ValueError(msg)
        self._ring.append((kind, agent, principal, (self._clock.wall(), facts)))
        self.count += 1

    def _tell_reached(self, kind: str, rule: str | None, agent_id: str | None, who: str | None, detail: str) -> None:
        now = self._clock.monotonic()
        which = (rule, agent_id, who)
        if self._reached.get(which, -_AGAIN_SECONDS) + _AGAIN_SECONDS > now:
            return
        if len(self._reached) >= _KNOWN_LIMITS:
            self._reached.clear()
        self._reached[which] = now
        self.tell(kind, agent=agent_id, principal=who, rule=rule, detail=detail)

    # what reads

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Have events kept as long as the block runs."""
        if not self.on:
            self._ring, self.on = deque(maxlen=_FOLLOWED), True
        self._followers += 1
        try:
            yield
        finally:
            self._followers -= 1
            if not self._followers and not self._kept:
                self._ring, self.on = deque(maxlen=0), False

    @property
    def followers(self) -> int:
        """How many read at present."""
        return self._followers

    @property
    def oldest(self) -> int:
        """How many events there were before the oldest that is still there."""
        return self.count - len(self._ring)

    def event(self, number: int) -> Event:
        """Return the event before which there were ``number``; KeyError where it is not there any more."""
        at = number - self.oldest
        if not 0 <= at < len(self._ring):
            raise KeyError(number)
        return self._ring[at]

    def texts(self, wanted: Callable[[Event], bool], begin: int, end: int) -> bytes:
        """Return the events from one number up to another that are wanted; for readers who ask the same, made once."""
        asked = wanted, begin, end
        if self._cached is None or self._cached[0] != asked:
            first = begin - self.oldest
            events = enumerate(islice(self._ring, first, first + end - begin), begin)
            numbers = [number for number, event in events if wanted(event)]
            self._cached = asked, b"".join(map(self.text, numbers))
        return self._cached[1]

    def text(self, number: int) -> bytes:
        """Return an event as Server-Sent Events have it, made the first time that somebody asks."""
        kind, agent, principal, facts = self.event(number)
        if isinstance(facts, bytes):
            return facts
        data = facts[0].rstrip() if kind in {_ENDED, _REFUSED} else _data(kind, agent, principal, facts)
        text = b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (self.epoch.encode(), number + 1, kind.encode(), data)
        self._ring[number - self.oldest] = (kind, agent, principal, text)
        return text


def _data(kind: str, agent: str | None, principal: str | None, facts: tuple[Any, ...]) -> bytes:
    """Return what an event that has no record tells, as JSON; what JSON has no words for is told as text."""
    if kind == _STARTED:
        request_id, wall, method, path = facts
        path = path[:PATH_CHARACTERS].encode("utf-8", "replace").decode()
        said: Mapping[str, object] = {"request_id": request_id, "method": method[:16], "path": path}
    elif kind == _FIRST_BYTE:
        request_id, wall, started, first_byte, status = facts
        seconds = (first_byte or started) - started
        said, wall = (
            {"request_id": request_id, "status": status, "first_byte_seconds": round(seconds, 6)},
            wall + seconds,
        )
    else:
        wall, said = facts
    named = {name: value for name, value in (("principal", principal), ("agent", agent)) if value is not None}
    whole = {"time": timestamp(wall), **named, **said}
    try:
        return orjson.dumps(whole, default=str)
    except orjson.JSONEncodeError:  # a lone surrogate, or an integer of more than 64 bits
        return orjson.dumps({name: ascii(value) for name, value in whole.items()})
