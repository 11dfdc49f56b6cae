"""A browser: pages of another origin call through the gateway, by ``fetch`` and ``EventSource``: headless Chromium."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest
from aiohttp import web

from tests.e2e.conftest import Served, config, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 40
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium here: nothing shows that pages in a browser work through the gateway"
)

PAGE = """<!doctype html><script type="module">
const { gateway, key } = await (await fetch("/facts")).json();
const said = {};
const text = new TextDecoder();
const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json", "Mcp-Protocol-Version": "1" };
async function attempt(name, what) {
    try { said[name] = await what(); } catch (error) { said[name] = String(error); }
}
await attempt("stream", async () => {
    const answer = await fetch(`${gateway}/agents/assistant/stream`, { method: "POST", headers, body: "{}" });
    const reader = answer.body.getReader();
    const first = text.decode((await reader.read()).value);
    await fetch("/go-on", { method: "POST" });
    let rest = "";
    for (let piece; !(piece = await reader.read()).done; ) rest += text.decode(piece.value);
    return { status: answer.status, id: answer.headers.get("X-Request-Id"), first, rest };
});
await attempt("refused", async () => {
    const answer = await fetch(`${gateway}/agents/restricted/x`, { headers });
    return [answer.status, (await answer.json()).code];
});
await attempt("limited", async () => {
    await fetch(`${gateway}/agents/scarce/x`, { headers });
    const answer = await fetch(`${gateway}/agents/scarce/x`, { headers });
    return [answer.status, answer.headers.has("Retry-After"), answer.headers.has("RateLimit")];
});
await attempt("events", async () => {
    const body = JSON.stringify({ path: "/agents/assistant/events" });
    const { url } = await (await fetch(`${gateway}/tickets`, { method: "POST", headers, body })).json();
    const opened = (address) => new Promise((resolve, reject) => {
        const events = new EventSource(address);
        events.onmessage = (event) => { events.close(); resolve([event.data, event.lastEventId]); };
        events.onerror = () => { events.close(); reject("refused"); };
    });
    const first = await opened(gateway + url);
    return { first, again: await opened(gateway + url).catch((why) => why) };
});
await attempt("stranger", async () => (await fetch(`${gateway}/agents/closed/x`, { headers })).status);
await attempt("broken", async () => {
    const answer = await fetch(`${gateway}/agents/assistant/broken`, { headers });
    const reader = answer.body.getReader();
    try { while (!(await reader.read()).done); return "whole"; } catch (error) { return error.name; }
});
await fetch("/said", { method: "POST", body: JSON.stringify(said) });
</script>"""


@attrs.define
class Site:
    """The page's own server, which hears what the page has seen."""

    url: str = ""
    gateway: str = ""
    key: str = ""
    go_on: asyncio.Event = attrs.field(factory=asyncio.Event)
    said: asyncio.Future[dict[str, Any]] = attrs.field(factory=lambda: asyncio.get_running_loop().create_future())

    async def answer(self, request: web.Request) -> web.Response:
        match request.path:
            case "/facts":
                return web.json_response({"gateway": self.gateway, "key": self.key})
            case "/go-on":
                self.go_on.set()
            case "/said":
                self.said.set_result(orjson.loads(await request.read()))
            case "/":
                return web.Response(text=PAGE, content_type="text/html")
        return web.Response()


@asynccontextmanager
async def listening(handler: Any) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def browsing(url: str, folder: Path) -> AsyncIterator[None]:
    """Have the browser look at a page, and end it with all its processes."""
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage")
    nowhere = asyncio.subprocess.DEVNULL
    browser = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        *options,
        f"--user-data-dir={folder / 'chromium'}",
        "--remote-debugging-port=0",
        url,
        stdout=nowhere,
        stderr=nowhere,
        env={**os.environ, "HOME": str(folder), "NO_PROXY": "127.0.0.1,localhost"},
        start_new_session=True,
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(browser.pid, 9)
        await browser.wait()


@pytest.fixture
async def site() -> Site:
    return Site()


@pytest.fixture
async def agent_url(site: Site) -> AsyncIterator[str]:
    async def agent(request: web.Request) -> web.StreamResponse:
        if request.path not in {"/stream", "/events", "/broken"}:
            return web.json_response({}, headers={"Access-Control-Allow-Origin": "https://elsewhere.example"})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"id: 7\ndata: first\n\n")
        if request.path == "/broken":
            assert request.transport is not None
            request.transport.abort()
        if request.path == "/stream":
            await site.go_on.wait()
            await response.write(b"data: second\n\n")
        return response

    async with listening(agent) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def gateway(agent_url: str, site: Site, tmp_path: Path) -> AsyncIterator[Served]:
    async with listening(site.answer) as port:
        site.url = f"http://localhost:{port}"
        wanted = config(agent_url)
        wanted["server"]["cors"] = {"origins": [site.url]}
        wanted["pipeline"]["plugins"].insert(0, "tickets")
        wanted["plugins"]["tickets"] = {"secret": "0123456789abcdef" * 2}
        cors = {"origins": ["https://other.example"]}
        wanted["agents"]["closed"] = {"url": agent_url, "required_role": "agent_user", "cors": cors}
        async with serving(wanted, tmp_path) as served:
            site.gateway, site.key = served.url, served.key
            yield served


async def test_a_page_of_another_origin_calls_streams_and_hears_refusals(
    gateway: Served, site: Site, tmp_path: Path
) -> None:
    async with browsing(site.url, tmp_path), asyncio.timeout(SECONDS):
        said = await site.said
    assert said["stream"]["first"] == "id: 7\ndata: first\n\n"  # the second was not sent before this one was seen
    assert said["stream"]["rest"] == "data: second\n\n"
    assert (said["stream"]["status"], len(said["stream"]["id"])) == (200, 32)
    assert said["refused"] == [403, "role_required"]
    assert said["limited"] == [429, True, True]
    assert said["events"] == {"first": ["first", "7"], "again": "refused"}
    assert said["stranger"] == "TypeError: Failed to fetch"
    assert said["broken"] == "TypeError"
    seen = [(record["path"].rpartition("/")[2], record["status"], record["outcome"]) for record in gateway.records()]
    assert ("events", 401, "refused") in seen
    assert ("broken", 200, "upstream_failed") in seen
