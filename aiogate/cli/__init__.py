"""The command line: one file per command, loaded when it is called, so that ``--help`` answers at once."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from aiogate import __version__
from aiogate.errors import AiogateError, SettingsError

__all__ = ["EX_CONFIG", "main"]

EX_CONFIG: Final = 78
"""Exit code for a config with problems (sysexits.h)."""
_INTERRUPTED: Final = 130
_COMMANDS: Final = {
    "serve": ("aiogate.cli.serve:serve", "Serve a config."),
    "check": ("aiogate.cli.check:check", "Find every problem of a config without serving it."),
    "config": ("aiogate.cli.config:config", "Show what a config puts in force."),
    "plugins": ("aiogate.cli.plugins:plugins", "List the installed plugins."),
    "keys": ("aiogate.cli.keys:keys", "Make API keys."),
    "journal": ("aiogate.cli.journal:journal", "Read the journal."),
}


class _LazyGroup(click.Group):
    """Imports a command's module when the command is called, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in _COMMANDS.items()])


@click.command(
    cls=_LazyGroup,
    help="""One front door for an organisation's AI agents.

    \b
    Example:
        aiogate serve conf/gateway.toml
    """,
)
@click.version_option(__version__, prog_name="aiogate")
def _aiogate() -> None: ...


def main(args: Sequence[str] | None = None) -> None:
    """Run a command; a config's problems exit with 78, other errors with 1, and never with a traceback."""
    try:
        _aiogate(args=args, prog_name="aiogate", standalone_mode=True)
    except SettingsError as error:
        _leave(error, EX_CONFIG)
    except AiogateError as error:
        _leave(error, 1)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _leave(error: Exception, code: int) -> Any:  # noqa: ANN401 - it never returns
    click.echo(f"aiogate: {error}", err=True)
    sys.exit(code)
