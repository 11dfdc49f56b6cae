"""``aiogate keys``: new API keys, and the part of the config that lets them in.

Knows the form of a key and of its settings; what a key is good for is the ``api_keys`` plugin's business.
"""

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click
import orjson
import tomli_w

from aiogate import Clock

__all__ = ["keys"]

_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_DAYS: Final = re.compile(r"(?P<days>[0-9]+)d")
_SECRET_BYTES: Final = 32
_SUFFIX_BYTES: Final = 3
_LONGEST_SLUG: Final = 57

Context = click.Context
Parameter = click.Parameter


def _checked_id(_context: Context, _parameter: Parameter, text: str | None) -> str | None:
    if text is not None and not _ID.fullmatch(text):
        msg = "expected 1 to 64 letters, digits or '-'"
        raise click.BadParameter(msg)
    return text


def _not_empty(_context: Context, _parameter: Parameter, text: str) -> str:
    if not text:
        msg = "expected a name"
        raise click.BadParameter(msg)
    return text


def _networks(_context: Context, _parameter: Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(text)) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _moment(_context: Context, _parameter: Parameter, text: str | None) -> datetime | None:
    """Return the time that ``90d`` from now or ``2027-01-01T00:00:00Z`` is."""
    if text is None:
        return None
    now = datetime.fromtimestamp(int(Clock().wall()), UTC)
    try:
        days = _DAYS.fullmatch(text)
        moment = now + timedelta(days=int(days["days"])) if days else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment.tzinfo is None:
        msg = f"expected a number of days such as 90d, or a time such as 2027-01-01T00:00:00Z, got {text!r}"
        raise click.BadParameter(msg)
    if moment <= now:
        msg = f"{text} is over already"
        raise click.BadParameter(msg)
    return moment


def _pepper(_context: Context, _parameter: Parameter, name: str | None) -> str | None:
    if name is not None and not os.environ.get(name):
        msg = f"the environment has no {name}, or an empty one"
        raise click.BadParameter(msg)
    return name


@click.group(
    help="""Make API keys.

    \b
    Example:
        aiogate keys new --principal alice --role analyst
    """
)
def keys() -> None:
    """Make API keys."""


@keys.command(
    help="""\b
    Example:
        aiogate keys new --principal alice --role analyst --expires 90d

    Makes a key of 256 random bits, and the block of the config that lets it in. The config gets a hash alone: the key
    itself is shown here and never again.
    """
)
@click.option("--principal", required=True, callback=_not_empty, help="Whom the key is for.")
@click.option("--role", "roles", multiple=True, help="A role of the principal; may be given several times.")
@click.option("--department", help="For limits and reports.")
@click.option("--cost-center", help="Who pays.")
@click.option("--id", "key_id", callback=_checked_id, help="The public part of the key, as the journal names it.")
@click.option("--expires", callback=_moment, help="Until when it is good: 90d, or 2027-01-01T00:00:00Z.")
@click.option("--pepper-env", callback=_pepper, help="The environment variable that holds the pepper of the config.")
@click.option("--network", "networks", multiple=True, callback=_networks, help="Where it may be used from: a CIDR.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def new(
    *,
    principal: str,
    key_id: str | None,
    pepper_env: str | None,
    as_json: bool,
    **facts: Any,  # noqa: ANN401 - the other options, each of which is a setting of the key
) -> None:
    """Print a new key and its settings."""
    key_id = key_id or _new_id(principal)
    key = f"agk_{key_id}_{secrets.token_hex(_SECRET_BYTES)}"
    entry = {"id": key_id, **_fingerprint(key, pepper_env), "principal": principal, **facts}
    _show(key, {name: value for name, value in entry.items() if value}, as_json=as_json)
    click.echo("The key is shown once: give it to its principal now. The block belongs in the config.", err=True)
    if pepper_env is not None:
        click.echo(f'It needs, under [plugins.api_keys], pepper = "${{{pepper_env}}}".', err=True)


def _new_id(principal: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", principal.lower())[:_LONGEST_SLUG].strip("-")
    return f"{slug or 'key'}-{secrets.token_hex(_SUFFIX_BYTES)}"


def _fingerprint(key: str, pepper_env: str | None) -> dict[str, str]:
    """Return what the config holds in the place of the key."""
    if pepper_env is None:
        return {"sha256": hashlib.sha256(key.encode()).hexdigest()}
    return {"hmac_sha256": hmac.digest(os.environ[pepper_env].encode(), key.encode(), "sha256").hex()}


def _show(key: str, entry: Mapping[str, Any], *, as_json: bool) -> None:
    # a config reads ${...} as something to put in, and $${ as what it says
    block = tomli_w.dumps({"plugins": {"api_keys": {"keys": [entry]}}}).replace("${", "$${")
    if as_json:
        click.echo(orjson.dumps({"key": key, "settings": entry, "toml": block}, option=orjson.OPT_INDENT_2))
    else:
        click.echo(f"{key}\n\n{block}", nl=False)
