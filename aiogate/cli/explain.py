"""``aiogate explain``: what becomes of a request and why, step by step; imagined, or one of the journal's."""

import asyncio
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import attrs
import click
import orjson

from aiogate.cli.imagine import Callers, imagined, of_record, unknown_of
from aiogate.cli.steps import Ended, Step, Steps, who, why
from aiogate.errors import AiogateError, Refusal, Refused
from aiogate.exchange import Exchange
from aiogate.hookspecs import Finding
from aiogate.journal.backwards import newest_first
from aiogate.journal.pretty import pretty
from aiogate.journal.reader import Record, ends
from aiogate.pipeline.load import load

__all__ = ["explain"]

_REQUEST_ID: Final = re.compile(r"[0-9a-f]{32}")
_SIGNS: Final = {"passes": "+", "denies": "x", "would deny": "o", "unknown": "?"}


@attrs.frozen(kw_only=True)
class _Explained:
    """An exchange, its steps and its end. ``record`` is what the journal has of it, if it is the journal's."""

    exchange: Exchange
    steps: tuple[Step, ...]
    ended: Ended
    record: Record | None = None

    @property
    def end(self) -> str:
        """What becomes of it, in one line."""
        agent = self.exchange.agent
        if isinstance(self.ended, Refusal):
            return f"refused: {why(self.ended)}"
        if self.ended is not None:
            return "answered by the gateway itself"
        if agent is None:
            return "not sent"
        sent = f"sent to {agent.id}: {self.exchange.method} {agent.url}{self.exchange.path}"
        undecided = [one.rule for step in self.steps for one in step.findings if one.verdict == "unknown"]
        return f"{sent}, unless refused by what the journal cannot tell: {', '.join(undecided)}" if undecided else sent

    def plain(self) -> dict[str, Any]:
        """Return it for JSON."""
        exchange = self.exchange
        return {
            "request": {"method": exchange.method, "path": exchange.full_path, "client": exchange.client_address},
            "principal": exchange.principal.id if exchange.principal else None,
            "steps": [attrs.asdict(step, filter=lambda field, _: field.name != "ends") for step in self.steps],
            "verdict": "refused" if isinstance(self.ended, Refusal) else "answered" if self.ended else "sent",
            "agent": exchange.agent.id if exchange.agent and self.ended is None else None,
            "refusal": _plain(self.ended) if isinstance(self.ended, Refusal) else None,
            **({"record": self.record} if self.record is not None else {}),
        }


@click.command(
    help="""Show what becomes of a request and why: which plugin says what, by which rule, on which values.

    \b
    Example:
        aiogate explain conf/gateway.toml --as alice --agent analytics POST /chat
        aiogate explain 0f3a9c...            an exchange of the journal, by its X-Request-Id

    Nothing is sent and nothing is counted. An exchange of the journal is shown as it ended, and then as the config
    that is there now would take it; the journal holds no headers, no query and no body.
    """
)
@click.argument("what", metavar="CONFIG|REQUEST_ID", envvar="AIOGATE_CONFIG", default="conf/gateway.toml")
@click.argument("method", required=False)
@click.argument("path", required=False)
@click.option("--as", "principal", help="Who calls, by the principal's name in the config; nobody is asked for a key.")
@click.option("--agent", help="Whose PATH it is; without it PATH is the whole one: /agents/analytics/chat.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header of the request.")
@click.option("--body", default="", help="The request's body.")
@click.option("--from", "address", default="127.0.0.1", show_default=True, help="The client's address.")
@click.option("--at", "moment", type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]), help="When: 2026-01-31T22:00:00+01:00.")
@click.option("--budget-share", type=float, help="What is used of the tightest budget: 0.9.")
@click.option("--config", type=click.Path(path_type=Path), envvar="AIOGATE_CONFIG", default=Path("conf/gateway.toml"))
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="The journal, if it is not the config's.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def explain(what: str, method: str | None, path: str | None, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - of click
    """Explain one exchange."""
    if _REQUEST_ID.fullmatch(what):
        explained = _of_journal(what, options["config"], options["directory"])
    elif method is None or path is None:
        msg = "give a METHOD and a PATH, such as: POST /chat"
        raise click.UsageError(msg)
    else:
        explained = _of_request(Path(what), method, path, options)
    if as_json:
        click.echo(orjson.dumps(explained.plain(), default=str, option=orjson.OPT_INDENT_2))
    else:
        click.echo("\n".join(_shown(explained)))


