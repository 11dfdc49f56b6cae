"""Another config while the gateway runs: all of it in one step, or nothing; what is under way ends as it began."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from aiogate import Exchange, Refusal, hookimpl, refusal
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.configs import anonymous

SECONDS = 10


class Owner:
    """Owns nothing; notes when its lifespan begins and ends, and what it has seen end."""

    notes: list[str]

    def __init__(self) -> None:
        self.number = 0

    @hookimpl
    def lifespan(self, gateway: Any) -> Any:
        self.number = gateway.generation
        return self._owned()

    @asynccontextmanager
    async def _owned(self) -> AsyncIterator[None]:
        self.notes.append(f"{self.number} in")
        yield
        self.notes.append(f"{self.number} out")

    @hookimpl
    def pre_request(self) -> None:
        self.notes.append(f"{self.number} asked")

    @hookimpl
    async def post_response(self) -> None:
        await asyncio.sleep(0)
        self.notes.append(f"{self.number} told")


def owner() -> type[Owner]:
    return type("Noting", (Owner,), {"notes": []})


class Held:
    """An agent whose streams go on until the test lets them end."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.raw_path != "/held":
            return web.Response(body=b"ok")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: first\n\n")
        self.started.set()
        await self.go_on.wait()
        await response.write(b"data: last\n\n")
        return response


def with_plugins(config: dict[str, Any], *names: str, **tables: Any) -> dict[str, Any]:
    return {**config, "pipeline": {"plugins": list(names)}, "plugins": tables}


async def status(client: aiohttp.ClientSession, url: str) -> int:
    async with client.get(url) as response:
        await response.read()
        return response.status


async def admin(client: aiohttp.ClientSession, gateway: RunningGateway, path: str, method: str = "GET") -> Any:
    async with client.request(method, gateway.admin_url + path) as response:
        said = await response.json(content_type=None)
        return {"http_status": response.status, **said}


