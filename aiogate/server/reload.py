"""Puts another config in force while the gateway runs: built beside the old one, checked whole, swapped in one step.

Whatever goes wrong on the way leaves the old one as it was. Knows nothing of signals, files or HTTP: they ask here.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, Protocol

import attrs

from aiogate.errors import AiogateError, PluginError, Problem, SettingsError
from aiogate.pipeline.run import Pipeline
from aiogate.proxy.upstream import Contexts, Upstream
from aiogate.server.generation import Generation
from aiogate.server.house import House, Tasks
from aiogate.server.lifespans import Lifespans
from aiogate.server.restart import keep_what_stands
from aiogate.server.view import View
from aiogate.settings.model import Settings

__all__ = ["Came", "Candidate", "Load", "Reloads", "Report", "fingerprint_of"]

Load = Callable[[], tuple[Settings, Pipeline]]
"""Reads the config anew, in a thread; raises ``SettingsError``."""

Came = tuple[tuple[Problem, ...], tuple[Problem, ...]]
"""What has come of an attempt: the problems, which there are none of if it went well, and what takes a restart."""

_log: Final = logging.getLogger(__name__)
_TOLD_PROBLEMS: Final = 10
_START_SECONDS: Final = 60.0
"""How long the plugins of a new config may take to start, all together; the old config serves meanwhile."""


@attrs.frozen(kw_only=True)
class Report:
    """What has come of one attempt to put a config in force.

    Args:
        cause: who asked: ``start``, ``SIGHUP``, ``api``, ``watch``.
        at: wall time of its end, in seconds.
        generation: the number of the config in force afterwards.
        problems: why the new one is not in force; empty: it is.
        kept: what of it takes a restart.
        workers: how many processes have gone over to it, or would have.
    """

    cause: str
    at: float
    generation: int
    problems: tuple[Problem, ...] = ()
    kept: tuple[Problem, ...] = ()
    workers: int = 1

    @property
    def successful(self) -> bool:
        """Whether the config that was read is in force."""
        return not self.problems


@attrs.frozen(kw_only=True, eq=False)
class Candidate:
    """A config that is in order and whose plugins run, beside the one in force.

    ``fingerprint`` is that of the files it was read from: workers that have the same one have read the same.
    """

    generation: Generation
    lifespans: Lifespans
    contexts: Contexts
    kept: tuple[Problem, ...]
    fingerprint: str


class InForce(Protocol):
    """Who serves by a generation; its ``generation`` is what every new exchange begins with."""

    generation: Generation


@attrs.define(eq=False)
class Reloads:
    """The configs of one gateway, one after the other; attempts wait for each other.

    Args:
        gateway: whose generation is replaced.
        house: what outlives every config.
        load: None: there is no file to read again.
        retired: called when nothing needs a config any more that was in force.
    """

    _gateway: InForce
    _house: House
    _load: Load | None
    _retired: Callable[[], object] | None = None
    last: Report = attrs.field(init=False)
    _lifespans: Lifespans = attrs.field(factory=Lifespans, init=False)
    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    """Held by whoever puts a config in force."""
    _attempts: set[asyncio.Task[Report]] = attrs.field(factory=set, init=False)
    _outgoing: Tasks = attrs.field(factory=Tasks, init=False)

    async def start(self) -> None:
        """Start what the first config asks for; raises ``AiogateError``."""
        generation = self._gateway.generation
        contexts = await asyncio.to_thread(_contexts, generation)
        self._lifespans = await Lifespans.enter(generation.pipeline, View(generation, self._house))
        self._house.upstream.adopt(generation.agents, contexts)
        self._note(Report(cause="start", at=self._house.clock.wall(), generation=generation.number))

    @property
    def plugins_run(self) -> bool:
        """Whether everything still runs that a plugin in force owns."""
        return not any(self._lifespans.failed())

    async def reload(self, cause: str) -> Report:
        """Read the config anew and put it in force if it is in order; goes on when who asks has gone."""
        attempt = asyncio.get_running_loop().create_task(self._attempt(cause))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempts.discard)
        return await asyncio.shield(attempt)

    async def stop(self) -> None:
        """Give up the attempts under way."""
        for attempt in self._attempts:
            attempt.cancel()
        if self._attempts:
            await asyncio.wait(tuple(self._attempts))

    async def leave(self) -> None:
        """Leave what the plugins own; no exchange is under way any more."""
        for _, ended in self._house.outgoing.values():
            ended.set()
        await self._outgoing.join()
        await self._lifespans.leave()

    async def _attempt(self, cause: str) -> Report:
        async with self.lock:
            self._house.notifier.reloading()
            found = await self.prepare()
            if isinstance(found, Candidate):
                found = await self.adopt(found)
            report = self.report(cause, found)
            self._house.notifier.ready(_status(report))
            return report

    def report(self, cause: str, came: Came, *, logs: bool = True) -> Report:
        """Note and return what has come of an attempt: its problems, and what takes a restart."""
        number, (problems, kept) = self._gateway.generation.number, came
        report = Report(cause=cause, at=self._house.clock.wall(), generation=number, problems=problems, kept=kept)
        self._note(report, logs=logs)
        return report

    async def prepare(self, number: int | None = None) -> "Candidate | Came":
        """Read the config anew and start its plugins beside those that run; return it, or its problems.

        ``number`` is what it will have; None: the next one. To be called with the lock, as ``adopt``.
        """
        try:
            return await self._prepare(number)
        except Exception as error:  # noqa: BLE001 - the border of one attempt: whatever failed, the old config stays
            return _problems(error), ()

    async def adopt(self, candidate: Candidate) -> Came:
        """Put a config in force; return its problems, which there are only if it has failed, and what is kept."""
        old, new = self._gateway.generation, candidate.generation
        try:
            _inherit(new.pipeline, old.pipeline)
            new.pipeline.times.go_on(old.pipeline.times, new.pipeline.plugins)
            self._house.upstream.adopt(new.agents, candidate.contexts)
        except BaseException as error:
            await candidate.lifespans.leave()
            if not isinstance(error, Exception):
                raise
            return _problems(error), ()
        self._gateway.generation = new
        left, self._lifespans = self._lifespans, candidate.lifespans
        self._outgoing.spawn(self._retire(old, left))
        return (), candidate.kept

    async def _prepare(self, number: int | None) -> Candidate:
        if self._load is None:
            msg = "this gateway was started without a file to read again"
            raise AiogateError(msg)
        old = self._gateway.generation
        loaded, built = await asyncio.to_thread(self._load)
        settings, kept = keep_what_stands(old.settings, loaded)
        pipeline = _with_survivors(built, settings, old)
        new = Generation(number=number or old.number + 1, settings=settings, pipeline=pipeline, clock=old.clock)
        fingerprint = await asyncio.to_thread(fingerprint_of, settings)
        contexts = await asyncio.to_thread(_contexts, new)
        lifespans = await self._started(new)
        return Candidate(generation=new, lifespans=lifespans, contexts=contexts, kept=kept, fingerprint=fingerprint)

    async def _started(self, new: Generation) -> Lifespans:
        try:
            async with asyncio.timeout(_START_SECONDS):
                return await Lifespans.enter(new.pipeline, View(new, self._house), self._lifespans)
        except TimeoutError:
            msg = f"the plugins have not started within {_START_SECONDS:g} s"
            raise AiogateError(msg) from None

    async def _retire(self, old: Generation, lifespans: Lifespans) -> None:
        """Leave what a config owned once its last exchange has ended."""
        await self._house.ended(old)
        await lifespans.leave()
        _log.info("generation %d has ended: no exchange needs it any more", old.number)
        del old, lifespans
        if self._retired is not None:
            asyncio.get_running_loop().call_soon(self._retired)  # when this coroutine holds nothing any more

    def _note(self, report: Report, *, logs: bool = True) -> None:
        self.last = report
        self._house.metrics.loaded(report.generation, report.at, successful=report.successful)
        if report.cause == "start" or not logs:
            return
        self._house.events.tell(
            "reload",
            cause=report.cause,
            generation=report.generation,
            successful=report.successful,
            problems=[str(problem) for problem in report.problems[:_TOLD_PROBLEMS]],
        )
        if report.successful:
            _log.info("%s: generation %d is in force", report.cause, report.generation)
        else:
            _log.error("%s: nothing has changed, generation %d stays in force", report.cause, report.generation)
        for problem in (*report.problems, *report.kept):
            _log.warning("%s: %s", report.cause, problem)


def _contexts(generation: Generation) -> Contexts:
    agents = generation.agents.values()
    try:
        return Upstream.prepare(agents)
    except OSError as error:
        msg = f"a certificate cannot be used: {error}"
        raise AiogateError(msg) from error


def _problems(error: Exception) -> tuple[Problem, ...]:
    """Return what hinders a config."""
    if isinstance(error, SettingsError):
        return error.problems
    if isinstance(error, AiogateError):
        return (Problem("pipeline.plugins" if isinstance(error, PluginError) else "", str(error)),)
    _log.error("the reload failed", exc_info=error)
    return (Problem("", f"the reload failed: {type(error).__name__}; the log has more"),)


def fingerprint_of(settings: Settings) -> str:
    """Return what tells the files of a config from those of another. Blocks."""
    digest = hashlib.sha256()
    for file in settings.files:
        with suppress(OSError):
            digest.update(file.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()


def _with_survivors(built: Pipeline, settings: Settings, old: Generation) -> Pipeline:
    """Return the pipeline with the running plugin in the place of a new one that is the same and owns a thing alone."""
    survivors = dict(_survivors(built, settings, old))
    return Pipeline.of(built.plugins | survivors) if survivors else built


def _survivors(built: Pipeline, settings: Settings, old: Generation) -> Iterator[tuple[str, object]]:
    for name, plugin in built.plugins.items():
        before = old.pipeline.plugins.get(name)
        same = type(before) is type(plugin) and settings.plugins.get(name) == old.settings.plugins.get(name)
        if same and getattr(plugin, "outlives_reload", False):
            yield name, before


def _inherit(pipeline: Pipeline, before: Pipeline) -> None:
    """Let the new plugins take over what the old ones of their names have learnt; raises ``PluginError``."""
    for name, plugin in pipeline.plugins.items():
        previous, inherit = before.plugins.get(name), getattr(plugin, "inherit", None)
        if inherit is None or previous is None or previous is plugin:
            continue
        try:
            inherit(previous)
        except Exception as error:  # the border to plugins: what was learnt is not lost in silence
            raise PluginError(name, f"{type(error).__name__}: {error}", hook="inherit") from error


def _status(report: Report) -> str:
    """Return what the supervisor is told."""
    if report.successful:
        return f"serving, config {report.generation}"
    return f"serving, config {report.generation}; the last reload failed: {report.problems[0]}".partition("\n")[0]
