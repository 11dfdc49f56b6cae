"""``tickets``: one call by a ticket in the query, as the principal who has asked for it, and nothing else."""

import base64
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import orjson
import pytest

from aiogate import Clock
from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway
from tests.state.redis_server import RedisServer, redis_server

KEY = "agk_test_" + "5eed" * 16
BEARER = {"Authorization": f"Bearer {KEY}"}
SECRET = "0123456789abcdef" * 2
EVENTS = "/agents/echo/events"
NOW = 1_800_000_000.0


@attrs.define
class Hand:
    """Moves the gateway's clocks."""

    ahead: float = 0.0

    def clock(self) -> Clock:
        return Clock(monotonic=lambda: time.monotonic() + self.ahead, wall=lambda: NOW + self.ahead)


@asynccontextmanager
async def selling(
    tmp_path: Path, hand: Hand | None = None, *, state: str = "memory://", agent: FakeAgent | None = None, **more: Any
) -> AsyncIterator[tuple[RunningGateway, FakeAgent]]:
    async with fake_agent() as own:
        agent = agent or own
        key = {"id": "test", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "principal": "alice"}
        config = {
            "state": {"url": state},
            "pipeline": {"plugins": ["tickets", "api_keys", "roles", "limits"]},
            "plugins": {
                "tickets": {"secret": SECRET},
                "api_keys": {"keys": [{**key, "roles": ["reader"], "department": "data"}]},
            },
            "agents": {
                "echo": {"url": agent.url, "required_role": "reader", **more},
                "secret": {"url": agent.url, "required_role": "admin"},
            },
        }
        async with running_gateway(config, tmp_path, clock=(hand or Hand()).clock()) as gateway:
            yield gateway, agent


async def sold(gateway: RunningGateway, path: object = EVENTS, status: int = 201, **headers: str) -> dict[str, Any]:
    async with aiohttp.ClientSession(headers={**BEARER, **headers}) as client:
        async with client.post(f"{gateway.url}/tickets", json={"path": path}) as response:
            assert response.status == status, await response.text()
            assert status != 201 or response.headers["Cache-Control"] == "no-store"
            said: dict[str, Any] = await response.json(content_type=None)
            return said


