"""The admin API and its OpenAPI document say the same: every route is in it, and answers are what it says."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

from aiogate.server.admin.table import ROUTES
from aiogate.testing import RunningGateway, fake_agent, running_gateway

OPENAPI = "/api/openapi.json"
STREAMS = {"/api/events"}
"""What does not end by itself."""
HIDDEN = re.compile(r"/siblings/.*")
"""What workers ask each other, on sockets of their own."""


@asynccontextmanager
async def gateway_of_many(path: Path) -> AsyncIterator[RunningGateway]:
    """Run one that has something to say of everything: a call that was served, one that a rule refused, a pause."""
    async with fake_agent() as agent:
        config: dict[str, Any] = {
            "server": {"anonymous": True},
            "pipeline": {"plugins": ["policies", "budgets", "breaker", "limits", "cost"]},
            "agents": {
                "echo": {"url": agent.url, "capabilities": ["chat"], "rate_limit": "100/minute"},
                "twice": {"urls": [agent.url, agent.url.replace("127.0.0.1", "localhost")], "cost_center": "data"},
            },
            "plugins": {
                "policies": {"rule": [{"name": "no-secrets", "deny": 'request.path == "/secret"'}]},
                "budgets": {"budget": [{"name": "team", "tokens": 1000, "period": "day", "per": ["agent"]}]},
                "limits": {"limit": [{"name": "all", "rate": "1000/minute"}]},
            },
        }
        async with running_gateway(config, path) as gateway, aiohttp.ClientSession() as session:
            for route in ("/agents/echo/x", "/agents/twice/x", "/agents/echo/secret"):
                await (await session.get(gateway.url + route)).release()
            asked = {"reason": "deploy", "for": "1h"}
            await (await session.post(f"{gateway.admin_url}/api/agents/twice/pause", params=asked)).release()
            await (await session.post(f"{gateway.admin_url}/api/breaker/echo/close?reason=test")).release()
            yield gateway


async def got(session: aiohttp.ClientSession, gateway: RunningGateway, path: str) -> Any:
    async with session.get(gateway.admin_url + path) as response:
        return await response.json(content_type=None)


async def test_the_document_is_valid_and_has_each_route_of_the_router_and_no_other(tmp_path: Path) -> None:
    async with gateway_of_many(tmp_path) as gateway, aiohttp.ClientSession() as session:
        said = await got(session, gateway, OPENAPI)
        OpenAPIV31SpecValidator(said).validate()
        [runner] = [runner for runner in gateway.gateway._runners if hasattr(runner, "app")]
        routed = {
            (route.method, route.resource.canonical)
            for route in runner.app.router.routes()
            if route.resource is not None and route.method != "HEAD" and not HIDDEN.match(route.resource.canonical)
        }
        documented = {(method.upper(), path) for path, methods in said["paths"].items() for method in methods}
        assert routed == documented
        names = [operation["operationId"] for methods in said["paths"].values() for operation in methods.values()]
        assert len(names) == len(set(names))


async def test_answers_are_what_the_document_says(tmp_path: Path) -> None:
    async with gateway_of_many(tmp_path) as gateway, aiohttp.ClientSession() as session:
        said = await got(session, gateway, OPENAPI)
        asked = 0
        for path, methods in said["paths"].items():
            if "get" not in methods or path in STREAMS or "{" in path:
                continue
            async with session.get(gateway.admin_url + path) as response:
                assert response.status == 200, path
                [(media_type, content)] = methods["get"]["responses"]["200"]["content"].items()
                assert response.content_type == media_type, path
                if media_type == "application/json":
                    assert content["schema"], f"{path}: say in its Route what it answers"
                    check(content["schema"], await response.json())
                    asked += 1
        assert asked >= 10


async def test_what_actions_answer_is_what_the_document_says(tmp_path: Path) -> None:
    async with gateway_of_many(tmp_path) as gateway, aiohttp.ClientSession() as session:
        said = await got(session, gateway, OPENAPI)
        [pause] = await got(session, gateway, "/api/kills")
        actions: list[tuple[str, str, str, dict[str, Any] | None]] = [
            ("POST", "/api/kills", "/api/kills", {"principal": "bob", "reason": "it spends"}),
            ("POST", "/api/agents/{agent}/pause", "/api/agents/echo/pause?reason=deploy", None),
            ("POST", "/api/agents/{agent}/resume", "/api/agents/echo/resume", None),
            ("DELETE", "/api/kills/{id}", f"/api/kills/{pause['id']}", None),
            ("POST", "/api/breaker/{agent}/{verb}", "/api/breaker/echo/open", None),
            ("POST", "/api/reload", "/api/reload", None),
        ]
        for method, template, path, body in actions:
            async with session.request(method, gateway.admin_url + path, json=body) as response:
                assert response.status == 200, await response.text()
                operation = said["paths"][template][method.lower()]
                if body is not None:
                    check(operation["requestBody"]["content"]["application/json"]["schema"], body)
                check(operation["responses"]["200"]["content"]["application/json"]["schema"], await response.json())


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/reload", 405),
        ("POST", "/api/kills", 400),
        ("POST", "/api/breaker/nobody/open", 404),
        ("GET", "/api/usage?by=shoe_size", 400),
        ("GET", "/api/usage?since=yesterday", 400),
        ("DELETE", "/api/kills/k-1", 404),
    ],
)
async def test_what_goes_wrong_is_a_problem(method: str, path: str, status: int, tmp_path: Path) -> None:
    async with gateway_of_many(tmp_path) as gateway, aiohttp.ClientSession() as session:
        said = await got(session, gateway, OPENAPI)
        async with session.request(method, gateway.admin_url + path) as response:
            assert (response.status, response.content_type) == (status, "application/problem+json")
            check(said["components"]["schemas"]["Problem"], await response.json(content_type=None))


def check(schema: dict[str, Any], answer: Any) -> None:
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(answer)


def test_every_route_of_the_api_says_what_it_answers() -> None:
    for route in ROUTES:
        if route.path.startswith("/api/") and route.media_type == "application/json":
            assert route.answer, f"{route.method} {route.path}: say what it answers, as a JSON Schema"
