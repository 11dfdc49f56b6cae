"""The kills and pauses in force, as every exchange meets them: nothing to look at while there are none.

They are told to all gateways on the board, and kept in a file beside the journal, so that none comes alive because a
process is started anew or Redis has forgotten. Knows nothing of HTTP; who ends exchanges is told of each kill.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs

from aiogate.board import Topic
from aiogate.errors import Refusal, Refused, StateError, refusal
from aiogate.exchange import Clock, Exchange, Reply
from aiogate.server.halts.file import read_halts, write_halts
from aiogate.server.halts.halt import Halt, Kind

__all__ = ["TOPIC", "Done", "Halts"]

_log: Final = logging.getLogger(__name__)
TOPIC: Final = "kills"
"""The board's."""
_MOST: Final = 256
"""So many at once: each exchange is held against all of them."""
_REMEMBERED_SECONDS: Final = 30 * 86400.0
"""For how long it is known everywhere that one was lifted, unless it would have ended before."""
_MOST_LIFTED: Final = 1024
"""So many of those at once; the oldest are forgotten first."""
_AGAIN_SECONDS: Final = 1.0
_REQUEST_SECONDS: Final = 60.0
"""How long the kill of one request is kept: no other has its id."""


@attrs.frozen(kw_only=True)
class Done:
    """What has come of a kill or a pause.

    Args:
        cut: exchanges of this gateway that it has ended.
        everywhere: all gateways know of it; otherwise this one tells them as soon as it can.
        kept: it outlives this process.
    """

    halt: Halt
    cut: int = 0
    everywhere: bool = True
    kept: bool = True


