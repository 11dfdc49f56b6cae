"""``aiogate kill``, ``kills``, ``pause`` and ``resume``, against a gateway that runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
from click.testing import CliRunner, Result

from aiogate.cli import _aiogate
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[RunningGateway]:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), path) as gateway:
        yield gateway


async def told(gateway: RunningGateway, *arguments: str) -> Result:
    environ = {"AIOGATE_ADMIN_URL": gateway.admin_url}
    return await asyncio.to_thread(CliRunner(env=environ).invoke, _aiogate, arguments)


async def status(client: aiohttp.ClientSession, gateway: RunningGateway) -> int:
    async with client.get(f"{gateway.url}/agents/echo/x") as response:
        return response.status


async def test_what_is_killed_is_listed_and_lifted(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        assert (await told(gateway, "kills")).output == "nothing is killed or paused\n"
        done = await told(gateway, "kill", "--agent", "echo", "--for", "10m", "--reason", "it loops", "--actor", "olga")
        assert done.exit_code == 0, done.output
        halt_id, _, rest = done.output.partition(": ")
        assert rest == "agent echo is killed for 10 min; 0 exchanges ended\n"
        assert await status(client, gateway) == 503
        listed = (await told(gateway, "kills")).output.splitlines()
        assert listed[0].split() == ["id", "what", "of", "holds", "by", "since", "(UTC)", "reason"]
        assert listed[2].split()[:7] == [halt_id, "kill", "agent", "echo", "for", "10", "min"]
        assert listed[2].endswith("it loops")
        lifted = await told(gateway, "kills", "lift", halt_id, "--reason", "fixed")
        assert (lifted.exit_code, lifted.output) == (0, f"{halt_id}: agent echo is free again\n")
        assert await status(client, gateway) == 200
        gone = await told(gateway, "kills", "lift", halt_id)
        assert (gone.exit_code, gone.stderr) == (
            1,
            f"aiogate: there is no kill and no pause '{halt_id}'; aiogate kills lists them\n",
        )


async def test_an_agent_is_paused_and_resumed(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        paused = await told(gateway, "pause", "echo", "--reason", "deploy")
        assert paused.output.endswith(": agent echo is paused until it is lifted\n")
        assert await status(client, gateway) == 503
        [said] = orjson.loads((await told(gateway, "kills", "--json")).output)
        assert (said["kind"], said["agent"], said["reason"]) == ("pause", "echo", "deploy")
        assert (await told(gateway, "resume", "echo")).output == "agent echo is called again\n"
        assert await status(client, gateway) == 200


async def test_what_a_kill_lacks_is_said_and_is_an_exit_code(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    """A disk that takes nothing any more must not keep anybody from stopping an agent."""
    async with running(tmp_path) as gateway:
        gateway.gateway.house.journal.close()
        done = await told(gateway, "kill", "--agent", "echo", "--reason", "it loops")
        assert done.exit_code == 4
        assert done.stderr == "aiogate: it is not in the journal, which cannot be written\n"
        assert await status(client, gateway) == 503


async def test_a_kill_of_nothing_or_without_a_reason_is_a_wrong_call(tmp_path: Path) -> None:
    async with running(tmp_path) as gateway:
        for arguments in (("--reason", "x"), ("--agent", "echo")):
            assert (await told(gateway, "kill", *arguments)).exit_code == 2
        typo = await told(gateway, "kill", "--agent", "ecko", "--reason", "x")
        assert (typo.exit_code, typo.stderr) == (1, "aiogate: there is no agent 'ecko'; did you mean 'echo'?\n")
        assert gateway.gateway.house.halts.in_force == ()
