"""``aiogate keys new``: a key, and the block of a config that lets it in."""

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from aiogate import Clock, Principal, Refusal
from aiogate.builtin.api_keys import ApiKeys, ApiKeysConfig
from aiogate.cli.keys import keys
from aiogate.settings.interpolate import interpolate
from aiogate.settings.structure import Structurer
from tests.exchanges import an_exchange


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(keys, ["new", *args], env=env)


def made(*args: str) -> tuple[str, dict[str, Any]]:
    """Return a new key, and the one entry of the block that was printed below it."""
    result = run(*args)
    assert result.exit_code == 0, result.output
    key, _, block = result.stdout.partition("\n\n")
    return key, entry_in(block)


def entry_in(block: str) -> dict[str, Any]:
    [entry] = tomllib.loads(block)["plugins"]["api_keys"]["keys"]
    return entry


def who(key: str, *entries: dict[str, Any], pepper: str | None = None) -> Principal | None:
    """Return whom a gateway whose config has these entries takes the bearer of the key for."""
    problems: list[object] = []
    table = {"keys": list(entries), **({} if pepper is None else {"pepper": pepper})}
    table = interpolate(table, {}, Path(), problems.append)
    config = Structurer(Path()).structure(table, ApiKeysConfig, "plugins.api_keys", problems.append)
    assert config is not None, problems
    exchange = an_exchange()
    exchange.request_headers["X-API-Key"] = key
    answer = ApiKeys(config).pre_request(exchange)
    return None if isinstance(answer, Refusal) else exchange.principal


def test_the_printed_key_is_let_in_by_the_printed_block() -> None:
    key, entry = made("--principal", "alice", "--role", "analyst", "--role", "agent_user", "--department", "data")
    assert who(key, entry) == Principal(
        id="alice", roles=frozenset({"analyst", "agent_user"}), department="data", key_id=entry["id"]
    )


def test_the_block_holds_everything_that_was_asked_for_and_no_more() -> None:
    key, entry = made("--principal", "bob", "--cost-center", "cc-7", "--id", "k-bob", "--network", "10.0.0.0/8")
    assert entry.pop("sha256")
    assert entry == {"id": "k-bob", "principal": "bob", "cost_center": "cc-7", "networks": ["10.0.0.0/8"]}
    assert key.startswith("agk_k-bob_")


def test_the_block_does_not_hold_the_key() -> None:
    result = run("--principal", "alice")
    key = result.stdout.splitlines()[0]
    assert result.stdout.count(key.rpartition("_")[2]) == 1


def test_a_key_has_256_bits_that_no_other_key_has() -> None:
    secrets = {made("--principal", "alice", "--id", "k")[0].removeprefix("agk_k_") for _ in range(20)}
    assert len(secrets) == 20
    assert all(re.fullmatch("[0-9a-f]{64}", secret) for secret in secrets)


def test_the_id_says_whose_key_it_is_and_which_of_them() -> None:
    ids = [made("--principal", "Alice Example@data")[1]["id"] for _ in range(2)]
    assert ids[0] != ids[1]
    assert all(re.fullmatch("alice-example-data-[0-9a-f]{6}", key_id) for key_id in ids)


@pytest.mark.parametrize("principal", ["x" * 300, "§§", "a" * 56 + "-b"])
def test_any_principal_gets_an_id_that_a_config_takes(principal: str) -> None:
    key, entry = made("--principal", principal)
    assert re.fullmatch("[A-Za-z0-9-]{1,64}", entry["id"])
    assert who(key, entry) is not None


@pytest.mark.parametrize("name", ['"; roles = ["admin"]', "a\\b\nc", "Zoë", "${HOME}", "$${x}", "\x7f\t"])
def test_a_strange_name_comes_out_of_the_config_as_it_went_in(name: str) -> None:
    key, entry = made("--principal", name, "--department", name)
    principal = who(key, entry)
    assert principal is not None
    assert (principal.id, principal.department) == (name, name)


def test_a_key_expires_so_many_days_from_now() -> None:
    before = datetime.fromtimestamp(int(Clock().wall()), UTC)
    _, entry = made("--principal", "alice", "--expires", "90d")
    assert timedelta(0) <= entry["expires"] - before - timedelta(days=90) < timedelta(minutes=1)


def test_a_key_expires_at_a_given_time() -> None:
    _, entry = made("--principal", "alice", "--expires", "2199-01-01T00:00:00Z")
    assert entry["expires"] == datetime(2199, 1, 1, tzinfo=UTC)


def test_a_peppered_key_is_let_in_with_the_pepper_alone() -> None:
    result = run("--principal", "alice", "--pepper-env", "AIOGATE_PEPPER", env={"AIOGATE_PEPPER": "salt and more"})
    key, _, block = result.stdout.partition("\n\n")
    assert who(key, entry_in(block), pepper="salt and more") is not None
    assert who(key, entry_in(block), pepper="another") is None


def test_a_pepper_is_named_and_not_shown() -> None:
    result = run("--principal", "alice", "--pepper-env", "AIOGATE_PEPPER", env={"AIOGATE_PEPPER": "salt and more"})
    assert 'pepper = "${AIOGATE_PEPPER}"' in result.stderr
    assert "salt" not in result.output


def test_that_the_key_is_shown_once_is_said_beside_the_output() -> None:
    result = run("--principal", "alice")
    assert "once" in result.stderr
    assert "once" not in result.stdout


def test_scripts_get_the_same_as_json() -> None:
    answer = orjson.loads(run("--principal", "alice", "--expires", "90d", "--json").stdout)
    entry = entry_in(answer["toml"])
    assert answer["settings"] == {**entry, "expires": entry["expires"].isoformat()}
    assert who(answer["key"], entry) is not None


@pytest.mark.parametrize(
    "args, complaint",
    [
        (["--expires", "soon"], "90d"),
        (["--expires", "2199-01-01"], "90d"),
        (["--expires", f"{10**12}d"], "90d"),
        (["--expires", "0d"], "over already"),
        (["--expires", "2001-01-01T00:00:00Z"], "over already"),
        (["--network", "10.0.0.1/8"], "host bits"),
        (["--id", "k_alice"], "letters, digits or '-'"),
        (["--pepper-env", "AIOGATE_NO_SUCH_PEPPER"], "AIOGATE_NO_SUCH_PEPPER"),
        (["--principal", ""], "expected a name"),
    ],
)
def test_what_makes_no_sense_is_refused_and_no_key_is_made(args: list[str], complaint: str) -> None:
    result = run("--principal", "alice", *args)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert not result.stdout


def test_help_begins_with_an_example() -> None:
    for command in ([], ["new"]):
        text = CliRunner().invoke(keys, [*command, "--help"]).output
        assert text.index("aiogate keys new --principal alice") < text.index("Options:")
