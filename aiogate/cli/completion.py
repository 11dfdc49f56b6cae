"""``aiogate completion``: what a shell has to run to complete commands and their options."""

import click
from click.shell_completion import get_completion_class

from aiogate.errors import AiogateError

__all__ = ["completion"]

_VARIABLE = "_AIOGATE_COMPLETE"


@click.command(
    help="""Print what completes aiogate's commands and options in your shell; run it there, or from its start-up file.

    \b
    Example:
        eval "$(aiogate completion bash)"            # in ~/.bashrc
        eval "$(aiogate completion zsh)"             # in ~/.zshrc
        aiogate completion fish > ~/.config/fish/completions/aiogate.fish
    """
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a shell's completion."""
    made = get_completion_class(shell)
    if made is None:
        msg = f"there is no completion for {shell}"
        raise AiogateError(msg)
    shown = made(ctx.find_root().command, {}, "aiogate", _VARIABLE)
    click.echo(shown.source_template % shown.source_vars())  # not source(): it starts a bash to learn its version
