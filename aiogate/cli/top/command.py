"""Runs ``aiogate top``: looks, draws, hears keys, and does what they ask for."""

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import attrs
import click
import orjson

from aiogate.cli.actor import current_actor
from aiogate.cli.operators import admin_options, answer_of, ask, bearer, url_of
from aiogate.cli.top.board import Board, Kill, Quit
from aiogate.cli.top.looks import Looks
from aiogate.errors import AiogateError

__all__ = ["top"]

_DRAWN_SECONDS: Final = 0.25
_OK: Final = 200
_WIDTH: Final = 100
"""Of what is printed where there is no terminal."""


@click.command(
    help="""Watch a running gateway: its agents, its budgets by burn, every open exchange; sort, filter, and kill one.

    \b
    Example:
        aiogate top
        aiogate top --once --json | jq '.exchanges | length'

    s changes the order, / filters by whatever names an exchange, the arrows mark one and k ends it, for a reason that
    you give. Rates, errors and times are of the last ten seconds. It works over ssh, at 80 columns, without colour
    (NO_COLOR) and, page by page, on a terminal that cannot move its cursor (TERM=dumb).
    """
)
@admin_options
@click.option(
    "--interval", type=click.FloatRange(min=0.2), default=1.0, show_default=True, help="Seconds between looks."
)
@click.option("--once", is_flag=True, help="Show it once and end; so it is where stdout is no terminal.")
@click.option("--json", "as_json", is_flag=True, help="What there is to see, once, for scripts.")
def top(config: Path, admin: str | None, *, interval: float, once: bool, as_json: bool) -> None:
    """Watch until q or Ctrl-C."""
    url = url_of(config, admin)
    if as_json:
        click.echo(orjson.dumps(answer_of(url, "/api/live"), option=orjson.OPT_INDENT_2))
    elif once or not sys.stdout.isatty():
        _show_once(url)
    else:
        with contextlib.suppress(KeyboardInterrupt):
            _watch(url, interval)


def _show_once(url: str) -> None:
    from rich.console import Console  # noqa: PLC0415 - it takes long to import

    from aiogate.cli.top.screen import screen  # noqa: PLC0415 - likewise

    looks, board = Looks(), Board()
    looks.add(answer_of(url, "/api/live"))
    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False, markup=False)
    count = len(looks.last["exchanges"]) if looks.last else 0
    console.print(screen(url, looks, board, "", console.width, count + 100))


@attrs.define
class _Watcher:
    """Looks at the gateway from a thread, so that keys are heard meanwhile."""

    url: str
    interval: float
    headers: dict[str, str]
    found: dict[str, Any] | None = None
    trouble: str = ""
    _soon: threading.Event = attrs.field(factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._run, name="aiogate-top", daemon=True).start()

    def look_soon(self) -> None:
        self._soon.set()

    def take(self) -> dict[str, Any] | None:
        """Return what was seen since the last time."""
        found, self.found = self.found, None
        return found

    def _run(self) -> None:
        while True:
            try:
                self.found, self.trouble = answer_of(self.url, "/api/live", headers=self.headers), ""
            except AiogateError as error:
                self.trouble = str(error)
            self._soon.wait(self.interval)
            self._soon.clear()


def _watch(url: str, interval: float) -> None:
    from rich.console import Console  # noqa: PLC0415 - it takes long to import
    from rich.live import Live  # noqa: PLC0415 - likewise

    from aiogate.cli.top.keys import pressed  # noqa: PLC0415 - termios is not everywhere
    from aiogate.cli.top.screen import screen  # noqa: PLC0415 - likewise

    looks, board, watcher = Looks(), Board(), _Watcher(url, interval, bearer())
    watcher.start()
    console = Console(highlight=False, markup=False, no_color=bool(os.environ.get("NO_COLOR")))
    is_dumb = console.is_dumb_terminal

    def drawn() -> Any:  # noqa: ANN401 - whatever rich renders
        return screen(url, looks, board, watcher.trouble, console.width, console.height)

    with pressed() as keys, Live(console=console, screen=not is_dumb, auto_refresh=False) as live:
        while True:
            found = watcher.take()
            if found is not None:
                looks.add(found)
            if not is_dumb:
                live.update(drawn(), refresh=True)
            elif found is not None:
                console.print(drawn(), "", sep="\n")
            if keys is None:
                time.sleep(_DRAWN_SECONDS)
                continue
            for key in keys.within(_DRAWN_SECONDS):
                asked = board.press(key)
                if isinstance(asked, Quit):
                    return
                if isinstance(asked, Kill):
                    board.said = _killed(url, asked)
                    watcher.look_soon()


def _killed(url: str, kill: Kill) -> str:
    """End an exchange; return what came of it."""
    said = {"request": kill.request_id, "reason": kill.reason, "actor": current_actor()}
    try:
        status, answer = ask(url, "POST", "/api/kills", said)
    except AiogateError as error:
        return str(error)
    if status != _OK:
        detail = answer.get("detail") if isinstance(answer, dict) else None
        return f"not killed: {detail or status}"
    return f"{kill.request_id[:8]} is killed"