@attrs.define(eq=False)
class Halts:
    """All of them. Opened once, before the gateway listens."""

    in_force: tuple[Halt, ...] = ()
    """What exchanges have to be held against; those that have passed may still be in it."""
    cut: Callable[[Halt], int] = attrs.field(default=lambda _: 0)
    """Ends the exchanges under way that a kill is about; returns how many there were."""
    heard: Callable[[Halt], None] = attrs.field(default=lambda _: None)
    """Is told of each one that comes into force, is changed or lifted, here or elsewhere."""
    _clock: Clock = attrs.field(factory=Clock)
    _spawn: Callable[[Coroutine[Any, Any, None]], None] | None = None
    _topic: Topic | None = None
    _directory: Path | None = None
    _own: dict[str, Halt] = attrs.field(factory=dict)
    """Those that the board does not have yet."""
    _known: dict[str, Halt] = attrs.field(factory=dict)
    _cuts: dict[str, int] = attrs.field(factory=dict)
    """How many exchanges each has ended here."""
    _saving: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    _is_saved: bool = True
    _is_kept: bool = True
    _timer: asyncio.TimerHandle | None = None

    async def open(
        self, topic: Topic, directory: Path, clock: Clock, spawn: Callable[[Coroutine[Any, Any, None]], None]
    ) -> None:
        """Know what is in force, by the board and by the file; raises ``AiogateError`` where that cannot be known."""
        self._topic, self._directory, self._clock, self._spawn = topic, directory, clock, spawn
        remembered = await asyncio.to_thread(read_halts, directory)
        self._own = {halt.id: halt for halt in remembered if not halt.has_passed(clock.wall())}
        topic.on_change(self._changed)
        await self._tell()
        self._refresh()

    def close(self) -> None:
        """Try no more to tell the board."""
        if self._timer is not None:
            self._timer.cancel()

    # what exchanges ask

    def judge(self, exchange: Exchange, ended: Refusal | Reply | None) -> Refusal | Reply | None:
        """Return what ends an exchange whose caller is known now; agents that are stopped are no candidates any more.

        ``ended`` is what the plugins have said. Of a caller that nobody knows nothing is said.
        """
        caller, wall = exchange.principal, self._clock.wall()
        if caller is None or (ended is not None and not isinstance(ended, Reply)):
            return ended
        for halt in self.in_force:
            if halt.has_passed(wall):
                continue
            if halt.agent is None:
                if halt.is_about(caller, exchange.id, None):
                    return halt.refusal(wall)
                continue
            for agent in tuple(exchange.candidates):
                if agent.id == halt.agent and halt.is_about(caller, exchange.id, agent.id):
                    exchange.rule_out(agent, halt.refusal(wall))
        return ended if exchange.candidates else exchange.softest_refusal

    def why_not(self, exchange: Exchange, agent_id: str) -> Refusal | None:
        """Return why nothing may be sent to an agent now, for what has happened since the exchange was judged."""
        wall = self._clock.wall()
        for halt in self.in_force:
            if not halt.has_passed(wall) and halt.is_about(exchange.principal, exchange.id, agent_id):
                return halt.refusal(wall)
        return None

    # what operators ask

    def current(self) -> list[Halt]:
        """Return what is in force, the oldest first."""
        wall = self._clock.wall()
        return sorted((halt for halt in self.in_force if not halt.has_passed(wall)), key=lambda halt: halt.since)

    def make(self, *, kind: Kind, reason: str, actor: str, seconds: float | None = None, **targets: str | None) -> Halt:
        """Return a halt that is not in force yet; raises ``ValueError`` for what is none."""
        wall = self._clock.wall()
        if seconds is None and targets.get("request") is not None:
            seconds = _REQUEST_SECONDS
        until = None if seconds is None else wall + seconds
        name = f"{kind[0]}-{secrets.token_hex(4)}"
        facts: dict[str, Any] = {"reason": reason, "actor": actor, "since": wall, "until": until, **targets}
        return Halt(id=name, kind=kind, **facts)

    async def begin(self, halt: Halt) -> Done:
        """Put one in force, here at once; raises ``Refused`` where there are too many."""
        if len(self.current()) >= _MOST:
            raise Refused(refusal("too_many_halts", f"{_MOST} kills and pauses are in force; lift some"))
        self._own[halt.id] = halt
        cut = self._take(halt)
        await self._tell()
        return Done(halt=halt, cut=cut, everywhere=halt.id not in self._own, kept=await self._save())

    def know(self, halt: Halt) -> int:
        """Know of one that another worker has put in force; return how many exchanges it has ended here, now or before.

        The board tells it too, a moment earlier or later.
        """
        if halt.id not in self._known:
            self._own[halt.id] = halt
            self._take(halt)
        return self._cuts.get(halt.id, 0)

    async def lift(self, halt_id: str) -> Done:
        """End one, everywhere; raises ``Refused``: nothing has changed."""
        halt = next((one for one in self.current() if one.id == halt_id), None)
        if halt is None:
            detail = f"there is no kill and no pause {halt_id!r}; aiogate kills lists them"
            raise Refused(refusal("unknown_halt", detail))
        lifted = attrs.evolve(halt, lifted=True)
        try:
            await self._put(lifted)
        except StateError as error:
            detail = f"other gateways cannot be told: {error}; it stays in force"
            raise Refused(refusal("state_unavailable", detail)) from error
        self._own.pop(halt_id, None)
        self._take(lifted)
        await self._forget_lifted()
        return Done(halt=lifted, kept=await self._save())

    # the rest

    def _changed(self, key: str, value: bytes | None) -> None:
        """Hear of what the board says, here or elsewhere."""
        try:
            halt = None if value is None else Halt.decode(value)
        except ValueError:
            _log.exception("the board's kill %r is passed over", key)
            return
        if halt is None:
            self._known.pop(key, None)
            self._cuts.pop(key, None)
        elif halt != self._known.get(key):
            self._take(halt)
        if halt is not None:
            self._own.pop(key, None)  # it is on the board
        self._refresh()
        if self._spawn is not None:
            self._spawn(self._saved())

    def _take(self, halt: Halt) -> int:
        """Know a halt, and do to what is under way what it says."""
        is_new = self._known.get(halt.id) != halt
        self._known[halt.id] = halt
        self._refresh()
        if not is_new:
            return 0
        self.heard(halt)
        if halt.kind == "pause" or halt.has_passed(self._clock.wall()):
            self._cuts.pop(halt.id, None)
            return 0
        cut = self._cuts[halt.id] = self.cut(halt)
        return cut

    def _refresh(self) -> None:
        wall, found = self._clock.wall(), self._own | self._on_board()
        self.in_force = tuple(halt for halt in found.values() if not halt.has_passed(wall))

    def _on_board(self) -> dict[str, Halt]:
        """Return all that the board has, the lifted ones too."""
        found = {}
        for key, value in () if self._topic is None else self._topic.entries.items():
            with suppress(ValueError):  # it was said when it came
                found[key] = Halt.decode(value)
        return found

    async def _tell(self) -> None:
        """Put on the board what it does not have; what it cannot take now it is offered again."""
        assert self._topic is not None  # noqa: S101 - it is opened first
        for halt in tuple(self._own.values()):
            try:
                if halt.id not in self._topic.entries:  # there it may be lifted
                    await self._put(halt)
            except StateError as error:
                if self._timer is None:
                    _log.error("the kills and pauses of this gateway are not known to the others yet: %s", error)
                    self._timer = asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._tell_again)
                return
            self._own.pop(halt.id, None)
        self._refresh()

    def _tell_again(self) -> None:
        self._timer = None
        if self._own and self._spawn is not None:
            self._spawn(self._tell())

    async def _put(self, halt: Halt) -> None:
        assert self._topic is not None  # noqa: S101 - likewise
        seconds = None if halt.until is None else max(0.001, halt.until - self._clock.wall())
        if halt.lifted:
            seconds = min(_REMEMBERED_SECONDS, seconds or _REMEMBERED_SECONDS)
        await self._topic.put(halt.id, halt.encode(), seconds=seconds)

    async def _forget_lifted(self) -> None:
        """Keep the board from growing with every kill that was ever lifted."""
        assert self._topic is not None  # noqa: S101 - likewise
        lifted = sorted((key for key, halt in self._on_board().items() if halt.lifted), key=self._topic.age_seconds)
        try:
            for key in lifted[_MOST_LIFTED:]:
                await self._topic.remove(key)
        except StateError as error:
            _log.warning("kills that were lifted long ago stay on the board until the next one is lifted: %s", error)

    async def _saved(self) -> None:
        await self._save()

    async def _save(self) -> bool:
        """Keep in the file what is in force, and tell whether it is."""
        self._is_saved = False
        async with self._saving:
            if self._directory is None or self._is_saved:  # somebody who has waited before has saved this too
                return self._is_kept
            self._is_saved = True
            try:
                await asyncio.to_thread(write_halts, self._directory, self.in_force)
            except OSError as error:
                _log.error("kills and pauses do not outlive this process: %s", error)
                self._is_kept = False
            else:
                self._is_kept = True
        return self._is_kept
