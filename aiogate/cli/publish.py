"""What ``aiogate config push`` does with a store: judges a config, publishes it, hears what gateways say of it."""

import asyncio
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import orjson

from aiogate.board import Topic
from aiogate.cli.actor import current_actor
from aiogate.cli.exits import EX_FAILED
from aiogate.cli.store import opened
from aiogate.errors import AiogateError, Problem, SettingsError
from aiogate.exchange import Clock
from aiogate.pipeline.discover import InstalledPlugins
from aiogate.pipeline.load import build_pipeline
from aiogate.server.pushed import as_named, lay_out
from aiogate.settings.document import Document
from aiogate.settings.load import load_settings
from aiogate.settings.model import StateSettings
from aiogate.settings.origin import Origin
from aiogate.settings.plain_secrets import plain_secrets
from aiogate.state.configs import CONFIG_TOPIC, REPORTS_TOPIC, Configs, Pushed, plain

__all__ = ["below", "check_pushed", "history_of", "publish", "reported", "text_of"]

_LOOK_SECONDS: Final = 0.05


def below(folder: Path, texts: Mapping[Path, str]) -> dict[str, str]:
    """Return the texts by their names below the folder of the config; raises ``SettingsError`` for others."""
    files, problems = dict[str, str](), list[Problem]()
    for path, text in texts.items():
        place = Path(os.path.normpath(path.absolute()))
        if place.is_relative_to(folder):
            files[str(place.relative_to(folder))] = text
        else:
            problems.append(
                Problem("include", f"{path} is not below {folder}; what is pushed has to be", file=str(path))
            )
    if problems:
        raise SettingsError(str(folder), problems)
    return files


def check_pushed(source: str, files: Mapping[str, str], tables: object, store: StateSettings, folder: Path) -> None:
    """Judge a config as a gateway will, and name what it has to have; raises ``SettingsError`` with all problems."""
    problems, theirs = list(plain_secrets(tables)), list[Problem]()
    installed, url = InstalledPlugins(), store.url.reveal()
    origin = Origin(folder=folder, state_url=url, prefix=store.prefix, elsewhere=theirs.append)
    with tempfile.TemporaryDirectory(prefix="aiogate-config-") as copy:
        main = lay_out(Pushed(number=0, at=0.0, actor="", message="", files=files), Path(copy))
        try:
            settings = load_settings(main, installed, os.environ, origin=origin)
            if not theirs:
                build_pipeline(settings, installed)
        except SettingsError as error:
            problems += as_named(error.problems, Path(copy))
        except AiogateError as error:
            problems.append(Problem("pipeline.plugins", str(error)))
    if problems:
        raise SettingsError(source, problems)
    for problem in as_named(theirs, Path(copy)):
        click.echo(f"aiogate: warning: {problem}; every gateway needs it", err=True)


def publish(  # noqa: PLR0913 - each is said by its name
    ctx: click.Context,
    store: StateSettings,
    files: Mapping[str, str],
    why: tuple[str | None, str, int | None],
    wait: float,
    *,
    as_json: bool,
) -> None:
    """Publish a config, print what comes of it, and exit with 1 where a gateway has not gone over to it."""
    pushed, reports, silent = asyncio.run(_push(store, files, why, wait))
    failed = [one for one in reports if one["generation"] != pushed.number]
    if as_json:
        said = {**plain(pushed), "gateways": reports, "silent": silent}
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
    else:
        click.echo(f"generation {pushed.number} is published")
        for line in reported(reports):
            click.echo(line)
        for name in silent:
            click.echo(f"  {name}: has not said anything within {wait:g} s")
        if not reports and not silent and wait:
            click.echo("no gateway follows the store now: aiogate serve --state URL starts one")
    if failed or silent:
        ctx.exit(EX_FAILED)


async def _push(
    store: StateSettings, files: Mapping[str, str], why: tuple[str | None, str, int | None], wait: float
) -> tuple[Pushed, list[dict[str, Any]], list[str]]:
    """Publish; return the generation, what gateways say of it, and who says nothing."""
    clock, (actor, message, of) = Clock(), why
    async with opened(store, Path(), clock) as board:
        reports = board.topic(REPORTS_TOPIC)
        there = set(reports.entries)
        pushed = await Configs(board.topic(CONFIG_TOPIC)).push(
            files, at=clock.wall(), actor=actor or current_actor(), message=message, of=of
        )
        until = clock.monotonic() + wait
        while clock.monotonic() < until:
            there &= reports.entries.keys()  # who has left owes no answer
            if all(one["tried"] >= pushed.number for one in _reports(reports) if one["gateway"] in there):
                break
            await asyncio.sleep(_LOOK_SECONDS)
        said = [one for one in _reports(reports) if one["tried"] >= pushed.number]
        silent = sorted(there - {one["gateway"] for one in said}) if wait else []
        return pushed, said, silent


async def history_of(store: StateSettings) -> tuple[list[Pushed], list[dict[str, Any]]]:
    """Return the generations, newest first, and what gateways say of the last one."""
    async with opened(store, Path(), Clock()) as board:
        configs = Configs(board.topic(CONFIG_TOPIC))
        return [configs.get(number) for number in reversed(configs.numbers)], _reports(board.topic(REPORTS_TOPIC))


def _reports(topic: Topic) -> list[dict[str, Any]]:
    return [orjson.loads(entry) for _, entry in sorted(topic.entries.items())]


def reported(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what gateways say, line by line."""
    lines = []
    for one in reports:
        stays = "" if one["generation"] == one["tried"] else f", not {one['tried']}:"
        lines.append(f"  {one['gateway']}: generation {one['generation']} is in force{stays}")
        lines += [f"      {problem}" for problem in (*one["problems"], *one["needs_restart"])]
    return lines


def text_of(which: str, pushed: Sequence[Pushed]) -> tuple[str, str]:
    """Return the name and the text of a generation, by its number, or of a file."""
    if which.isdecimal():
        for one in pushed:
            if one.number == int(which):
                return f"generation {which}", one.text
        msg = f"there is no generation {which} in the store"
        raise AiogateError(msg)

    path = Path(which)
    files = below(path.absolute().parent, Document.read(path).texts)
    return which, Pushed(number=0, at=0.0, actor="", message="", files=files).text
