"""``aiogate keys create|list|show|rotate|revoke``: the keys of the store.

They go to the store that the config names, SQLite beside the journal or Redis, whether a gateway runs or not; with
``--url`` (or ``AIOGATE_ADMIN_URL``) they ask the admin listener of one that runs, and need no config. Either way every
gateway on that store knows within a second, and who did it and why is in the journal.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import click
import orjson

from aiogate.cli.actor import current_actor
from aiogate.cli.key_options import checked_id, label, moment, networks, not_empty, span
from aiogate.cli.operators import admin_options, answer_of
from aiogate.cli.table import table

__all__ = ["COMMANDS"]

_OK: Final = 200
_COLUMNS: Final = ("id", "principal", "roles", "status", "expires", "created")


def _store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command what says where the store is, and ``--json``."""
    as_json = click.option("--json", "as_json", is_flag=True, help="For scripts.")
    return admin_options(as_json(command), "The config that says where the store, the pepper and the journal are.")


def _author_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--actor`` and ``--reason``."""
    reason = click.option("--reason", default="", help="Why, for the journal.")
    actor = click.option("--actor", help="Who; otherwise the user that you are logged in as.")
    return actor(reason(command))


@click.command(
    help="""Make a key in the store; every gateway on it lets the key in within a second.

    \b
    Example:
        aiogate keys create --principal alice --role analyst --expires 90d
        aiogate keys create --principal ci --label team=blue --url 127.0.0.1:9090 --json

    The key is printed once, on stdout; the store has a hash of it. Labels are what policies see as
    principal.attributes.
    """
)
@click.option("--principal", required=True, callback=not_empty, help="Whom the key is for.")
@click.option("--role", "roles", multiple=True, help="A role of the principal; may be given several times.")
@click.option("--department", help="For limits and reports.")
@click.option("--cost-center", help="Who pays.")
@click.option("--label", "labels", multiple=True, callback=label, metavar="NAME=VALUE", help="For policies.")
@click.option("--id", callback=checked_id, help="The public part of the key, as the journal names it.")
@click.option("--expires", callback=moment, help="Until when it is good: 90d, or 2027-01-01T00:00:00Z.")
@click.option("--network", "networks", multiple=True, callback=networks, help="Where it may be used from: a CIDR.")
@_author_options
@_store_options
def create(*, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - the options, each of which is checked
    """Make a key."""
    said = _asked("create", "", options)
    if as_json:
        _print(said)
    else:
        click.echo(said["key"])
        click.echo(f"key {said['id']} of {said['principal']}{_until(said)}; {said['note']}", err=True)


@click.command(
    "list",
    help="""List the keys of the store, those included that were revoked or have expired within 30 days.

    \b
    Example:
        aiogate keys list
    """,
)
@_store_options
def list_keys(*, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - likewise
    """List the keys."""
    keys = _asked("list", "", options)["keys"]
    if as_json:
        _print(keys)
    else:
        rows = [[_cell(key.get(name)) for name in _COLUMNS] for key in keys]
        click.echo(table(_COLUMNS, rows, None, left=len(_COLUMNS)) if rows else "there are no keys in the store")


@click.command(
    help="""Show what is known of a key of the store; its secret nobody knows.

    \b
    Example:
        aiogate keys show alice-3f2a91
    """
)
@click.argument("key_id", metavar="ID")
@_store_options
def show(key_id: str, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - likewise
    """Show a key."""
    _show(_asked("show", key_id, options), as_json=as_json)


@click.command(
    help="""Give a key another secret. The one that it has stays good for a while, so that nobody is left out.

    \b
    Example:
        aiogate keys rotate alice-3f2a91 --overlap 7d
        aiogate keys rotate alice-3f2a91 --overlap 0 --reason "was in a log"

    The id stays, and with it what limits, budgets and the journal know of it. The new key is printed once, on stdout.
    Rotated twice within the overlap, the oldest secret is good no more.
    """
)
@click.argument("key_id", metavar="ID")
@click.option("--overlap", callback=span, default="24h", show_default=True, help="How long both are good: 7d, 12h, 0.")
@click.option("--expires", callback=moment, help="Until when the key is good from now on; else it stays as it is.")
@_author_options
@_store_options
def rotate(key_id: str, *, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - likewise
    """Rotate a key."""
    options["overlap_seconds"] = options.pop("overlap")
    said = _asked("rotate", key_id, options)
    if as_json:
        _print(said)
    else:
        click.echo(said["key"])
        before = f"the one before is good until {said['previous_until']}; " if said["previous_until"] else ""
        click.echo(f"key {said['id']} of {said['principal']}{_until(said)}; {before}{said['note']}", err=True)


@click.command(
    help="""Have a key refused everywhere within a second, for good.

    \b
    Example:
        aiogate keys revoke alice-3f2a91 --kill --reason "laptop stolen"

    What is under way goes on to its end; with --kill it is cut on every gateway, streams with a terminal event, and the
    journal has the outcome "cut".
    """
)
@click.argument("key_id", metavar="ID")
@click.option("--kill", is_flag=True, help="End what is under way with it, too.")
@_author_options
@_store_options
def revoke(key_id: str, *, kill: bool, as_json: bool, **options: Any) -> None:  # noqa: ANN401 - likewise
    """Revoke a key."""
    said = _asked("revoke", key_id, {**options, "kill": kill})
    if as_json:
        _print(said)
    else:
        whose = f" of {said['principal']}" if "principal" in said else ""
        click.echo(f"key {key_id}{whose} is revoked{', and what it had under way is cut' * kill}")


COMMANDS: Final = (create, list_keys, show, rotate, revoke)


def _asked(act: str, key_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked for, by a gateway or by ourselves; raises ``AiogateError``."""
    config, url = options.pop("config"), options.pop("admin")
    actor, reason = options.pop("actor", None) or current_actor(), options.pop("reason", "") or "none given"
    told = {name: _plain(value) for name, value in options.items() if value not in (None, (), {})}
    if url is None:
        from aiogate.cli.store import ask_store  # noqa: PLC0415 - what a gateway is made of takes long to import

        return ask_store(config, act, key_id, told, (actor, reason))
    return _ask_gateway(url, act, key_id, told, {"actor": actor, "reason": reason})


def _ask_gateway(url: str, act: str, key_id: str, told: dict[str, Any], author: Mapping[str, str]) -> dict[str, Any]:
    path = f"/api/keys/{quote(key_id, safe='')}" if key_id else "/api/keys"
    if act in {"rotate", "revoke"}:
        path += f"/{act}"
    asked = ("GET", None) if act in {"list", "show"} else ("POST", {**told, **author})
    said: dict[str, Any] = answer_of(url, path, *asked)
    return said


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else list(value) if isinstance(value, tuple) else value


def _until(said: Mapping[str, Any]) -> str:
    return f" until {said['expires']}" if said["expires"] else ""


def _cell(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value or "-")


def _show(said: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        _print(said)
        return
    for name, value in said.items():
        if value not in (None, [], {}, ""):
            text = (
                ", ".join(f"{one}={what}" for one, what in value.items()) if isinstance(value, dict) else _cell(value)
            )
            click.echo(f"{name.replace('_', ' '):<16} {text}")


def _print(said: object) -> None:
    click.echo(orjson.dumps(said, option=orjson.OPT_INDENT_2))
