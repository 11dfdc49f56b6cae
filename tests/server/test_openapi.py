"""The admin API and its OpenAPI document say the same: every route is in it, and answers are what it says."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request
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
            "pipeline": {"plugins": ["api_keys", "policies", "budgets", "breaker", "limits", "cost"]},
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
            async with session.post(f"{gateway.admin_url}/api/keys", json={"principal": "alice"}) as response:
                key = (await response.json())["key"]
            for route in ("/agents/echo/x", "/agents/twice/x", "/agents/echo/secret"):
                await (await session.get(gateway.url + route, headers={"X-API-Key": key})).release()
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
            (route.method, route.handler, route.resource.canonical)
            for route in runner.app.router.routes()
            if route.resource is not None and route.method != "HEAD" and not HIDDEN.match(route.resource.canonical)
        }
        documented, names = set(), list[str]()
        for path, methods in said["paths"].items():
            for method, operation in methods.items():
                names.append(operation["operationId"])
                asked = make_mocked_request(method.upper(), filled(path, operation))
                found = await runner.app.router.resolve(asked)
                assert found.http_exception is None, f"{method} {path} is documented, and not served"
                documented.add((method.upper(), found.handler, found.route.resource.canonical))
        assert routed == documented
        assert len(names) == len(set(names)) == len(ROUTES)


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
        [key] = (await got(session, gateway, "/api/keys"))["keys"]
        actions: list[tuple[str, str, str, dict[str, Any] | None]] = [
            ("POST", "/api/keys", "/api/keys", {"principal": "carol", "roles": ["analyst"]}),
            ("GET", "/api/keys/{key}", f"/api/keys/{key['id']}", None),
            ("POST", "/api/keys/{key}/rotate", f"/api/keys/{key['id']}/rotate", {"overlap_seconds": 60}),
            ("POST", "/api/keys/{key}/revoke", f"/api/keys/{key['id']}/revoke", {"kill": True}),
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


def filled(path: str, operation: dict[str, Any]) -> str:
    """Return a path that fits."""
    for one in operation.get("parameters", ()):
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", one["schema"].get("enum", ["something"])[0])
    assert "{" not in path, "a variable of the path is not among the parameters"
    return path


def check(schema: dict[str, Any], answer: Any) -> None:
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(answer)


def test_every_route_of_the_api_says_what_it_answers() -> None:
    for route in ROUTES:
        if route.path.startswith("/api/") and route.media_type == "application/json":
            assert route.answer, f"{route.method} {route.path}: say what it answers, as a JSON Schema"
