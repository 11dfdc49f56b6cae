"""``aiogate status``: one screen of a running gateway's health, and an exit code that says whether all is well."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any, Final

import click
import orjson

from aiogate.cli.exits import EX_UNWELL
from aiogate.cli.figures import dollars
from aiogate.cli.operators import admin_options, answer_of, url_of
from aiogate.errors import Problem

__all__ = ["status"]

_SHUT: Final = frozenset({"open", "half_open", "held_open", "paused"})
_BUDGETS: Final = 8
_HALTED: Final = {"kill": "killed", "pause": "paused"}
_TARGETS: Final = ("agent", "principal", "department", "key", "request")


@click.command(
    help="""Show on one screen how a running gateway is: readiness, config, state, agents, budgets, the last reload.

    \b
    Example:
        aiogate status
        aiogate status --json && echo well || echo "look into it: $?"

    Exits with 0 when all is well, with 4 when the gateway answers and something is not: it is not ready, the last
    reload has failed, shared counters cannot be reached, somebody is killed or paused, an agent is out of service, a
    budget is spent. Exits with 1 when no gateway answers.
    """
)
@admin_options
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def status(ctx: click.Context, config: Path, admin: str | None, *, as_json: bool) -> None:
    """Show a gateway's status."""
    said = answer_of(url_of(config, admin), "/api/status")
    unwell = list(_unwell(said))
    if as_json:
        click.echo(orjson.dumps({**said, "unwell": unwell}, option=orjson.OPT_INDENT_2))
    else:
        click.echo("\n".join(_shown(said, unwell)))
    if unwell:
        ctx.exit(EX_UNWELL)


def _unwell(said: dict[str, Any]) -> Iterator[str]:
    """Yield what is not as it should be, each in a few words."""
    yield from (f"not ready: {name}" for name, ok in said["checks"].items() if not ok)
    if not said["last_reload"]["successful"]:
        yield "the last reload has failed"
    if said.get("degraded"):
        yield f"counters are not shared: {said['degraded']}"
    for agent in said["agents"]:
        if (breaker := agent["breaker"]) is not None and breaker["phase"] in _SHUT:
            yield f"agent {agent['id']}: breaker {breaker['phase']}"
    yield from (f"{_whom(halt)} {_HALTED[halt['kind']]}" for halt in said["halts"] if "request" not in halt)
    yield from (f"budget {budget['budget']} is spent" for budget in said["budgets"] if budget["share"] >= 1)


def _shown(said: dict[str, Any], unwell: list[str]) -> Iterator[str]:
    last = said["last_reload"]
    yield f"aiogate {said['version']}, {'; '.join(unwell) if unwell else 'ready, all is well'}"
    yield f"  generation  {said['generation']}, {said['open_exchanges']} open exchanges"
    yield f"  config      {said['config']['from']}"
    for number, count in said["outgoing_generations"].items():
        yield f"              {count} of them end on generation {number}"
    yield f"  last reload {last['time']} by {last['cause']}: {'in force' if last['successful'] else 'nothing changed'}"
    for problem in (*last["problems"], *last["needs_restart"]):
        yield indent(str(Problem(**problem)), " " * 14)
    yield f"  state       {said['state']}{_shared(said)}"
    for worker in said.get("workers", ()):
        ready = "ready" if worker["ready"] else "not ready"
        yield f"  worker {worker['name']:<4} pid {worker['pid']}, {ready}, {worker['open_exchanges']} open exchanges"
    yield f"  pipeline    {' > '.join(said['plugins']) or 'empty'}"
    for halt in said["halts"]:
        until = "" if halt["until"] is None else f" until {halt['until'][:19]}"
        yield f"  {_HALTED[halt['kind']]:<11} {_whom(halt)}{until}, by {halt['actor']}: {halt['reason']}"
    yield "  agents"
    for agent in said["agents"]:
        yield f"    {agent['id']:<20} {_condition(agent['breaker'])}"
        for place in said["endpoints"].get(agent["id"], ()):
            yield f"      {place['endpoint']:<18} {_place(place)}"
    if said["budgets"]:
        yield "  budgets, the tightest first"
    for budget in said["budgets"][:_BUDGETS]:
        yield f"    {budget['budget']:<20} {_standing(budget)}"
    if len(said["budgets"]) > _BUDGETS:
        yield f"    and {len(said['budgets']) - _BUDGETS} more: aiogate budgets"


def _whom(halt: dict[str, Any]) -> str:
    return ", ".join(f"{name} {halt[name]}" for name in _TARGETS if name in halt)


def _shared(said: dict[str, Any]) -> str:
    if said.get("degraded"):
        return f", not shared: {said['degraded']}"
    return f", {said['gateways']} gateways" if said.get("gateways", 1) > 1 else ""


def _standing(budget: dict[str, Any]) -> str:
    money = budget["unit"] == "nanousd"
    limit, spent, held = (
        dollars(budget[name]).removeprefix("$") if money else f"{budget[name]:,}" for name in ("limit", "spent", "held")
    )
    who = ", ".join(f"{name} {value}" for name, value in budget["per"].items())
    unit = "usd" if money else budget["unit"]
    said = f"{spent} of {limit} {unit} spent, {held} held, until {budget['period_ends']}"
    return f"{who}: {said}" if who else said


def _condition(breaker: dict[str, Any] | None) -> str:
    if breaker is None or (breaker["phase"] == "closed" and not breaker["failures"]):
        return "well"
    said = f"breaker {breaker['phase']}, {breaker['failures']} failures in a row"
    if breaker["retry_after_seconds"]:
        said += f", tried again in {breaker['retry_after_seconds']:.0f} s"
    return said + (f", by {breaker['actor']}: {breaker['reason']}" if breaker["actor"] else "")


def _place(place: dict[str, Any]) -> str:
    said = f"{place['state']}, {place['pending']} pending"
    return said + (f", set aside for {place['aside_seconds']:.0f} s" if place["state"] == "aside" else "")
