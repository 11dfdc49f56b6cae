"""``aiogate policy``: policies tried before they are in force, on a team's own cases and on what the journal holds."""

import os
import sys
from pathlib import Path

import click
import orjson

from aiogate.cli.policy_cases import Result, results_of
from aiogate.cli.policy_replay import Change, Replay, replayed, shown
from aiogate.cli.since import moment
from aiogate.journal.reader import Record

__all__ = ["policy"]


@click.group(
    help="""Try policies before they are in force.

    \b
    Example:
        aiogate policy test conf/policies_test.toml
        aiogate policy replay --since 7d new.toml
    """
)
def policy() -> None:
    """Try policies before they are in force."""


@policy.command(
    help="""Hold the rules of a config against cases: who may call what, and which rule says no.

    \b
    Example:
        aiogate policy test conf/policies_test.toml

    Exits with 0 when every case comes out as expected, with 1 when one does not, with 78 when the file is not in order.
    """
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.pass_context
def test(ctx: click.Context, file: Path, *, as_json: bool) -> None:
    """Run the cases of a file."""
    results = results_of(file, os.environ)
    failed = [result for result in results if not result.passed]
    if as_json:
        plain = {"file": str(file), "failed": len(failed), "cases": [result.plain() for result in results]}
        click.echo(orjson.dumps(plain, option=orjson.OPT_INDENT_2))
    else:
        for result in failed:
            click.echo(_difference(result))
        cases = f"{len(results)} case{'s' if len(results) != 1 else ''}"
        click.echo(f"{file}: {cases}, {f'{len(failed)} failed' if failed else 'all as expected'}")
    ctx.exit(1 if failed else 0)


def _difference(result: Result) -> str:
    case = result.case
    lines = [
        f"{case.name}",
        f"    {case.principal or 'somebody'} -> {case.agent}  {case.request}",
        f"  - {result.expected}",
        f"  + {result.got}",
        *([f"    {result.detail}"] if result.detail else []),
    ]
    return "\n".join([*lines, ""])


@policy.command(
    help="""Run the exchanges of the journal through the rules of another config, and list what would change.

    \b
    Example:
        aiogate policy replay --since 7d new.toml

    The journal holds no headers, no query and no body, and of a principal only the name, the key and the department:
    roles and attributes are those that the new config gives. A rule that needs what nobody knows is undecided.
    With --each and --json there is one line for each exchange, and one for the sums at the end.
    """
)
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--since", default="7d", show_default=True, help="How far back: 7d, 12h, 30m, or 2026-01-31T00:00:00Z.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="The journal, if it is not the config's.")
@click.option("--each", is_flag=True, help="Print each of these exchanges too; aiogate explain REQUEST_ID shows why.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def replay(config: Path, since: str, directory: Path | None, *, each: bool, as_json: bool) -> None:
    """Replay the journal."""
    tell = (_print_json if as_json else _print_line) if each else None
    found: Replay = replayed(config, moment(since), directory, os.environ, tell)
    if as_json:
        click.echo(orjson.dumps(found.plain(), option=0 if each else orjson.OPT_INDENT_2))
    else:
        sys.stdout.writelines(f"{line}\n" for line in shown(found))


def _print_line(record: Record, change: Change) -> None:
    who = f"{record['principal']} -> {record['agent']}"
    sys.stdout.write(f"{record['time']} {record['request_id']}  {who}  {record['method']} {record['path']}: {change}\n")


def _print_json(record: Record, change: Change) -> None:
    names = ("time", "request_id", "principal", "agent", "method", "path")
    told = {**{name: record[name] for name in names}, "before": change.before, "now": change.now}
    sys.stdout.write(f"{orjson.dumps(told).decode()}\n")
