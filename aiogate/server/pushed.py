"""A gateway whose config is in the store: it begins with the current generation, and goes over to each that is pushed.

Each generation is written into a directory that only its user can enter, and read from there as any config is: what
holds of a reload holds of it, also where several workers go over together. Of those the eldest leads. A generation that
is not in order changes nothing; what came of it is told to the store (``aiogate config history``), the status and the
journal. Knows nothing of how a generation came into the store.
"""

import asyncio
import logging
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs
import orjson

from aiogate.errors import AiogateError, Problem, SettingsError, StateError
from aiogate.journal.action import encode_action
from aiogate.pipeline.load import load
from aiogate.pipeline.run import Pipeline
from aiogate.server.folder import clear_away, hold
from aiogate.server.gateway import Gateway
from aiogate.server.reload import Report
from aiogate.settings.model import Settings
from aiogate.settings.origin import Origin
from aiogate.state.configs import CONFIG_TOPIC, REPORTS_TOPIC, Configs, Pushed

__all__ = ["Followed", "as_named", "lay_out"]

_log: Final = logging.getLogger(__name__)
_CURRENT: Final = "current"
_MAIN: Final = ".main"
_LOOK_SECONDS: Final = 1.0
_TELL_SECONDS: Final = 20.0
_TOLD_SECONDS: Final = 60.0
"""A gateway that has said nothing for so long is not listed any more."""
_TOLD_PROBLEMS: Final = 20


def lay_out(pushed: Pushed, folder: Path) -> Path:
    """Write the files of a generation below a folder; return that of the config itself. Raises ``AiogateError``."""
    for name, text in pushed.files.items():
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            msg = f"generation {pushed.number} has a file {name!r}, which is outside its folder"
            raise AiogateError(msg)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / pushed.main


def as_named(problems: Iterable[Problem], folder: Path) -> list[Problem]:
    """Return problems of a generation that lies below a folder with its own names of its files."""
    return [
        attrs.evolve(one, file=None if one.file is None else one.file.removeprefix(f"{folder}/")) for one in problems
    ]


@attrs.define(eq=False)
class Followed:
    """The generations of a store, as one gateway or the workers of one machine follow them; a ``Load``.

    Args:
        origin: the store, and where relative paths start.
        environ: for references.
        workers: in the place of what a generation says; None: as it says.
    """

    origin: Origin
    _environ: Mapping[str, str]
    _workers: int | None = None
    _folder: Path = attrs.field(factory=lambda: Path(tempfile.mkdtemp(prefix="aiogate-config-")), init=False)
    _lock: int = attrs.field(init=False)
    _tried: int = attrs.field(default=0, init=False)
    _told: dict[str, Any] = attrs.field(factory=dict, init=False)

    @_lock.default
    def _is_at_home(self) -> int:
        clear_away()
        return hold(self._folder)

    def write(self, pushed: Pushed) -> None:
        """Have a generation read from now on."""
        folder = self._folder / f"{pushed.number}"
        lay_out(pushed, folder)
        (folder / _MAIN).write_text(pushed.main)
        link = self._folder / f".{_CURRENT}"
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        before = self._number
        link.replace(self._folder / _CURRENT)
        for old in self._folder.iterdir():
            if old.name.isdecimal() and int(old.name) not in {before, pushed.number}:
                shutil.rmtree(old, ignore_errors=True)
        self._tried = pushed.number

    def __call__(self) -> tuple[Settings, Pipeline]:
        """Read the generation that was written last; raises ``SettingsError`` with every problem."""
        folder, source = self._folder / _CURRENT, _source(self._number)
        path = folder / (folder / _MAIN).read_text()
        try:
            settings, pipeline = load(path, self._environ, workers=self._workers, origin=self.origin)
        except SettingsError as error:
            raise SettingsError(source, as_named(error.problems, folder)) from error
        return attrs.evolve(settings, path=Path(source)), pipeline

    def close(self) -> None:
        """Take the directory away."""
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    @property
    def told(self) -> Mapping[str, Any]:
        """What has come of the last generation here, for the status."""
        return self._told

    @property
    def _number(self) -> int:
        try:
            return int((self._folder / _CURRENT).readlink().name)
        except OSError:
            return 0

    async def follow(self, gateway: Gateway) -> None:
        """Go over to each generation that is pushed, until cancelled."""
        board = gateway.house.board
        topic, reports = board.topic(CONFIG_TOPIC), board.topic(REPORTS_TOPIC)
        configs, changed, loop = Configs(topic), asyncio.Event(), asyncio.get_running_loop()
        end, name, due = topic.on_change(lambda *_: changed.set()), _name_of(gateway), 0.0
        self._tell(gateway, gateway.reloads.last)
        try:
            while True:
                try:
                    if await gateway.siblings.is_eldest():
                        found = await self._gone_over(gateway, configs)
                        if found is not None:
                            self._tell(gateway, found)
                            due = 0.0
                        if loop.time() >= due:
                            due = loop.time() + _TELL_SECONDS
                            await reports.put(name, orjson.dumps(self._told), seconds=_TOLD_SECONDS)
                except StateError:  # it is said again
                    due = 0.0
                except Exception:  # noqa: BLE001 - the border of one round: the next generation may do better
                    _log.exception("the configs of the store cannot be followed")
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await changed.wait()
                changed.clear()
        finally:
            end()
            with suppress(StateError):
                await reports.remove(name, only=orjson.dumps(self._told))

    def _tell(self, gateway: Gateway, report: Report) -> None:
        self._told = {
            "gateway": _name_of(gateway),
            "generation": _number_in(gateway.settings.path),
            "tried": self._tried,
            "at": report.at,
            "problems": [str(problem) for problem in report.problems[:_TOLD_PROBLEMS]],
            "needs_restart": [str(problem) for problem in report.kept[:_TOLD_PROBLEMS]],
        }

    async def _gone_over(self, gateway: Gateway, configs: Configs) -> Report | None:
        """Try the current generation, if it is a new one; None: it is not."""
        newest = max(configs.numbers, default=0)
        if newest <= self._tried:
            return None
        self._tried = newest
        if newest == _number_in(gateway.settings.path):
            return gateway.reloads.last  # whoever led before has done it
        pushed = configs.get(self._tried)
        await asyncio.to_thread(self.write, pushed)
        report = await gateway.together.reload("push")
        what = "config.in_force" if report.successful else "config.refused"
        with suppress(AiogateError):
            gateway.house.journal.append(
                encode_action(
                    gateway.clock.wall(), what, actor=pushed.actor, reason=pushed.message, generation=pushed.number
                )
            )
        return report


def _name_of(gateway: Gateway) -> str:
    """Return how people tell this machine's gateway from others."""
    return f"{socket.gethostname()} {gateway.public}"


def _source(number: int) -> str:
    """Return what a generation is called where other configs have their path."""
    return f"generation {number} of the store"


def _number_in(path: Path) -> int:
    """Return the number of the generation that is called so."""
    words = str(path).split()
    return int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