async def used(gateway: RunningGateway, url: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as client:
        async with client.request(method, gateway.url + url, headers=headers) as response:
            said = await response.json(content_type=None)
            return response.status, said.get("detail", "")


async def test_a_ticket_opens_what_it_is_for_once_and_goes_no_further(tmp_path: Path) -> None:
    async with selling(tmp_path) as (gateway, agent):
        said = await sold(gateway)
        assert said["url"] == f"{EVENTS}?ticket={said['ticket']}"
        assert said["expires_in_seconds"] == 30
        url = f"{EVENTS}?a=1&ticket={said['ticket']}&b=%20"
        assert await used(gateway, url) == (200, "")
        assert agent.seen[-1].target == "/events?a=1&b=%20"
        assert agent.seen[-1].headers["X-User-Id"] == "alice"
        status, detail = await used(gateway, url)
        assert (status, detail) == (401, "the ticket is not good: it was used before")
        journal = b"".join(path.read_bytes() for path in (tmp_path / "journal").glob("*.jsonl"))
        asked, opened, again = gateway.records()
        assert (asked["path"], asked["status"], asked["principal"]) == ("/tickets", 201, "alice")
        assert (opened["principal"], opened["department"], opened["key_id"]) == ("alice", "data", "test")
        assert again["status"] == 401
        assert said["ticket"].encode() not in journal


async def test_a_ticket_is_good_for_its_path_and_time_and_for_reading_alone(tmp_path: Path) -> None:
    hand = Hand()
    async with selling(tmp_path, hand) as (gateway, agent):
        said = await sold(gateway)
        ticket = f"?ticket={said['ticket']}"
        for url, method in (
            (f"{EVENTS}/x{ticket}", "GET"),
            (f"/agents/echo{ticket}", "GET"),
            (EVENTS + ticket, "POST"),
        ):
            status, detail = await used(gateway, url, method)
            assert (status, detail) == (401, f"the ticket is not good: it is for GET {EVENTS}")
        assert (await used(gateway, said["url"], Authorization=f"Bearer {KEY}"))[0] == 401
        for spelling in ("ticket=x", "%74icket=x", "tick%65t", "ticket"):
            assert (await used(gateway, f"{said['url']}&{spelling}"))[0] == 401
        hand.ahead = 31.0
        assert await used(gateway, said["url"]) == (401, "the ticket is not good: its time is over")
        assert agent.seen == []


async def test_a_ticket_cannot_be_made_or_changed(tmp_path: Path) -> None:
    async with selling(tmp_path) as (gateway, agent):
        ticket = (await sold(gateway))["ticket"]
        payload, _, signature = ticket.partition(".")
        facts = orjson.loads(base64.urlsafe_b64decode(payload + "=="))
        facts["principal"]["roles"] = ["admin"]
        changed = base64.urlsafe_b64encode(orjson.dumps(facts)).rstrip(b"=").decode()
        status, _ = await used(gateway, f"{EVENTS}?%74icket={changed}.{signature}", Authorization=f"Bearer {KEY}")
        assert status == 401  # however it is spelt, it is one
        for forged in (f"{changed}.{signature}", payload, f"{payload}.", f"{payload}.{signature[:-1]}", "", "%00.x"):
            status, _ = await used(gateway, f"{EVENTS}?ticket={forged}")
            assert status == 401, forged
        assert agent.seen == []


async def test_a_ticket_is_worth_no_more_than_the_key_that_it_was_sold_for(tmp_path: Path) -> None:
    async with selling(tmp_path) as (gateway, agent):
        url = (await sold(gateway))["url"]
        config = (tmp_path / "gateway.toml").read_text()
        write(tmp_path / "gateway.toml", config.replace('id = "test"', 'id = "other"'))
        assert (await gateway.gateway.reloads.reload("test")).successful
        status, detail = await used(gateway, url)
        assert (status, detail) == (401, "the ticket is not good: the key that it was sold for is not good any more")
        assert agent.seen == []


async def test_a_refused_call_has_not_used_its_ticket(tmp_path: Path) -> None:
    hand = Hand()
    async with selling(tmp_path, hand, rate_limit="1/10s") as (gateway, _):
        first, second = await sold(gateway), await sold(gateway)
        assert (await used(gateway, first["url"]))[0] == 200
        assert (await used(gateway, second["url"]))[0] == 429
        hand.ahead = 11.0
        assert (await used(gateway, second["url"]))[0] == 200


async def test_a_ticket_that_would_be_too_long_to_be_taken_is_not_sold(tmp_path: Path) -> None:
    async with selling(tmp_path) as (gateway, _):
        roles = ", ".join(f'"{number:0100}"' for number in range(80))
        config = (tmp_path / "gateway.toml").read_text().replace('"reader",\n]\ndepart', f'"reader", {roles}]\ndepart')
        assert roles in config
        write(tmp_path / "gateway.toml", config)
        assert (await gateway.gateway.reloads.reload("test")).successful
        assert "does not fit" in (await sold(gateway, status=400))["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/agents/secret/x", 403),
        ("/agents/nobody/x", 404),
        ("/agents/echo/x?y=1", 400),
        ("/metrics", 400),
        (7, 400),
        ("//evil.example/agents/echo", 400),
    ],
)
async def test_tickets_are_sold_for_what_the_caller_may_use(path: object, status: int, tmp_path: Path) -> None:
    async with selling(tmp_path) as (gateway, _):
        await sold(gateway, path, status)
        await sold(gateway, EVENTS, 401, Authorization="Bearer agk_nobody")


def write(path: Path, text: str) -> None:
    path.write_text(text)


def make(folder: Path) -> None:
    folder.mkdir()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


async def test_once_is_once_over_all_gateways(tmp_path: Path, server: RedisServer) -> None:
    for name in ("1", "2"):
        make(tmp_path / name)
    async with selling(tmp_path / "1", state=server.url) as (one, agent):
        async with selling(tmp_path / "2", state=server.url, agent=agent) as (other, _):
            url = (await sold(one))["url"]
            assert (await used(other, url))[0] == 200
            assert (await used(one, url))[0] == 401