def _of_request(file: Path, method: str, path: str, options: dict[str, Any]) -> _Explained:
    settings, pipeline = load(file, os.environ)
    principal = Callers.of(pipeline).named(options["principal"]) if options["principal"] is not None else None
    moment: datetime | None = options["moment"]
    if options["agent"] is not None:
        path = f"/agents/{options['agent']}{path if path.startswith('/') else f'/{path}'}"
    try:
        exchange = imagined(
            settings,
            method.upper(),
            path,
            headers=[_header(text) for text in options["headers"]],
            body=options["body"].encode(),
            address=options["address"],
            moment=moment.timestamp() if moment is not None else None,
            budget_share=options["budget_share"],
        )
    except Refused as refused:
        msg = f"{path}: {refused}"
        raise AiogateError(msg) from refused
    return _walked(exchange, Steps(pipeline, exchange, taken_as=principal))


def _of_journal(request_id: str, config: Path, directory: Path | None) -> _Explained:
    settings, pipeline = load(config, os.environ)
    record = _found(request_id, directory or settings.journal.dir)
    principal, is_known = Callers.of(pipeline).of_record(record)
    try:
        exchange = of_record(settings, record, principal)
    except Refused:  # the request was no call of an agent
        exchange = imagined(settings, record["method"], "/agents", id=request_id)
        return _Explained(exchange=exchange, steps=(), ended=None, record=record)
    if principal is None:  # it ended before anybody knew who it was; a key of it is not in the journal
        return _Explained(exchange=exchange, steps=(), ended=None, record=record)
    steps = Steps(pipeline, exchange, taken_as=principal, unknown=unknown_of(record, is_known=is_known))
    return attrs.evolve(_walked(exchange, steps), record=record)


def _walked(exchange: Exchange, steps: Steps) -> _Explained:
    ended = asyncio.run(steps.walk())
    return _Explained(exchange=exchange, steps=tuple(steps.taken), ended=ended)


def _found(request_id: str, directory: Path) -> Record:
    for record in newest_first(directory, ends(directory)):
        if record.get("request_id") == request_id:
            return record
    msg = f"the journal in {directory} has no exchange {request_id}"
    raise AiogateError(msg)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        msg = f"expected --header NAME:VALUE, got {text!r}"
        raise click.UsageError(msg)
    return name.strip(), value.strip()


def _plain(refused: Refusal) -> dict[str, Any]:
    return {name: getattr(refused, name) for name in ("status", "code", "rule", "detail")}


def _shown(explained: _Explained) -> Iterator[str]:
    exchange, record = explained.exchange, explained.record
    caller = who(exchange.principal) if exchange.principal is not None else "somebody"
    if record is not None:
        yield pretty(record, dated=True)
        yield from _recorded(record)
        if not explained.steps:
            yield "It never got as far as the rules."
            return
        yield "As the config would take it now:"
    else:
        yield f"{caller}  {exchange.method} {exchange.full_path}  from {exchange.client_address}"
    for number, step in enumerate(explained.steps, 1):
        yield f"{number:3}. {step.plugin:<14}{step.hook:<13}{step.verdict}"
        for finding in step.findings:
            yield from _finding(finding)
        for place, ranked in enumerate(step.ranking, 1):
            yield f"       {place:>2}. {ranked.agent}: {ranked.reason}"
    yield f"  => {explained.end}"


def _recorded(record: Record) -> Iterator[str]:
    for name in ("request_id", "outcome", "code", "rule", "detail", "shadow", "client", "generation"):
        if record.get(name) is not None:
            yield f"     {name:<14}{_value(record[name])}"


def _finding(finding: Finding) -> Iterator[str]:
    yield f"       {_SIGNS[finding.verdict]} {finding.rule}: {finding.verdict} {finding.agent}"
    for line in finding.condition.strip().splitlines():
        yield f"           {line.strip()}"
    for name, value in finding.values.items():
        yield f"             {name} = {_value(value)}"
    for name in finding.missing:
        yield f"             {name} has no value"
    if finding.failure is not None and finding.verdict != "unknown":
        yield f"             failed: {finding.failure}"


def _value(value: object) -> str:
    return orjson.dumps(value, default=str).decode()
