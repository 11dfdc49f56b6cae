"""``aiogate status``: what a gateway that runs has in force, and how its agents are."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import click
import orjson

from aiogate.cli.operators import admin_of, ask
from aiogate.errors import AiogateError, Problem

__all__ = ["status"]

_OK = 200
_NANO = 10**9


@click.command(
    help="""Show what a running gateway has in force: generation, plugins, agents, budgets, the last reload.

    \b
    Example:
        aiogate status --config conf/gateway.toml
    """
)
@click.option("--config", type=click.Path(path_type=Path), envvar="AIOGATE_CONFIG", default=Path("conf/gateway.toml"))
@click.option("--admin", metavar="URL", help="Of the admin listener, if the config does not say it: 127.0.0.1:9090.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def status(config: Path, admin: str | None, *, as_json: bool) -> None:
    """Show a gateway's status."""
    answered, said = ask(admin or admin_of(config), "GET", "/api/status")
    if answered != _OK:
        raise AiogateError(str(said.get("detail") or f"the gateway answers {answered}"))
    click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2) if as_json else "\n".join(_shown(said)))


def _shown(said: dict[str, Any]) -> Iterator[str]:
    last = said["last_reload"]
    ready = [name for name, ok in said["checks"].items() if not ok]
    yield f"aiogate {said['version']}, {'not ready: ' + ', '.join(ready) if ready else 'ready'}"
    yield f"  generation  {said['generation']}, {said['open_exchanges']} open exchanges"
    for number, count in said["outgoing_generations"].items():
        yield f"              {count} of them end on generation {number}"
    yield f"  last reload {last['time']} by {last['cause']}: {'in force' if last['successful'] else 'nothing changed'}"
    for problem in (*last["problems"], *last["needs_restart"]):
        yield indent(str(Problem(**problem)), " " * 14)
    yield f"  pipeline    {' > '.join(said['plugins']) or 'empty'}"
    yield "  agents"
    for agent in said["agents"]:
        yield f"    {agent['id']:<20} {_condition(agent['breaker'])}"
        for place in said["endpoints"].get(agent["id"], ()):
            yield f"      {place['endpoint']:<18} {_place(place)}"
    if said["budgets"]:
        yield "  budgets, the tightest first"
    for budget in said["budgets"]:
        yield f"    {budget['budget']:<20} {_standing(budget)}"


def _standing(budget: dict[str, Any]) -> str:
    money = budget["unit"] == "nanousd"
    limit, spent, held = (
        _dollars(budget[name]) if money else f"{budget[name]:,}" for name in ("limit", "spent", "held")
    )
    who = ", ".join(f"{name} {value}" for name, value in budget["per"].items())
    unit = "usd" if money else budget["unit"]
    said = f"{spent} of {limit} {unit} spent, {held} held, until {budget['period_ends']}"
    return f"{who}: {said}" if who else said


def _dollars(nanousd: int) -> str:
    dollars = nanousd / _NANO
    return f"{dollars:.4f}" if 0 < dollars < 1 else f"{dollars:,.2f}"


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
