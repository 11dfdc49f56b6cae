"""``aiogate config push|history|diff|rollback``: the configs that gateways get from a store.

A gateway that was started by ``aiogate serve --state URL`` follows the store; one that was started with a file does
not. What is pushed are the files as they are, with their references: each gateway resolves those by itself.
"""

import asyncio
import difflib
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import orjson

from aiogate.cli.shared_store import prefix_option, state_option, state_settings
from aiogate.cli.table import table
from aiogate.errors import AiogateError
from aiogate.settings.document import Document
from aiogate.state.configs import Pushed, plain

__all__ = ["COMMANDS"]

_STATE: Final = "The Redis, in the place of the one that the config names: redis://host:6379/0."
_CONFIG: Final = click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="AIOGATE_CONFIG",
    default=Path("conf/gateway.toml"),
    show_default=True,
    help="The config whose [state] names the Redis.",
)
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="For scripts.")
_WAIT: Final = click.option(
    "--wait", type=click.FloatRange(0), default=10.0, show_default=True, help="Seconds to wait for what gateways say."
)
_ACTOR: Final = click.option("--actor", help="Who; otherwise the user that you are logged in as.")
_STORE: Final = state_option(_STATE)


@click.command(
    help="""Publish a config: every gateway that follows the store goes over to it within a second.

    \b
    Example:
        aiogate config push conf/gateway.toml --message "support has a second endpoint"

    It is checked first, and with a problem nothing is published. Secrets have to be references (${NAME},
    ${file:PATH}); those that lead nowhere here are only named, for they are the gateways'. Then each gateway says what
    has come of it: one that has a problem stays with what it has. Exits with 1 when any does.

    A gateway follows the store when it was started by `aiogate serve --state URL`; relative paths start where it was
    started. What takes a restart, such as a listener, is said and changes at the next start. The last 50 generations
    are kept, each of 1 MiB at most.
    """
)
@click.argument("file", type=click.Path(path_type=Path), default=Path("conf/gateway.toml"))
@click.option("--message", default="", help="Why, for the history.")
@_ACTOR
@_STORE
@prefix_option
@_WAIT
@_JSON
@click.pass_context
def push(  # noqa: PLR0913, PLR0917 - one argument for each option
    ctx: click.Context,
    file: Path,
    message: str,
    actor: str | None,
    state: str | None,
    prefix: str | None,
    wait: float,
    *,
    as_json: bool,
) -> None:
    """Publish a config."""
    from aiogate.cli.publish import below, check_pushed, publish  # noqa: PLC0415 - a gateway's, which take long to import

    document = Document.read(file)
    files = below(file.absolute().parent, document.texts)
    store = state_settings(state, prefix, file)
    check_pushed(str(file), files, document.tables, store, file.absolute().parent)
    publish(ctx, store, files, (actor, message, None), wait, as_json=as_json)


@click.command(
    help="""List the configs that were pushed, newest first, and what gateways say of the last one.

    \b
    Example:
        aiogate config history
    """
)
@_CONFIG
@_STORE
@prefix_option
@_JSON
def history(config: Path, state: str | None, prefix: str | None, *, as_json: bool) -> None:
    """List the generations of a store."""
    from aiogate.cli.publish import history_of, reported  # noqa: PLC0415 - as above

    pushed, reports = asyncio.run(history_of(state_settings(state, prefix, config)))
    if as_json:
        click.echo(
            orjson.dumps({"generations": list(map(plain, pushed)), "gateways": reports}, option=orjson.OPT_INDENT_2)
        )
        return
    rows = [[str(one.number), _time(one.at), one.actor, _said(one)] for one in pushed]
    click.echo(
        table(("generation", "pushed", "by", "message"), rows, None, left=4) if rows else "none was pushed yet\n"
    )
    for line in reported(reports) or ["no gateway follows the store now"]:
        click.echo(line)


@click.command(
    help="""Show what is different in two configs, each a generation of the store or a file.

    \b
    Example:
        aiogate config diff
        aiogate config diff 7 9
        aiogate config diff 9 conf/gateway.toml

    Without either, the last two generations; with one, that and the current one.
    """
)
@click.argument("one", required=False)
@click.argument("other", required=False)
@_CONFIG
@_STORE
@prefix_option
@_JSON
def diff(  # noqa: PLR0913 - one argument for each option
    one: str | None, other: str | None, config: Path, state: str | None, prefix: str | None, *, as_json: bool
) -> None:
    """Compare two configs."""
    from aiogate.cli.publish import history_of, text_of  # noqa: PLC0415 - as above

    pushed, _ = asyncio.run(history_of(state_settings(state, prefix, config)))
    numbers = [each.number for each in reversed(pushed)]
    if one is None:
        if len(numbers) < 2:  # noqa: PLR2004 - two are compared
            msg = "there are no two generations in the store to compare"
            raise AiogateError(msg)
        one, other = map(str, numbers[-2:])
    elif other is None:
        other = str(numbers[-1]) if numbers else "1"
    (before, was), (after, now) = (text_of(which, pushed) for which in (one, other or ""))
    lines = list(difflib.unified_diff(was.splitlines(), now.splitlines(), before, after, lineterm=""))
    if as_json:
        said = {"before": before, "after": after, "differ": bool(lines), "diff": lines}
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
        return
    for line in lines:
        click.echo(line)


@click.command(
    help="""Bring an older config back: it is published again, as a new generation.

    \b
    Example:
        aiogate config rollback --message "the second endpoint was down"
        aiogate config rollback 7

    Without a number, the one before the last.
    """
)
@click.argument("generation", type=int, required=False)
@click.option("--message", default="", help="Why, for the history.")
@_ACTOR
@_CONFIG
@_STORE
@prefix_option
@_WAIT
@_JSON
@click.pass_context
def rollback(  # noqa: PLR0913, PLR0917 - one argument for each option
    ctx: click.Context,
    generation: int | None,
    message: str,
    actor: str | None,
    config: Path,
    state: str | None,
    prefix: str | None,
    wait: float,
    *,
    as_json: bool,
) -> None:
    """Publish an older config again."""
    from aiogate.cli.publish import check_pushed, history_of, publish  # noqa: PLC0415 - as above

    store = state_settings(state, prefix, config)
    pushed, _ = asyncio.run(history_of(store))
    known = {one.number: one for one in pushed}
    numbers = sorted(known)
    if generation is None and len(numbers) > 1:
        generation = numbers[-2]
    if generation not in known:
        there = f"there are {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else "there is none to go back to"
        msg = f"there is no generation {generation or ''}".rstrip() + f" in the store; {there}"
        raise AiogateError(msg)
    files = known[generation].files
    check_pushed(f"generation {generation} of the store", files, None, store, Path.cwd())
    publish(ctx, store, files, (actor, message, generation), wait, as_json=as_json)


COMMANDS: Final = (push, history, diff, rollback)


def _said(pushed: Pushed) -> str:
    again = f"(generation {pushed.of} again)" if pushed.of is not None else ""
    return " ".join(filter(None, (pushed.message, again))) or "-"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
