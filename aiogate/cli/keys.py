"""``aiogate keys``: API keys, in the store or as the part of a config that lets them in.

Knows the form of a key and of its settings; what a key is good for is the ``api_keys`` plugin's business.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Any

import click
import orjson
import tomli_w

from aiogate.cli.key_options import checked_id, moment, networks, not_empty, pepper
from aiogate.cli.stored_keys import COMMANDS
from aiogate.state.keybook import key_id_for, new_key

__all__ = ["keys"]


@click.group(
    help="""Make API keys, change and revoke them.

    \b
    Example:
        aiogate keys create --principal alice --role analyst
        aiogate keys new --principal alice --role analyst

    create, list, show, rotate and revoke are about the keys of the store, which all gateways know within a second; new
    prints a key for a config.
    """
)
def keys() -> None:
    """Group what is done with keys."""


for _command in COMMANDS:
    keys.add_command(_command)


@keys.command(
    help="""\b
    Example:
        aiogate keys new --principal alice --role analyst --expires 90d

    Makes a key of 256 random bits, and the block of the config that lets it in. The config gets a hash alone: the key
    itself is shown here and never again.
    """
)
@click.option("--principal", required=True, callback=not_empty, help="Whom the key is for.")
@click.option("--role", "roles", multiple=True, help="A role of the principal; may be given several times.")
@click.option("--department", help="For limits and reports.")
@click.option("--cost-center", help="Who pays.")
@click.option("--id", "key_id", callback=checked_id, help="The public part of the key, as the journal names it.")
@click.option("--expires", callback=moment, help="Until when it is good: 90d, or 2027-01-01T00:00:00Z.")
@click.option("--pepper-env", callback=pepper, help="The environment variable that holds the pepper of the config.")
@click.option("--network", "networks", multiple=True, callback=networks, help="Where it may be used from: a CIDR.")
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
    key_id = key_id or key_id_for(principal)
    key = new_key(key_id)
    entry = {"id": key_id, **_fingerprint(key, pepper_env), "principal": principal, **facts}
    _show(key, {name: value for name, value in entry.items() if value}, as_json=as_json)
    click.echo("The key is shown once: give it to its principal now. The block belongs in the config.", err=True)
    if pepper_env is not None:
        click.echo(f'It needs, under [plugins.api_keys], pepper = "${{{pepper_env}}}".', err=True)


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