async def test_another_config_is_in_force_from_one_exchange_to_the_next(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        assert await status(client, f"{gateway.url}/agents/other/x") == 404
        config = anonymous(agent.url)
        gateway.configure({**config, "agents": {"other": config["agents"]["echo"]}})
        said = await admin(client, gateway, "/api/reload", "POST")
        assert (said["http_status"], said["generation"], said["problems"]) == (200, 2, [])
        assert await status(client, f"{gateway.url}/agents/other/x") == 200
        assert await status(client, f"{gateway.url}/agents/echo/x") == 404
    assert [(record["generation"], record["status"]) for record in gateway.records()] == [(1, 404), (2, 200), (2, 404)]


async def test_a_config_that_is_wrong_changes_nothing_and_everybody_who_looks_is_told(
    client: aiohttp.ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        gateway.configure(anonymous(agent.url, rate_limit="often", x=1))
        async with client.post(f"{gateway.admin_url}/api/reload") as response:
            said = await response.json(content_type=None)
            assert (response.status, response.content_type) == (422, "application/problem+json")
        assert said["detail"] == "3 problems; nothing has changed, generation 1 stays in force"
        paths = [problem["path"] for problem in said["problems"]]
        assert paths == ["agents.echo.rate_limit", "agents.echo.rate_limit", "agents.echo.x"]
        assert "agents.echo.x: unknown key" in caplog.text
        verbose = await admin(client, gateway, "/readyz?verbose")
        assert (verbose["http_status"], verbose["generation"]) == (200, 1)
        assert verbose["last_reload"]["problems"] == said["problems"]
        metrics = await text_of(client, f"{gateway.admin_url}/metrics")
        assert "aiogate_config_last_reload_successful 0.0\n" in metrics
        assert "aiogate_config_generation 1.0\n" in metrics
        assert await status(client, f"{gateway.url}/agents/echo/x") == 200
        gateway.configure(anonymous(agent.url))
        assert (await gateway.gateway.reloads.reload("test")).successful
        metrics = await text_of(client, f"{gateway.admin_url}/metrics")
        assert "aiogate_config_last_reload_successful 1.0\n" in metrics
        assert "aiogate_config_generation 2.0\n" in metrics


async def text_of(client: aiohttp.ClientSession, url: str) -> str:
    async with client.get(url) as response:
        return await response.text()


async def test_an_exchange_under_way_ends_on_what_it_began_with(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Its plugin is left when it has ended and the plugin has heard of it, never before."""
    held, noting = Held(), owner()
    async with fake_agent(held) as agent:
        config = with_plugins(anonymous(agent.url), "noting")
        async with running_gateway(config, tmp_path, {"noting": noting}) as gateway, asyncio.timeout(SECONDS):
            async with client.get(f"{gateway.url}/agents/echo/held") as stream:
                await held.started.wait()
                assert (await gateway.gateway.reloads.reload("test")).generation == 2
                assert await status(client, f"{gateway.url}/agents/echo/x") == 200
                said = await admin(client, gateway, "/api/status")
                assert (said["outgoing_generations"], said["open_exchanges"]) == ({"1": 1}, 1)
                assert noting.notes == ["1 in", "1 asked", "2 in", "2 asked", "2 told"]
                held.go_on.set()
                assert (await stream.read()).endswith(b"data: last\n\n")
            while "1 out" not in noting.notes:
                await asyncio.sleep(0)
            assert noting.notes[-2:] == ["1 told", "1 out"]
    assert noting.notes[-1] == "2 out"
    assert sorted(record["generation"] for record in gateway.records()) == [1, 2]


async def test_a_plugin_is_not_left_while_it_hears_of_an_end(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    held, told = Held(), asyncio.Event()

    class Slow(Owner):
        notes: list[str] = []  # noqa: RUF012 - of this test alone

        @hookimpl
        async def post_response(self) -> None:
            await told.wait()
            self.notes.append(f"{self.number} told")

    async with fake_agent(held) as agent:
        config = with_plugins(anonymous(agent.url), "slow")
        async with running_gateway(config, tmp_path, {"slow": Slow}) as gateway, asyncio.timeout(SECONDS):
            async with client.get(f"{gateway.url}/agents/echo/held") as stream:
                await held.started.wait()
                await gateway.gateway.reloads.reload("test")
                held.go_on.set()
                await stream.read()
            while gateway.gateway.house.outgoing:
                await asyncio.sleep(0)
            for _ in range(20):
                await asyncio.sleep(0)
            told.set()
            while "1 out" not in Slow.notes:
                await asyncio.sleep(0)
    assert Slow.notes == ["1 in", "1 asked", "2 in", "1 told", "1 out", "2 out"]


async def test_a_generation_that_nobody_uses_is_left_at_once(tmp_path: Path) -> None:
    noting = owner()
    async with fake_agent() as agent:
        config = with_plugins(anonymous(agent.url), "noting")
        async with running_gateway(config, tmp_path, {"noting": noting}) as gateway, asyncio.timeout(SECONDS):
            await gateway.gateway.reloads.reload("test")
            while "1 out" not in noting.notes:
                await asyncio.sleep(0)
            assert noting.notes == ["1 in", "2 in", "1 out"]


async def test_nothing_is_left_of_the_configs_that_were(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Neither they nor tasks nor descriptors, while calls go on."""

    def open_now() -> tuple[int, int]:
        return len(asyncio.all_tasks()), len([*Path("/proc/self/fd").iterdir()])

    async with fake_agent() as agent:
        config = with_plugins(anonymous(agent.url, rate_limit="1000/second"), "noting", "limits", "cost", "breaker")
        async with running_gateway(config, tmp_path, {"noting": owner()}) as gateway, asyncio.timeout(SECONDS):
            was, before = list[weakref.ref[object]](), (0, 0)
            for turn in range(20):
                assert await status(client, f"{gateway.url}/agents/echo/x") == 200
                was.append(weakref.ref(gateway.gateway.generation.pipeline.plugins["noting"]))
                assert (await gateway.gateway.reloads.reload("test")).successful
                while gateway.gateway.reloads._outgoing._running:
                    await asyncio.sleep(0)
                before = open_now() if turn == 2 else before
            while open_now() != before:  # the totals are open now and then
                await asyncio.sleep(0)
            gc.collect()
            assert [alive for alive in was if alive() is not None] == []


async def test_a_gateway_that_stops_leaves_every_generation(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    held, noting = Held(), owner()
    async with fake_agent(held) as agent:
        config = with_plugins(anonymous(agent.url), "noting")
        async with running_gateway(config, tmp_path, {"noting": noting}) as gateway, asyncio.timeout(SECONDS):
            stream = await client.get(f"{gateway.url}/agents/echo/held")
            await held.started.wait()
            await gateway.gateway.reloads.reload("test")
        assert noting.notes == ["1 in", "1 asked", "2 in", "1 told", "1 out", "2 out"]
        stream.close()
    assert [record["outcome"] for record in gateway.records()] == ["cut"]


class Refuses(Owner):
    """Fails in the hook that the test names, once the first config is in force."""

    notes: list[str] = []  # noqa: RUF012 - every test has a class of its own
    hook = ""

    @hookimpl
    def lifespan(self, gateway: Any) -> Any:
        if self.hook == "lifespan" and gateway.generation > 1:
            raise OSError("port taken")
        return super().lifespan(gateway)

    def inherit(self, previous: object) -> None:
        if self.hook == "inherit":
            raise ValueError(f"not of {type(previous).__name__}")


@pytest.mark.parametrize("hook", ["lifespan", "inherit"])
async def test_a_plugin_that_does_not_start_is_named_and_the_old_one_serves_on(
    hook: str, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Whatever was entered on the way is left again."""
    noting, refuses = owner(), type("Refusing", (Refuses,), {"notes": [], "hook": hook})
    async with fake_agent() as agent:
        config = with_plugins(anonymous(agent.url), "noting", "refuses")
        plugins = {"noting": noting, "refuses": refuses}
        async with running_gateway(config, tmp_path, plugins) as gateway:
            report = await gateway.gateway.reloads.reload("test")
            [problem] = report.problems
            assert (report.generation, problem.path) == (1, "pipeline.plugins")
            assert problem.message.startswith(f"plugin 'refuses', hook '{hook}': ")
            assert noting.notes == ["1 in", "2 in", "2 out"]
            assert await status(client, f"{gateway.url}/agents/echo/x") == 200
            assert all(gateway.gateway.ready().values())


async def test_a_fault_of_ours_leaves_the_old_config_in_force(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    def load() -> Any:
        raise ZeroDivisionError

    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        gateway.gateway.reloads._load = load
        report = await gateway.gateway.reloads.reload("test")
        assert [str(problem) for problem in report.problems] == [
            "the reload failed: ZeroDivisionError; the log has more"
        ]
        assert await status(client, f"{gateway.url}/agents/echo/x") == 200


async def test_counters_survive(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with fake_agent() as agent:
        config = with_plugins(anonymous(agent.url, rate_limit="2/hour"), "limits")
        async with running_gateway(config, tmp_path) as gateway:
            url = f"{gateway.url}/agents/echo/x"
            assert await status(client, url) == 200
            await gateway.gateway.reloads.reload("test")
            assert [await status(client, url), await status(client, url)] == [200, 429]


async def test_a_breaker_that_is_open_stays_open(client: aiohttp.ClientSession, tmp_path: Path) -> None:
    async def fails(_request: web.Request) -> web.Response:
        return web.Response(status=500)

    async with fake_agent(fails) as agent:
        config = with_plugins(anonymous(agent.url), "breaker", breaker={"failures": 2})
        async with running_gateway(config, tmp_path) as gateway:
            url = f"{gateway.url}/agents/echo/x"
            assert [await status(client, url) for _ in range(3)] == [500, 500, 503]
            gateway.configure(with_plugins(anonymous(agent.url), "breaker", breaker={"failures": 9}))
            assert (await gateway.gateway.reloads.reload("test")).successful
            assert await status(client, url) == 503
            [echo] = (await admin(client, gateway, "/api/status"))["agents"]
            assert (echo["id"], echo["breaker"]["phase"]) == ("echo", "open")


async def test_what_takes_a_restart_is_named_and_the_rest_is_in_force(
    client: aiohttp.ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        config = anonymous(agent.url)
        server = {"anonymous": True, "listen": "127.0.0.1:1", "max_body": 3}
        gateway.configure({**config, "server": server, "journal": {"dir": "elsewhere"}})
        said = await admin(client, gateway, "/api/reload", "POST")
        kept = {problem["path"]: problem["message"] for problem in said["needs_restart"]}
        assert sorted(kept) == ["journal.dir", "server.listen"]
        assert kept["server.listen"] == ("stays 127.0.0.1:0 until aiogate is started anew; 127.0.0.1:1 is not in force")
        assert "server.listen: stays 127.0.0.1:0" in caplog.text
        async with client.post(f"{gateway.url}/agents/echo/x", data=b"four") as response:
            assert response.status == 413
        assert len(gateway.records()) == 1


async def test_two_reloads_at_once_come_one_after_the_other(tmp_path: Path) -> None:
    busy, most = 0, 0

    class Slow:
        @hookimpl
        def lifespan(self) -> Any:
            return self._owned()

        @asynccontextmanager
        async def _owned(self) -> AsyncIterator[None]:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            for _ in range(5):
                await asyncio.sleep(0)
            busy -= 1
            yield

    async with fake_agent() as agent:
        async with running_gateway(with_plugins(anonymous(agent.url), "slow"), tmp_path, {"slow": Slow}) as gateway:
            reports = await asyncio.gather(*(gateway.gateway.reloads.reload(str(n)) for n in range(4)))
    assert [report.generation for report in reports] == [2, 3, 4, 5]
    assert most == 1


async def test_who_asks_may_leave_and_the_reload_goes_on(tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        asking = asyncio.create_task(gateway.gateway.reloads.reload("test"))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(SECONDS):
            while gateway.gateway.generation.number < 2:
                await asyncio.sleep(0)


async def test_a_gateway_that_stops_gives_a_reload_up(tmp_path: Path) -> None:
    """The new config is still being read when the gateway stops; it never comes into force."""
    reading, read_on = threading.Event(), threading.Event()
    noting = owner()
    async with fake_agent() as agent:
        config = with_plugins(anonymous(agent.url), "noting")
        async with running_gateway(config, tmp_path, {"noting": noting}) as gateway:
            load = gateway.gateway.reloads._load
            assert load is not None

            def slow() -> Any:
                reading.set()
                read_on.wait(SECONDS)
                return load()

            gateway.gateway.reloads._load = slow
            asking = asyncio.create_task(gateway.gateway.reloads.reload("test"))
            await asyncio.to_thread(reading.wait, SECONDS)
        read_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert noting.notes == ["1 in", "1 out"]


async def test_a_gateway_without_a_file_says_so(tmp_path: Path) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        gateway.gateway.reloads._load = None
        [problem] = (await gateway.gateway.reloads.reload("test")).problems
        assert "without a file" in problem.message


async def test_a_plugin_that_outlives_a_reload_is_the_same_before_and_after(tmp_path: Path) -> None:
    """As long as its settings are the same: the demo agent keeps its port."""
    async with fake_agent() as agent:
        config = with_plugins(anonymous(agent.url), "demo", demo={"listen": "127.0.0.1:0"})
        async with running_gateway(config, tmp_path) as gateway:
            before: Any = gateway.gateway.pipeline.plugins["demo"]
            url = before.url
            assert (await gateway.gateway.reloads.reload("test")).successful
            after: Any = gateway.gateway.pipeline.plugins["demo"]
            assert after is before
            assert after.url == url
            gateway.configure(with_plugins(anonymous(agent.url), "demo", demo={"listen": "[::1]:0"}))
            assert (await gateway.gateway.reloads.reload("test")).successful
            assert gateway.gateway.pipeline.plugins["demo"] is not before


async def test_a_foreign_page_in_an_operators_browser_reloads_nothing(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        headers = {"Sec-Fetch-Site": "cross-site"}
        async with client.post(f"{gateway.admin_url}/api/reload", headers=headers) as response:
            assert response.status == 403
        assert gateway.gateway.generation.number == 1


async def test_a_plugin_that_is_taken_out_decides_nothing_any_more(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    class Never:
        @hookimpl
        def pre_request(self, exchange: Exchange) -> Refusal:
            return refusal("policy_denied", f"never {exchange.target}")

    async with fake_agent() as agent:
        async with running_gateway(with_plugins(anonymous(agent.url), "never"), tmp_path, {"never": Never}) as gateway:
            assert await status(client, f"{gateway.url}/agents/echo/x") == 403
            gateway.configure(anonymous(agent.url))
            await gateway.gateway.reloads.reload("test")
            assert await status(client, f"{gateway.url}/agents/echo/x") == 200


async def test_plugins_that_take_too_long_to_start_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Owner):
        notes: list[str] = []  # noqa: RUF012 - of this test alone

        @asynccontextmanager
        async def _owned(self) -> AsyncIterator[None]:
            if self.number > 1:
                await asyncio.Event().wait()
            yield

    monkeypatch.setattr("aiogate.server.reload._START_SECONDS", 0.01)
    async with fake_agent() as agent:
        async with running_gateway(with_plugins(anonymous(agent.url), "slow"), tmp_path, {"slow": Slow}) as gateway:
            [problem] = (await gateway.gateway.reloads.reload("test")).problems
            assert problem.message == "the plugins have not started within 0.01 s"
