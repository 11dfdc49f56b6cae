"""Who may call the admin listener: whoever is on the machine, who has its token, a principal with its role."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from aiogate import Exchange, Principal, Refusal, hookimpl, refusal
from aiogate.errors import SettingsError
from aiogate.journal.reader import records
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous
from tests.proxy.test_fidelity import connect

TOKEN = "a-token-that-nobody-guesses"
OLGA, BOB = f"agk_olga_{'a' * 64}", f"agk_bob_{'b' * 64}"
ANYWHERE = "0.0.0.0:0"


def key(text: str, principal: str, *roles: str) -> dict[str, Any]:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"id": principal, "sha256": digest, "principal": principal, "roles": roles}


@asynccontextmanager
async def listening(path: Path, *, keys: bool = False, **admin: Any) -> AsyncIterator[RunningGateway]:
    async with fake_agent() as agent:
        config: dict[str, Any] = {**anonymous(agent.url), "admin": admin}
        if keys:
            config["pipeline"] = {"plugins": ["api_keys"]}
            config["plugins"] = {"api_keys": {"keys": [key(OLGA, "olga", "operator"), key(BOB, "bob")]}}
        async with running_gateway(config, path, environ={"TOKEN": TOKEN}) as gateway:
            port = gateway.admin_url.rpartition(":")[2]
            gateway.admin_url = f"http://127.0.0.1:{port}"
            yield gateway


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


async def asked(
    client: aiohttp.ClientSession, gateway: RunningGateway, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    async with client.get(gateway.admin_url + path, headers=headers) as response:
        is_problem = response.content_type == "application/problem+json"
        return response.status, (await response.json(content_type=None))["code"] if is_problem else None


@pytest.mark.parametrize(
    "proof", [{"token": "${TOKEN}"}, {"token_sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}], ids=str
)
@pytest.mark.parametrize("listen", [ANYWHERE, "127.0.0.1:0"])
async def test_where_there_is_a_token_it_is_asked_for(
    proof: dict[str, str], listen: str, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with listening(tmp_path, listen=listen, **proof) as gateway:
        for path in ("/metrics", "/api/status", "/readyz?verbose", "/api/nothing"):
            assert await asked(client, gateway, path) == (401, "unauthenticated")
            for wrong in (TOKEN[:-1], TOKEN + "x", "", "ü"):
                assert (await asked(client, gateway, path, bearer(wrong)))[0] == 401
        assert await asked(client, gateway, "/api/status", bearer(TOKEN)) == (200, None)
        assert await asked(client, gateway, "/api/nothing", bearer(TOKEN)) == (404, "not_found")
        for path in ("/livez", "/readyz", "/healthz"):
            assert await asked(client, gateway, path) == (200, None)


async def test_a_principal_with_the_role_steers_and_is_named_in_the_journal(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with listening(tmp_path, keys=True, listen=ANYWHERE) as gateway:
        assert await asked(client, gateway, "/api/status") == (401, "unauthenticated")
        assert await asked(client, gateway, "/api/status", bearer(BOB)) == (403, "role_required")
        assert await asked(client, gateway, "/api/status", bearer(OLGA[:-1] + "c")) == (401, "unauthenticated")
        assert await asked(client, gateway, "/api/status", bearer(OLGA)) == (200, None)
        said = {"agent": "echo", "reason": "it spends", "actor": "somebody-else"}
        async with client.post(f"{gateway.admin_url}/api/kills", json=said, headers=bearer(OLGA)) as response:
            assert response.status == 200
    found = await asyncio.to_thread(lambda: list(records(tmp_path / "journal", actions=True)))
    [action] = [record for record in found if record.get("kind") == "action"]
    assert (action["actor"], action["agent"], action["reason"]) == ("olga", "echo", "it spends")


class Doubts:
    """Names somebody, and then refuses."""

    enforces = frozenset({"principal"})

    @hookimpl
    def pre_request(self, exchange: Exchange) -> Refusal:
        exchange.principal = Principal(id="olga", roles=frozenset({"operator"}))
        return refusal("unauthenticated", "on second thoughts")


class Silent:
    """Knows nobody."""

    enforces = frozenset({"principal"})

    @hookimpl
    def pre_request(self, exchange: Exchange) -> None:
        """Leave it to others."""


async def test_whom_a_plugin_names_and_then_refuses_is_nobody(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent:
        pipeline = {"plugins": ["doubts", "silent"]}
        config = {**anonymous(agent.url), "pipeline": pipeline, "admin": {"listen": ANYWHERE}}
        plugins = {"doubts": Doubts, "silent": Silent}
        async with running_gateway(config, tmp_path, plugins) as gateway:
            gateway.admin_url = f"http://127.0.0.1:{gateway.admin_url.rpartition(':')[2]}"
            assert await asked(client, gateway, "/api/status") == (401, "unauthenticated")


async def test_a_gateway_that_anybody_could_steer_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"admin.listen: 0.0.0.0:0 can be reached from other machines.*admin.token"):
        async with listening(tmp_path, listen=ANYWHERE):
            pass


async def test_on_loopback_a_foreign_page_reaches_nothing(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Neither by a form nor by a name of its own that it has pointed to this machine."""
    async with listening(tmp_path) as gateway:
        for host in ("evil.example", "evil.example:9090"):
            for path in ("/api/status", "/api/openapi.json", "/metrics", "/readyz?verbose", "/"):
                assert await asked(client, gateway, path, {"Host": host}) == (403, "foreign_origin"), path
            for path in ("/livez", "/readyz", "/healthz"):
                async with client.get(f"{gateway.admin_url}{path}", headers={"Host": host}) as response:
                    assert response.status == 200, path
        for host in ("localhost:9090", "127.0.0.1", "[::1]:9090"):
            assert await asked(client, gateway, "/api/status", {"Host": host}) == (200, None)
        own = gateway.admin_url
        for headers, status in (
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "cross-site", "Origin": own}, 403),
            ({"Origin": "http://evil.example"}, 403),  # as a page has it that calls http://0.0.0.0
            ({"Origin": "null"}, 403),
            ({"Origin": own}, 200),
        ):
            async with client.post(f"{own}/api/reload", headers=headers) as response:
                assert (headers, response.status) == (headers, status)


async def test_a_reload_that_takes_the_token_away_opens_nothing(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with listening(tmp_path, listen=ANYWHERE, token="${TOKEN}") as gateway:
        config: dict[str, Any] = anonymous("http://127.0.0.1:1")
        gateway.configure({**config, "admin": {"listen": "127.0.0.1:9999"}})
        assert (await gateway.gateway.reloads.reload("test")).successful
        assert await asked(client, gateway, "/api/status") == (401, "unauthenticated")


async def test_a_token_in_what_is_no_http_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with listening(tmp_path, token="${TOKEN}") as gateway:
        for line in (f"Authorization : Bearer {TOKEN}", f"Authorization: Bearer {TOKEN}\x01"):
            reader, writer = await connect(gateway.admin_url)
            writer.write(f"GET /api/status HTTP/1.1\r\nHost: localhost\r\n{line}\r\n\r\n".encode())
            assert (await reader.readline()).split()[1] == b"400"
            writer.close()
    assert TOKEN not in caplog.text
