"""``aiogate tail``: what happens at a gateway, line by line; goes on where it was when it was cut off."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import attrs
import click
import orjson

from aiogate.cli.operators import admin_options, bearer, url_of
from aiogate.errors import AiogateError
from aiogate.journal.pretty import pretty, visible, welcomes_colour

__all__ = ["tail"]

_RECORDS: Final = ("ended", "refused")
_KINDS: Final = (*_RECORDS, "breaker", "budget", "limit", "reload", "kill")
_TARGETS: Final = ("agent", "principal", "department", "key", "request")
_AGAIN_SECONDS: Final = 0.5
_MOST_SECONDS: Final = 5.0
_SILENT_SECONDS: Final = 30.0
"""The gateway says something every ten seconds; one that is silent for so long has gone."""


@attrs.frozen
class _Heard:
    id: str
    kind: str
    facts: dict[str, Any]


@click.command(
    help="""Follow what happens at a running gateway: a line for each exchange that ends, and for what else changes.

    \b
    Example:
        aiogate tail --agent support
        aiogate tail --refused --json | jq .code

    A line says who called which agent, how long the first byte and the whole took, tokens and cost. It goes on where it
    was when the connection breaks; a gap says that more has happened than the gateway keeps. The journal has it all.
    """
)
@admin_options
@click.option("--agent", help="Only what is about this agent.")
@click.option("--principal", help="Only what is about this caller.")
@click.option("--refused", is_flag=True, help="Only refusals.")
@click.option("--all", "everything", is_flag=True, help="Also when exchanges start and when their answer begins.")
@click.option("-n", "--count", type=click.IntRange(min=1), help="End after so many lines.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, for scripts.")
def tail(  # noqa: PLR0913 - one argument for each option
    config: Path,
    admin: str | None,
    agent: str | None,
    principal: str | None,
    *,
    refused: bool,
    everything: bool,
    count: int | None,
    as_json: bool,
) -> None:
    """Follow the events until Ctrl-C."""
    wanted = {"agent": agent, "principal": principal, "refused": "1" if refused else None}
    if not everything:
        wanted["kinds"] = ",".join(_KINDS)
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    shown = _as_json if as_json else _line(coloured=welcomes_colour(sys.stdout, os.environ))
    url = f"{url_of(config, admin)}/api/events?{query}"
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_print(url, shown, count))


async def _print(url: str, shown: Callable[[_Heard], str], count: int | None) -> None:
    printed = 0
    async with contextlib.aclosing(_heard(url)) as heard:
        async for event in heard:
            click.echo(shown(event))
            printed += 1
            if printed == count:
                return


async def _heard(url: str) -> AsyncGenerator[_Heard, None]:
    """Yield the events, over all connections that it takes; raises ``AiogateError`` where the first one fails."""
    from aiohttp import ClientError, ClientSession, ClientTimeout  # noqa: PLC0415 - they take long to import
    from aiohttp_sse_client.client import EventSource  # noqa: PLC0415 - likewise

    logging.getLogger("aiohttp_sse_client.client").setLevel(logging.CRITICAL)  # what went wrong is said below
    headers, wait, is_first = bearer(), _AGAIN_SECONDS, True
    timeout = ClientTimeout(total=None, sock_connect=10.0, sock_read=_SILENT_SECONDS)
    async with ClientSession(timeout=timeout) as session:
        while True:
            source = EventSource(
                url,
                session=session,
                headers=headers,
                reconnection_time=timedelta(seconds=_AGAIN_SECONDS),
                max_connect_retry=0,
            )
            why = ""
            try:
                async with source:
                    if not is_first and wait > _AGAIN_SECONDS:
                        click.echo("aiogate: the gateway is back", err=True)
                    is_first, wait = False, _AGAIN_SECONDS
                    async for event in source:
                        headers["Last-Event-Id"] = event.last_event_id
                        yield _Heard(event.last_event_id, event.type or "message", orjson.loads(event.data))
            except (ClientError, OSError, ValueError) as error:
                why = str(error) or type(error).__name__
            if is_first:
                raise AiogateError(_refused(url, why))
            if wait == _AGAIN_SECONDS:
                click.echo("aiogate: the gateway has gone; trying again", err=True)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _MOST_SECONDS)


def _refused(url: str, why: str) -> str:
    where = url.partition("/api/")[0]
    if "401" in why or "403" in why:
        return f"{where} does not know who asks: put its token into AIOGATE_ADMIN_TOKEN, or name its --token-file"
    return f"no events from {where}: {why}"


def _as_json(event: _Heard) -> str:
    return orjson.dumps({"event": event.kind, "id": event.id, **event.facts}).decode()


def _line(*, coloured: bool) -> Callable[[_Heard], str]:
    def line(event: _Heard) -> str:
        if event.kind in _RECORDS:
            return pretty(event.facts, coloured=coloured, first_byte=True)
        return visible(f"{str(event.facts.get('time', ''))[11:23] or '-':<12}  ---  {event.kind:<10}  {_said(event)}")

    return line


def _said(event: _Heard) -> str:
    facts = event.facts
    who = " → ".join(str(facts[name]) for name in ("principal", "agent") if facts.get(name))
    match event.kind:
        case "gap":
            lost = facts.get("lost")
            return f"{'some' if lost is None else lost} events are lost; the journal has them"
        case "started" | "first_byte":
            began = f"{facts.get('status')} after {1000 * float(facts.get('first_byte_seconds') or 0):.0f} ms"
            return f"{who}  {began if event.kind == 'first_byte' else facts.get('path')}"
        case "breaker":
            by = f", by {facts['actor']}: {facts.get('reason')}" if facts.get("actor") else ""
            return f"{who}: {facts.get('before')} → {facts.get('phase')}{by}"
        case "kill":
            return _of_kill(facts)
        case "reload":
            problems = "" if facts.get("successful") else ": " + "; ".join(facts.get("problems", ()))
            stays = "is in force" if facts.get("successful") else "stays in force"
            return f"{facts.get('cause')}: generation {facts.get('generation')} {stays}{problems}"
        case _:
            rest = (f"{name} {facts[name]}" for name in facts if name not in {"time", "principal", "agent", "detail"})
            return "  ".join(filter(None, (who, facts.get("detail") or ", ".join(rest))))


def _of_kill(facts: dict[str, Any]) -> str:
    whom = ", ".join(f"{name} {facts[name]}" for name in _TARGETS if facts.get(name))
    return f"{facts.get('action')} {whom}, by {facts.get('actor')}: {facts.get('reason')}"
