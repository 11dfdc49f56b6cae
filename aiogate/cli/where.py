"""Where the journal is, for every command that reads it: what the config says, or what the command line says."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from aiogate.errors import JournalError, Problem, SettingsError

if TYPE_CHECKING:
    from aiogate.settings.model import StateSettings

__all__ = ["config_option", "journal_of", "journal_options", "state_of"]

T = TypeVar("T")

config_option: Final[Callable[[Callable[..., Any]], Callable[..., Any]]] = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="AIOGATE_CONFIG",
    default=Path("conf/gateway.toml"),
    show_default=True,
    help="The config that says where the journal is.",
)


def journal_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--config`` and ``--dir``."""
    directory = click.option(
        "--dir", "directory", type=click.Path(path_type=Path), help="The journal itself; needs no config."
    )
    return config_option(directory(command))


def journal_of(config: Path, directory: Path | None) -> Path:
    """Return the journal's directory; raises ``JournalError`` when it is none."""
    directory = directory or _of(config)
    if not directory.is_dir():
        msg = f"there is no journal in {directory}: has the gateway been started with this config?"
        raise JournalError(msg)
    return directory


def state_of(config: Path) -> "StateSettings":
    """Return where the gateways of a config keep what they share."""
    from aiogate.settings.model import StateSettings  # noqa: PLC0415 - with --dir nothing of this is needed

    return _section(config, "state", StateSettings)


def _of(config: Path) -> Path:
    from aiogate.settings.model import JournalSettings  # noqa: PLC0415 - as above

    return config.absolute().parent / _section(config, "journal", JournalSettings).dir


def _section(config: Path, name: str, kind: type[T]) -> T:
    """Return what the config says there, of which nothing else has to be in order: no plugin is loaded for it."""
    from aiogate.settings.document import Document  # noqa: PLC0415 - with --dir nothing of this is needed
    from aiogate.settings.interpolate import interpolate  # noqa: PLC0415
    from aiogate.settings.structure import Structurer  # noqa: PLC0415

    folder, problems = config.absolute().parent, list[Problem]()
    tables = interpolate(Document.read(config).tables, os.environ, folder, lambda _: None)
    found = Structurer(folder).structure(tables.get(name, {}), kind, name, problems.append)
    if problems or found is None:
        raise SettingsError(str(config), problems)
    return found
