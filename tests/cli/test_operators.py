"""The commands that ask a running gateway: how it is, who does what, what is left; and how they find it."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from aiogate.cli import _aiogate
from aiogate.cli.exits import EXITS
from aiogate.testing import RunningGateway, fake_agent, running_gateway


def run(*args: str, env: dict[str, str | None] | None = None) -> Result:
    nothing: dict[str, str | None] = {"AIOGATE_ADMIN_URL": None, "AIOGATE_ADMIN_TOKEN": None}
    return CliRunner().invoke(_aiogate, args, env={**nothing, **(env or {})})


async def asked(*args: str, **options: Any) -> Result:
    """Run a command beside the gateway that it asks."""
    return await asyncio.to_thread(run, *args, **options)


@pytest.fixture
async def gateway(client: aiohttp.ClientSession, tmp_path: Path) -> AsyncIterator[RunningGateway]:
    """A gateway on which ``support`` was called twice and refused once."""
    limit = {"name": "all", "rate": "1_000/hour"}
    config = {
        "server": {"anonymous": True},
        "pipeline": {"plugins": ["breaker", "budgets", "limits", "cost"]},
        "plugins": {
            "limits": {"limit": [limit]},
            "cost": {"published_prices": False, "price": [{"agent": "support", "call_usd": 0.25}]},
            "budgets": {"budget": [{"name": "day", "usd": 10, "period": "day", "per": ["agent"]}]},
        },
    }
    async with fake_agent() as agent:
        config["agents"] = {"support": {"url": agent.url, "rate_limit": "2/hour"}}
        async with running_gateway(config, tmp_path) as running:
            for _ in range(3):
                await (await client.post(f"{running.url}/agents/support/x", json={})).release()
            yield running


async def test_status_is_one_screen_and_its_exit_code_says_whether_all_is_well(
    client: aiohttp.ClientSession, gateway: RunningGateway
) -> None:
    well = await asked("status", "--url", gateway.admin_url)
    assert (well.exit_code, well.output.splitlines()[0].endswith(", ready, all is well")) == (0, True)
    assert len(well.output.splitlines()) < 24
    await (await client.post(f"{gateway.admin_url}/api/breaker/support/open?actor=me&reason=why")).release()
    unwell = await asked("status", "--url", gateway.admin_url, "--json")
    assert (unwell.exit_code, orjson.loads(unwell.stdout)["unwell"]) == (4, ["agent support: breaker held_open"])
    await (await client.post(f"{gateway.admin_url}/api/breaker/support/reset?actor=me&reason=why")).release()
    killed = await asked("kill", "--principal", "bob", "--reason", "why", "--url", gateway.admin_url)
    assert killed.exit_code == 0
    unwell = await asked("status", "--url", gateway.admin_url)
    assert (unwell.exit_code, unwell.output.splitlines()[0].partition(", ")[2]) == (4, "principal bob killed")
    nobody = await asked("status", "--url", "http://127.0.0.1:1")
    assert (nobody.exit_code, nobody.stderr.startswith("aiogate: no gateway answers at 127.0.0.1:1: ")) == (1, True)


async def test_agents_budgets_and_limits_are_listed_with_what_is_left(gateway: RunningGateway) -> None:
    env: dict[str, str | None] = {"AIOGATE_ADMIN_URL": gateway.admin_url}
    agents = await asked("agents", env=env)
    row = agents.output.splitlines()[2].split()
    assert (row[:5], row[-1]) == (["support", "well", "0", "2", "0"], "$0.5000")
    (agent,) = orjson.loads((await asked("agents", "--json", env=env)).stdout)
    assert (agent["calls"], agent["refused"], 0 < agent["p99_seconds"] < 10) == (3, 1, True)

    (budget,) = orjson.loads((await asked("budgets", "--json", env=env)).stdout)
    assert (budget["spent"], budget["left"]) == (500_000_000, 9_500_000_000)
    shown = (await asked("budgets", env=env)).output.splitlines()[2]
    assert shown.split()[:6] == ["day", "support", "$10.0000", "$0.5000", "$0.00", "$9.5000"]

    own, common = orjson.loads((await asked("limits", "--json", env=env)).stdout)
    assert (own["name"], own["per"], own["limit"], own["left"]) == (
        "rate_limit",
        {"principal": "anonymous", "agent": "support"},
        2,
        0,
    )
    assert (common["name"], common["per"], common["left"], common["seconds"]) == ("all", {}, 998, 3600.0)
    assert 3500 < own["reset_seconds"] <= 3600
    assert 3500 < common["reset_seconds"] <= 3600
    listed = (await asked("limits", "--agent", "support", env=env)).output.splitlines()[2:]
    assert [line.split()[:3] for line in listed] == [["rate_limit", "anonymous,", "support"]]


async def test_asking_what_is_left_takes_nothing(gateway: RunningGateway) -> None:
    for _ in range(3):
        found = orjson.loads((await asked("limits", "--json", "--url", gateway.admin_url)).stdout)
    assert [one["left"] for one in found] == [0, 998]
    assert gateway.gateway.house.state.open_grants == 0


async def test_who_asks_is_proved_by_a_token_that_no_command_line_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []

    async def guarded(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Authorization"))
        right = heard[-1] == "Bearer s3cret"
        return web.json_response([] if right else {"detail": "who?"}, status=200 if right else 401)

    file = tmp_path / "token"
    file.write_text("s3cret\n")
    monkeypatch.delenv("AIOGATE_ADMIN_TOKEN_FILE", raising=False)
    async with fake_agent(guarded) as listener:
        url = ["--url", listener.url]
        assert (await asked("budgets", *url, env={"AIOGATE_ADMIN_TOKEN": "s3cret"})).exit_code == 0
        assert (await asked("budgets", *url, "--token-file", str(file))).exit_code == 0
        assert (await asked("budgets", *url, env={"AIOGATE_ADMIN_TOKEN_FILE": str(file)})).exit_code == 0
        refused = await asked("budgets", *url, env={"AIOGATE_ADMIN_TOKEN": "wr0ng"})
        assert (refused.exit_code, "does not know who asks" in refused.stderr) == (1, True)
        assert "wr0ng" not in refused.output
        nowhere = await asked("budgets", *url, "--token-file", str(tmp_path / "none"))
        assert (nowhere.exit_code, nowhere.stderr.startswith("aiogate: --token-file: ")) == (1, True)
    assert heard == [*["Bearer s3cret"] * 3, "Bearer wr0ng"]


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://a:b@127.0.0.1", "http://"])
def test_a_url_that_is_none_is_said(url: str) -> None:
    result = run("status", "--url", url)
    assert (result.exit_code, result.stderr.startswith("aiogate: --url: expected ")) == (1, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell: str) -> None:
    script = run("completion", shell).output
    assert f"_AIOGATE_COMPLETE={shell}_complete" in script
    if (command := shutil.which(shell)) is not None:
        subprocess.run([command, "-c", script], check=True)


def test_commands_and_options_are_completed() -> None:
    assert completed("aiogate bud") == ["plain,budgets"]
    assert "plain,--refused" in completed("aiogate tail --re")


def completed(line: str) -> list[str]:
    """Return what bash is told that the last word of a line may be."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_AIOGATE_COMPLETE": "bash_complete"}
    command = [sys.executable, "-c", "from aiogate.cli import main; main()"]
    return subprocess.run(
        command, env={**os.environ, **words}, capture_output=True, text=True, check=False
    ).stdout.split()


def test_the_table_of_exit_codes_is_in_the_help() -> None:
    said = " ".join(run("--help").output.partition("Exit codes:")[2].split())
    assert all(f"{code} {sentence}" in said for code, sentence in EXITS.items())
