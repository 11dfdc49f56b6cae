"""How ``aiogate top`` looks: lines of text, as many and as wide as the terminal has, at 80 columns too.

rich lays them out. Colours only repeat what words say, so that nothing is lost without them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aiogate.cli.figures import budget_line, burn, dollars, shown_quantile
from aiogate.cli.top.board import Board
from aiogate.cli.top.looks import AgentNow, Looks
from aiogate.journal.pretty import duration, size, visible

__all__ = ["screen"]

_AGENTS: Final = 6
_BUDGETS: Final = 3
_LEAST_ROWS: Final = 3
_NARROW: Final = 100
_HOUR_SECONDS: Final = 3600.0
_MINUTE_SECONDS: Final = 60.0
_KEYS: Final = "q quit   s sort   / filter   up, down mark   k kill"
_BUDGET_HEADING: Final = ("budget", "of", "limit", "spent", "held", "left", "used", "burn")
_NARROW_BUDGET: Final = (0, 1, 3, 5, 6, 7)
_HEADING: Final = ("", "age", "principal", "agent", "phase", "bytes", "tokens", "spent", "held", "silent")
_WELL: Final = "well"
_SHORT: Final = {"streaming": "stream", "waiting": "wait", "deciding": "decide"}

Row = tuple[Sequence[str], str]
"""Cells, and the style of all of them."""


def screen(  # noqa: PLR0913, PLR0917 - what there is to show, and where
    url: str, looks: Looks, board: Board, trouble: str, width: int, height: int
) -> RenderableType:
    """Return the whole screen."""
    last = looks.last
    if last is None:
        return Group(Text(f"aiogate  {url}", style="bold"), Text(trouble or "looking ...", style="red"))
    exchanges = board.ordered(last["exchanges"])
    agents, budgets = looks.agents(), _by_burn(last["budgets"], last["time"])[:_BUDGETS]
    above = 4 + len(agents[:_AGENTS]) + (1 + len(budgets) if budgets else 0)
    rows = max(_LEAST_ROWS, height - above - 2)
    parts: list[RenderableType] = [
        _head(url, last, agents, trouble),
        _table(("agent", "state", "open", "rate", "errors", "p50", "p99"), map(_agent, agents[:_AGENTS]), 2),
    ]
    if budgets:
        kept = _NARROW_BUDGET if width < _NARROW else range(len(_BUDGET_HEADING))
        lines = [(budget_line(one, last["time"]), "red" if one["share"] >= 1 else "") for one in budgets]
        heading = [_BUDGET_HEADING[column] for column in kept]
        parts.append(_table(heading, (([line[column] for column in kept], style) for line, style in lines), 2))
    parts += [
        _count(exchanges, len(last["exchanges"]), board),
        _table(_HEADING, (_exchange(one, board) for one in _window(exchanges, board, rows)), 5),
        _foot(board),
    ]
    return Group(*parts)


def _head(url: str, last: Mapping[str, Any], agents: Sequence[AgentNow], trouble: str) -> Text:
    rate = sum(agent.rate for agent in agents)
    when = datetime.fromtimestamp(last["time"], UTC).strftime("%H:%M:%S")
    said = f"aiogate  {url}  {when} UTC  {len(last['exchanges']):,} open  {rate:,.1f}/s"
    text = Text(said, style="bold", no_wrap=True, overflow="ellipsis")
    return text.append(f"  {trouble}", style="red") if trouble else text


def _agent(agent: AgentNow) -> Row:
    cells = (
        visible(agent.id),
        agent.state,
        f"{agent.open:,}",
        f"{agent.rate:,.1f}/s",
        f"{100 * agent.errors:.1f} %" if agent.errors else "0",
        shown_quantile(agent.seconds, 0.5),
        shown_quantile(agent.seconds, 0.99),
    )
    return cells, "" if agent.state == _WELL and not agent.errors else "red"


def _by_burn(budgets: Sequence[Mapping[str, Any]], wall: float) -> list[Mapping[str, Any]]:
    """Return the budgets in the order in which they will run out: spent ones first, then the fastest."""
    return sorted(budgets, key=lambda one: (one["share"] < 1, -(burn(one, wall) or 0.0), -one["share"]))


def _count(exchanges: Sequence[object], whole: int, board: Board) -> Text:
    some = f"{len(exchanges):,} of {whole:,}" if board.wanted else f"{whole:,}"
    wanted = f", with {board.wanted!r}" if board.wanted else ""
    return Text(f"{some} open exchanges by {board.order}{wanted}", style="bold", no_wrap=True, overflow="ellipsis")


def _window(exchanges: list[Mapping[str, Any]], board: Board, rows: int) -> list[Mapping[str, Any]]:
    """Return as many as fit, the marked one among them."""
    at = next((at for at, one in enumerate(exchanges) if one["request_id"] == board.marked), 0)
    first = max(0, at - rows + 1)
    return exchanges[first : first + rows]


def _exchange(one: Mapping[str, Any], board: Board) -> Row:
    is_marked = one["request_id"] == board.marked
    held, tokens, silent = one["held_nanousd"], one["output_tokens"], one["silent_seconds"]
    cells = (
        ">" if is_marked else "",
        _age(one["age_seconds"]),
        visible(one["principal"] or "-"),
        visible(one["agent"] or "-"),
        _SHORT.get(one["phase"], one["phase"]),
        size(one["bytes_out"]),
        "-" if tokens is None else f"{tokens:,}",
        "-" if one["spent_nanousd"] is None else dollars(one["spent_nanousd"]),
        dollars(held) if held else f"{one['held_tokens']:,} t" if one["held_tokens"] else "-",
        "-" if silent is None else _age(silent),
    )
    return cells, "reverse" if is_marked else ""


def _age(seconds: float) -> str:
    if seconds < _MINUTE_SECONDS:
        return duration(seconds)
    if seconds < _HOUR_SECONDS:
        return f"{seconds // _MINUTE_SECONDS:.0f}m{seconds % _MINUTE_SECONDS:02.0f}s"
    return f"{seconds // _HOUR_SECONDS:.0f}h{seconds % _HOUR_SECONDS // _MINUTE_SECONDS:02.0f}m"


def _foot(board: Board) -> Text:
    if board.asking == "filter":
        said = f"filter: {board.typed}_   (enter, escape)"
    elif board.asking == "reason":
        said = f"kill {(board.marked or '')[:8]}, because: {board.typed}_   (enter, escape)"
        said = f"{said}  {board.said}" if board.said else said
    else:
        said = board.said or _KEYS
    return Text(visible(said), style="bold" if board.asking else "", no_wrap=True, overflow="ellipsis")


def _table(heading: Sequence[str], rows: Iterable[Row], left: int) -> Table:
    """Return aligned columns, the first ``left`` of them texts and the others figures."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for column, name in enumerate(heading):
        is_text = column < left
        table.add_column(
            name,
            justify="left" if is_text else "right",
            no_wrap=True,
            overflow="ellipsis",
            max_width=18 if is_text else None,
            min_width=None if is_text else len(name),
        )
    for cells, style in rows:
        table.add_row(*map(Text, cells), style=style)
    return table
