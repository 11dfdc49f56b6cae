"""Operators and breakers: what they see of one, what they can do to it by hand, and who finds out that they did."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from click.testing import CliRunner, Result

from aiogate.cli.audit import audit
from aiogate.cli.breaker import breaker
from aiogate.cli.journal import journal
from aiogate.cli.status import status
from aiogate.journal.action import encode_action
from aiogate.journal.pretty import pretty
from aiogate.journal.reader import records
from aiogate.journal.record import RECORD_BYTES
from aiogate.journal.sums import sums
from aiogate.journal.totals import Totals
from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway

SECONDS = 20


@asynccontextmanager
async def running(path: Path, *plugins: str) -> AsyncIterator[tuple[RunningGateway, FakeAgent, aiohttp.ClientSession]]:
    async with asyncio.timeout(SECONDS), fake_agent() as agent:
        config = config_of(agent, *plugins)
        async with running_gateway(config, path) as gateway, aiohttp.ClientSession(gateway.url) as session:
            yield gateway, agent, session


def config_of(agent: FakeAgent, *plugins: str) -> dict[str, Any]:
    return {
        "server": {"anonymous": True},
        "pipeline": {"plugins": list(plugins)},
        "agents": {"support": {"urls": [agent.url]}, "other": {"url": agent.url}},
    }


async def told(gateway: RunningGateway, *arguments: str) -> Result:
    """Run ``aiogate breaker`` as an operator does, beside the loop of the gateway."""
    admin = ["--admin", gateway.admin_url]
    return await asyncio.to_thread(CliRunner().invoke, breaker, [*arguments, *admin])


async def actions(gateway: RunningGateway) -> list[dict[str, Any]]:
    """Return what the journal says of operators."""
    every = await asyncio.to_thread(lambda: list(records(gateway.directory / "journal", actions=True)))
    return [record for record in every if record.get("kind") == "action"]


async def asked(session: aiohttp.ClientSession) -> int:
    async with session.get("/agents/support/x") as answer:
        return answer.status


async def test_an_agent_is_taken_out_of_service_and_put_back_by_hand(tmp_path: Path) -> None:
    async with running(tmp_path, "breaker") as (gateway, agent, session):
        result = await told(gateway, "open", "support", "--reason", "deploy", "--actor", "alice")
        assert (result.exit_code, result.output) == (
            0,
            "agent support is out of service until it is closed or reset\n",
        )
        assert await asked(session) == 503
        assert agent.seen == []
        assert (await told(gateway, "close", "support")).exit_code == 0
        assert await asked(session) == 200
        assert (await told(gateway, "reset", "support", "--json")).exit_code == 0
        first, *_, last = await actions(gateway)
        assert {name: first[name] for name in ("action", "agent", "actor", "reason")} == {
            "action": "breaker.open",
            "agent": "support",
            "actor": "alice",
            "reason": "deploy",
        }
        assert (last["action"], last["reason"]) == ("breaker.reset", "none given")
        assert last["actor"]


async def test_what_was_done_by_hand_survives_a_reload(tmp_path: Path) -> None:
    async with running(tmp_path, "breaker") as (gateway, agent, session):
        await told(gateway, "open", "support")
        gateway.configure(config_of(agent, "breaker", "routing"))
        async with session.post(f"{gateway.admin_url}/api/reload") as answer:
            assert answer.status == 200
        assert await asked(session) == 503


async def test_operators_see_how_every_breaker_is(tmp_path: Path) -> None:
    async with running(tmp_path, "breaker") as (gateway, _, session):
        await told(gateway, "open", "support", "--reason", "deploy", "--actor", "alice")
        async with session.get(f"{gateway.admin_url}/readyz?verbose") as answer:
            [known] = (await answer.json())["breakers"]
            assert (known["agent"], known["phase"], known["actor"]) == ("support", "held_open", "alice")
        async with session.get(f"{gateway.admin_url}/metrics") as answer:
            text = await answer.text()
            assert 'aiogate_breaker_state{agent="support",state="held_open"} 1.0' in text
            assert 'aiogate_breaker_state{agent="support",state="closed"} 0.0' in text
            assert 'aiogate_breaker_state{agent="other",state="closed"} 1.0' in text
            assert 'aiogate_endpoint_well{agent="support",endpoint="127.0.0.1:' in text
            assert 'aiogate_retries_total{agent="support"} 0.0' in text
        shown = await asyncio.to_thread(CliRunner().invoke, status, ["--admin", gateway.admin_url])
        assert "breaker held_open, 0 failures in a row, tried again in 30 s, by alice: deploy" in shown.output
        assert "well, 0 pending" in shown.output


@pytest.mark.parametrize(
    "plugins, arguments, detail",
    [
        (["breaker"], ["open", "suport"], "there is no agent 'suport'"),
        ([], ["open", "support"], 'no plugin in pipeline.plugins is a breaker: add "breaker"'),
    ],
)
async def test_what_cannot_be_done_is_refused_and_not_recorded(
    plugins: list[str], arguments: list[str], detail: str, tmp_path: Path
) -> None:
    async with running(tmp_path, *plugins) as (gateway, _, _session):
        result = await told(gateway, *arguments)
        assert (result.exit_code, str(result.exception)) == (1, detail)
        assert await actions(gateway) == []


async def test_what_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    async with running(tmp_path, "breaker") as (gateway, _, session):
        gateway.gateway.house.journal.close()
        assert "the record could not be written" in str((await told(gateway, "open", "support")).exception)
        async with session.get(f"{gateway.admin_url}/readyz?verbose") as answer:
            assert (await answer.json())["breakers"] == []


async def test_who_reads_the_journal_is_shown_actions_or_passes_them_over(tmp_path: Path) -> None:
    directory = tmp_path / "journal"
    async with running(tmp_path, "breaker") as (gateway, _, session):
        await asked(session)
        await told(gateway, "open", "support", "--reason", "deploy")
        await asked(session)
    await asyncio.to_thread(check_readers, directory)


def check_readers(directory: Path) -> None:
    assert [record["status"] for record in records(directory)] == [200, 503]
    assert len(list(records(directory, actions=True))) == 3
    for command in ([journal, "tail"], [audit, "show"]):
        output = CliRunner().invoke(command[0], [command[1], "--dir", str(directory), "--json"]).output  # type: ignore[arg-type, list-item]
        [action] = [one for one in map(orjson.loads, output.splitlines()) if one.get("kind") == "action"]
        assert pretty(action).split()[-4:] == ["→", "support", "breaker.open:", "deploy"]
    assert CliRunner().invoke(audit, ["verify", str(directory)]).exit_code == 0
    with Totals.of(directory) as totals:
        torn: list[Any] = []
        totals.fold(torn.append)
        [counted] = sums(totals, ("agent",), 0.0).values()
        assert (counted.calls, torn) == (2, [])


@pytest.mark.parametrize("text", ["a" * 1000, '"' * 1000, "\x00" * 1000, "ü" * 1000, "\ud800"])
def test_an_action_fits_into_a_record_whatever_it_says(text: str) -> None:
    line = encode_action(0.0, "breaker.open", agent=text, actor=text, reason=text)
    assert len(line) <= RECORD_BYTES
    assert orjson.loads(line)["kind"] == "action"
