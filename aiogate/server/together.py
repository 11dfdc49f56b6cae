"""Puts a config in force in all workers of a machine or in none.

The worker that is asked leads: each reads the config and starts its plugins beside those that run; when all have read
the same and nothing is wrong anywhere, all go over to it. What is in force is written down for workers that come later.
Where there is one process it is a reload like any other. Knows nothing of signals or HTTP routes.
"""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path
from typing import Any, Final

import attrs
import orjson

from aiogate.errors import Problem
from aiogate.server.reload import Came, Candidate, Reloads, Report
from aiogate.server.siblings import Siblings

__all__ = ["ROUTE", "InForce", "Together"]

ROUTE: Final = "/siblings/reload"
"""Where the one that leads asks the others, with the step behind it."""
_log: Final = logging.getLogger(__name__)
_IN_FORCE: Final = "in-force"
_LOCK: Final = "reload.lock"
_LOOK_SECONDS: Final = 0.02
_PREPARE_SECONDS: Final = 90.0
"""How long all of them may take to read a config and start its plugins."""


@attrs.frozen(kw_only=True)
class InForce:
    """What is in force in the workers of a machine, as it is written down in their directory.

    Args:
        number: of the config.
        fingerprint: of its files.
        successful: whether the last attempt has put it in force.
        said: one line about that.
    """

    number: int
    fingerprint: str
    successful: bool = True
    said: str = ""

    @classmethod
    def read(cls, folder: Path) -> "InForce | None":
        """Return what is written down; None: nothing yet, the config is the one that they were started with."""
        try:
            return cls(**orjson.loads((folder / _IN_FORCE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Write it down, whole or not at all."""
        path = folder / f"{_IN_FORCE}.new"
        path.write_bytes(orjson.dumps(attrs.asdict(self)))
        path.replace(folder / _IN_FORCE)


@attrs.define(eq=False)
class Together:
    """One worker's part in the reloads of all.

    Args:
        reloads: its own.
        siblings: the other workers.
        number: returns the number of the config that it serves by.
    """

    _reloads: Reloads
    _siblings: Siblings
    _number: Callable[[], int]
    _candidate: Candidate | None = attrs.field(default=None, init=False)
    _expiry: asyncio.TimerHandle | None = attrs.field(default=None, init=False)

    async def reload(self, cause: str) -> Report:
        """Read the config anew and put it in force everywhere, if it is in order."""
        if self._siblings.folder is None:
            return await self._reloads.reload(cause)
        return await asyncio.shield(asyncio.get_running_loop().create_task(self._lead(self._siblings.folder, cause)))

    async def catch_up(self) -> None:
        """Go over to the config that the others have gone over to while this worker was started."""
        folder = self._siblings.folder
        if folder is None:
            return
        async with self._alone(folder):
            found = await asyncio.to_thread(InForce.read, folder)
            if found is not None and found.number > self._number():
                async with self._reloads.lock:
                    self._reloads.report("start", await self._went_over(await self._reloads.prepare(found.number)))

    # what the one that leads asks of the others

    async def prepare(self, number: int) -> dict[str, Any]:
        """Get ready to go over to the config in the files; return its problems, what is kept, its fingerprint."""
        await self.abandon("another attempt has begun")
        await self._reloads.lock.acquire()
        found = await self._reloads.prepare(number)
        if isinstance(found, Candidate):
            self._candidate = found
            late = asyncio.get_running_loop().create_task
            self._expiry = asyncio.get_running_loop().call_later(
                _PREPARE_SECONDS, lambda: late(self.abandon("whoever led has gone"))
            )
        else:
            self._reloads.lock.release()
        return _plain(found)

    async def commit(self, cause: str) -> dict[str, Any]:
        """Go over to what was prepared; return what has come of it."""
        candidate = self._taken()
        if candidate is None:
            return _plain(((Problem("", "the worker was not ready to go over to it"),), ()))
        try:
            came = await self._reloads.adopt(candidate)
            self._reloads.report(cause, came, logs=bool(came[0]))
        finally:
            self._reloads.lock.release()
        return _plain(came)

    async def abandon(self, why: str, cause: str = "", problems: Iterable[Problem] = ()) -> None:
        """Leave what was prepared; with a cause and problems, this is what has come of it here, too."""
        if (candidate := self._taken()) is not None:
            _log.info("a config that was prepared is not gone over to: %s", why)
            await candidate.lifespans.leave()
            self._reloads.lock.release()
        if cause:
            self._reloads.report(cause, (tuple(problems), ()), logs=False)

    # the rest

    async def _lead(self, folder: Path, cause: str) -> Report:
        async with self._alone(folder), self._reloads.lock:
            before = await asyncio.to_thread(InForce.read, folder)
            number = max(self._number(), before.number if before else 0) + 1
            asked = asyncio.create_task(self._ask("prepare", {"number": number}))
            mine = await self._reloads.prepare(number)
            answers = {self._siblings.name: _plain(mine), **await asked}
            problems = _of_all(answers)
            if problems or not isinstance(mine, Candidate):
                if isinstance(mine, Candidate):
                    await mine.lifespans.leave()
                await self._ask("abandon", {"cause": cause, "problems": list(map(attrs.asdict, problems))})
                report = self._reloads.report(cause, (problems, ()))
                await self._note(folder, before.fingerprint if before else "", report)
                return attrs.evolve(report, workers=len(answers))
            # whoever is started from now on begins with it
            await asyncio.to_thread(InForce(number=number, fingerprint=mine.fingerprint).write, folder)
            asked = asyncio.create_task(self._ask("commit", {"cause": cause}))
            came = await self._went_over(mine)
            failed = _of_all({self._siblings.name: _plain((came[0], ())), **await asked}, fingerprints=False)
            report = self._reloads.report(cause, (failed, came[1]))
            await self._note(folder, mine.fingerprint, report)
            return attrs.evolve(report, workers=len(answers))

    async def _went_over(self, found: Candidate | Came) -> Came:
        return await self._reloads.adopt(found) if isinstance(found, Candidate) else found

    async def _ask(self, step: str, said: object) -> dict[str, Any]:
        return await self._siblings.ask(f"{ROUTE}/{step}", "POST", said, _PREPARE_SECONDS)

    async def _note(self, folder: Path, fingerprint: str, report: Report) -> None:
        """Write down what has come of it, and tell the supervisor that it can be read."""
        said = "" if report.successful else str(report.problems[0]).partition("\n")[0]
        now = InForce(number=report.generation, fingerprint=fingerprint, successful=report.successful, said=said)
        await asyncio.to_thread(now.write, folder)
        if self._siblings.supervisor is not None:
            os.kill(self._siblings.supervisor, signal.SIGUSR1)

    def _taken(self) -> Candidate | None:
        candidate, self._candidate = self._candidate, None
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        return candidate

    @asynccontextmanager
    async def _alone(self, folder: Path) -> AsyncIterator[None]:
        """Lead alone: whoever else would lead, or is just started, waits."""
        fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    flock(fd, LOCK_EX | LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(_LOOK_SECONDS)
            yield
        finally:
            flock(fd, LOCK_UN)
            os.close(fd)


def _plain(found: Candidate | Came) -> dict[str, Any]:
    if isinstance(found, Candidate):
        return {"problems": [], "kept": list(map(attrs.asdict, found.kept)), "fingerprint": found.fingerprint}
    problems, kept = found
    return {"problems": list(map(attrs.asdict, problems)), "kept": list(map(attrs.asdict, kept)), "fingerprint": ""}


def _of_all(answers: dict[str, Any], *, fingerprints: bool = True) -> tuple[Problem, ...]:
    """Return the problems that any worker has, each once; with the worker's name where not all have it."""
    found: dict[Problem, list[str]] = {}
    for name, answer in answers.items():
        if answer is None or "problems" not in answer:
            found.setdefault(Problem("", "the worker does not answer"), []).append(name)
            continue
        for problem in answer["problems"]:
            found.setdefault(Problem(**problem), []).append(name)
    if not found and fingerprints and len({answer["fingerprint"] for answer in answers.values()}) > 1:
        return (Problem("", "the files have changed while they were read; reload once more"),)
    everywhere = len(answers)
    return tuple(
        one if len(names) == everywhere else attrs.evolve(one, message=f"{one.message} (worker {', '.join(names)})")
        for one, names in found.items()
    )
