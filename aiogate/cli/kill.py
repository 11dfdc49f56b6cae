"""``aiogate kill``: ends what is under way of an agent, a caller or a request, and lets nothing new in."""

from pathlib import Path
from typing import Any

import click
import orjson

from aiogate.cli.actor import current_actor
from aiogate.cli.exits import EX_UNWELL
from aiogate.cli.operators import admin_options, answer_of, url_of

__all__ = ["kill", "lasting", "target_of"]


@click.command(
    help="""End what is under way of an agent, a caller or a request, and let nothing new in.

    \b
    Example:
        aiogate kill --agent support --reason "it loops" --for 10m
        aiogate kill --principal bob --agent analytics --reason "runaway script"
        aiogate kill --request 0af7651916cd43dd8448eb211c80319c --reason "asked by its owner"

    Open streams end within a second with a terminal event and the outcome `cut`; A2A agents are told to cancel their
    tasks. New calls get the reason, with a 503 where an agent is killed for all and a 403 where a caller is. It holds
    on all gateways that share a state, over reloads and restarts, until its time is over or `aiogate kills lift`.
    Where several are named an exchange has to be all of it. Who did it and why is in the journal.

    Exits with 0 when it is in force, with 4 when it is in force on this gateway and something is missing: the others do
    not know of it yet, it would not outlive a restart, or it could not be journaled. Exits with 1 when it is not.
    """
)
@click.option("--agent", help="An agent, whoever calls it.")
@click.option("--principal", help="A caller, whatever key it uses.")
@click.option("--department", help="All callers of a department.")
@click.option("--key", help="Whoever calls with a key: the id of it.")
@click.option("--request", "request_id", help="One exchange, by its X-Request-Id.")
@click.option("--for", "lasts", metavar="TIME", help="For how long: 90s, 10m, 2h, 7d. Without it: until it is lifted.")
@click.option("--reason", required=True, help="Why: callers are told, and it is in the journal.")
@click.option("--actor", help="Who; otherwise the user that you are logged in as.")
@admin_options
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def kill(  # noqa: PLR0913, PLR0917 - one argument for each option
    ctx: click.Context,
    /,
    config: Path,
    admin: str | None,
    lasts: str | None,
    reason: str,
    actor: str | None,
    request_id: str | None,
    *,
    as_json: bool,
    **targets: str | None,
) -> None:
    """Kill what the options name."""
    wanted = {name: value for name, value in {**targets, "request": request_id}.items() if value is not None}
    if not wanted:
        msg = "name what to kill: --agent, --principal, --department, --key or --request"
        raise click.UsageError(msg)
    asked = {**wanted, "reason": reason, "actor": actor or current_actor(), **({"for": lasts} if lasts else {})}
    said = answer_of(url_of(config, admin), "/api/kills", "POST", asked)
    if as_json:
        click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
    else:
        count = f"{said['cut']} exchange{'' if said['cut'] == 1 else 's'} ended"
        click.echo(f"{said['id']}: {target_of(said)} is killed {lasting(said)}; {count}")
        for missing in _missing(said):
            click.echo(f"aiogate: {missing}", err=True)
    ctx.exit(EX_UNWELL if any(_missing(said)) else 0)


def target_of(said: dict[str, Any]) -> str:
    """Return what is stopped, for people."""
    names = ("request", "key", "principal", "department", "agent")
    return ", ".join(f"{name} {said[name]}" for name in names if said.get(name))


def lasting(said: dict[str, Any]) -> str:
    """Return for how long it still is."""
    seconds = said["seconds_left"]
    return "until it is lifted" if seconds is None else f"for {_shown(seconds)}"


def _shown(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{round(seconds / unit)} {name}"
    return f"{seconds:.0f} s"


def _missing(said: dict[str, Any]) -> list[str]:
    found = []
    if not said["everywhere"]:
        found.append("it holds on this gateway; the others are told as soon as the state can be reached")
    if not said["kept"]:
        found.append("it would not outlive a restart: its file beside the journal cannot be written")
    if not said["journaled"]:
        found.append("it is not in the journal, which cannot be written")
    return found
