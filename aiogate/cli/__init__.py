"""The command line: one file per command, loaded when it is called, so that ``--help`` answers at once."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from aiogate import __version__
from aiogate.cli.exits import EX_CONFIG, EX_FAILED, EX_INTERRUPTED, EXITS

__all__ = ["EX_CONFIG", "config_file", "main"]

_COMMANDS: Final = {
    "serve": ("aiogate.cli.serve:serve", "Serve a config."),
    "check": ("aiogate.cli.check:check", "Find every problem of a config without serving it."),
    "reload": ("aiogate.cli.reload:reload", "Have a running gateway read its config again."),
    "status": ("aiogate.cli.status:status", "Show what a running gateway has in force."),
    "tail": ("aiogate.cli.tail:tail", "Follow what happens at a running gateway."),
    "top": ("aiogate.cli.top:top", "Watch a running gateway on one screen, and end what has to end."),
    "agents": ("aiogate.cli.agents:agents", "List the agents of a running gateway and how they do."),
    "limits": ("aiogate.cli.limits:limits", "List the limits of a running gateway, with what is left."),
    "budgets": ("aiogate.cli.budgets:budgets", "List the budgets of a running gateway, with what is left."),
    "kill": ("aiogate.cli.kill:kill", "End what is under way of an agent, a caller or a request, and let nothing in."),
    "kills": ("aiogate.cli.kills:kills", "List the kills and pauses that are in force, and lift them."),
    "pause": ("aiogate.cli.pause:pause", "Let nothing new in for an agent; what is under way goes on."),
    "resume": ("aiogate.cli.pause:resume", "Take a pause back."),
    "breaker": ("aiogate.cli.breaker:breaker", "Take an agent of a running gateway out of service, or put it back."),
    "config": ("aiogate.cli.config:config", "Show what a config puts in force."),
    "explain": ("aiogate.cli.explain:explain", "Show step by step what becomes of a request."),
    "policy": ("aiogate.cli.policy:policy", "Try policies before they are in force."),
    "schema": ("aiogate.cli.schema:schema", "Print what a config may say, for editors and for people."),
    "plugins": ("aiogate.cli.plugins:plugins", "List the installed plugins."),
    "keys": ("aiogate.cli.keys:keys", "Make API keys, change and revoke them."),
    "journal": ("aiogate.cli.journal:journal", "Read the journal."),
    "usage": ("aiogate.cli.usage:usage", "Report what was used and spent, by whom and on what."),
    "completion": ("aiogate.cli.completion:completion", "Print what completes commands in your shell."),
    "audit": ("aiogate.cli.audit:audit", "Search the journal, and prove that nobody has touched it."),
}


config_file: Final[Callable[[Callable[..., Any]], Callable[..., Any]]] = click.argument(
    "file",
    type=click.Path(path_type=Path),
    envvar="AIOGATE_CONFIG",
    default=Path("conf/gateway.toml"),
)
"""The argument of every command that reads a config."""


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

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        """Be the border of every command: what went wrong is a sentence and an exit code, never a traceback."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            from aiogate.errors import AiogateError, SettingsError  # noqa: PLC0415 - nobody waits for it in vain

            if not isinstance(error, AiogateError):
                raise
            is_config = isinstance(error, SettingsError)
            click.echo(f"aiogate: {error if is_config else ' '.join(str(error).splitlines())}", err=True)
            ctx.exit(EX_CONFIG if is_config else EX_FAILED)
        except KeyboardInterrupt:
            ctx.exit(EX_INTERRUPTED)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in _COMMANDS.items()])
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), sentence) for code, sentence in EXITS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name without importing any."""
        names = [name for name in _COMMANDS if name.startswith(incomplete)]
        options = super(click.Group, self).shell_complete(ctx, incomplete)
        return [*(CompletionItem(name, help=_COMMANDS[name][1]) for name in names), *options]


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
    """Run a command and exit with one of ``EXITS``."""
    _aiogate.main(args, prog_name="aiogate")
