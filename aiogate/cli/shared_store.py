"""Which Redis a command goes to that is about the configs of a store: ``--state``, or what a config says."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from aiogate.agent import Secret
from aiogate.errors import AiogateError, Problem, SettingsError
from aiogate.settings.document import Document
from aiogate.settings.interpolate import interpolate
from aiogate.settings.model import StateSettings
from aiogate.settings.structure import Structurer

__all__ = ["prefix_option", "state_option", "state_settings"]

_PASSWORD: Final = re.compile(r"://[^/@]*:(?!\$\{)[^/@]+@")


def _checked(ctx: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """Refuse a password that everybody on the machine could read."""
    said = parameter.name is not None and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    if said and text is not None and _PASSWORD.search(text):
        msg = "a command line can be read by everybody on the machine: put the URL into AIOGATE_STATE, or write "
        msg += "its password as '${NAME}'"
        raise click.BadParameter(msg)
    return text


def state_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option ``--state``; ``what`` says what it is for."""
    return click.option("--state", metavar="URL", envvar="AIOGATE_STATE", callback=_checked, help=what)


prefix_option: Final[Callable[[Callable[..., Any]], Callable[..., Any]]] = click.option(
    "--prefix", metavar="TEXT", envvar="AIOGATE_STATE_PREFIX", help="What its keys begin with, as in [state] prefix."
)


def state_settings(state: str | None, prefix: str | None, config: Path) -> StateSettings:
    """Return the store that a command is about; raises ``AiogateError`` where it is none that gateways share."""
    if state is not None:
        tables: dict[str, Any] = {"state": {"url": state} | ({} if prefix is None else {"prefix": prefix})}
        source, folder = "--state", Path.cwd()
    else:
        tables, source, folder = Document.read(config).tables, str(config), config.absolute().parent
    problems = list[Problem]()
    section = interpolate({"state": tables.get("state", {})}, os.environ, folder, problems.append)["state"]
    found = None if problems else Structurer(folder).structure(section, StateSettings, "state", problems.append)
    if found is None:
        raise SettingsError(source, problems)
    if found.url == Secret("memory://"):
        msg = (
            "configs are pushed to a Redis that gateways share: name it by --state, AIOGATE_STATE or [state] url; with "
            "memory:// a gateway is alone: change its file, and call aiogate reload"
        )
        raise AiogateError(msg)
    return found
