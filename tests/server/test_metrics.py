"""Metrics: all that was promised is there, under names that last, and nothing that a client chooses becomes a label."""

import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
import pytest
import yaml
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from aiogate import Exchange, Usage, hookimpl
from aiogate.agent import Agent
from aiogate.claims import Claim, Counted, Grant, Quota
from aiogate.errors import refusal
from aiogate.exchange import Clock, Outcome, Principal
from aiogate.server.metrics import Metrics
from aiogate.server.shipping_report import shipping_metrics
from aiogate.server.state_probe import StateProbe
from aiogate.state.memory import MemoryState
from aiogate.testing import RunningGateway, fake_agent, running_gateway
from tests.exchanges import an_exchange

AGENTS = 5
DEPLOY = Path(__file__).parents[2] / "conf/deploy"
PROMISED = {
    "requests": "aiogate_exchanges_total",
    "durations": "aiogate_exchange_duration_seconds_bucket",
    "overhead, and time to first byte as added by us": "aiogate_overhead_seconds_bucket",
    "time to first byte as seen": "aiogate_first_byte_seconds_bucket",
    "gap between chunks": "aiogate_stream_gap_seconds_bucket",
    "tokens by class": "aiogate_tokens_total",
    "cost": "aiogate_cost_usd_total",
    "cost by cost centre": "aiogate_cost_center_cost_usd_total",
    "limit decisions": "aiogate_limit_decisions_total",
    "budget spent": "aiogate_budget_spent",
    "budget held": "aiogate_budget_held",
    "budget limit": "aiogate_budget_limit",
    "breaker state": "aiogate_breaker_state",
    "upstream attempts": "aiogate_upstream_attempts_total",
    "exchanges in flight": "aiogate_open_exchanges",
    "hook time per plugin": "aiogate_plugin_hook_seconds_sum",
    "plugin errors": "aiogate_plugin_errors_total",
    "journal lag": "aiogate_journal_unsynced_seconds",
    "state latency": "aiogate_state_seconds_bucket",
    "state degradation": "aiogate_state_degraded",
    "config reload": "aiogate_config_last_reload_successful",
    "build info": "aiogate_build_info",
}
LABELS = {
    *("agent", "outcome", "status", "type", "code", "rule", "limit", "decision", "result", "reason", "cost_center"),
    *("budget", "unit", "state", "endpoint", "plugin", "hook", "kind", "le", "version"),
}
"""All that may be a label: what a config names, and words of ours."""


class Clumsy:
    """A plugin that is called and fails, so that it is counted."""

    @hookimpl
    def pre_request(self, exchange: Exchange) -> None:
        del exchange

    @hookimpl
    def post_response(self, exchange: Exchange) -> None:
        msg = f"it cannot cope with {exchange.id}"
        raise ValueError(msg)


async def streams(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for number in range(3):
        await response.write(b"data: %d\n\n" % number)
    return response


@asynccontextmanager
async def busy(path: Path) -> AsyncIterator[RunningGateway]:
    """Run a gateway that has seen a little of everything."""
    async with fake_agent(streams) as agent:
        config: dict[str, Any] = {
            "server": {"anonymous": True},
            "pipeline": {"plugins": ["clumsy", "policies", "budgets", "breaker", "limits", "cost"]},
            "agents": {
                "one": {"url": agent.url, "rate_limit": "2/hour", "cost_center": "data"},
                "two": {"urls": [agent.url, agent.url.replace("127.0.0.1", "localhost")]},
            },
            "plugins": {
                "policies": {"rule": [{"name": "no-secrets", "deny": 'request.path == "/secret"', "mode": "shadow"}]},
                "budgets": {"budget": [{"name": "team", "tokens": 10_000_000, "period": "day", "per": ["agent"]}]},
                "cost": {"price": [{"agent": "one", "call_usd": 0.01}]},
            },
        }
        async with running_gateway(config, path, {"clumsy": Clumsy}) as gateway:
            gateway.gateway.pipeline.sample()
            async with aiohttp.ClientSession() as session:
                for route in ("/agents/one/x", "/agents/one/secret", "/agents/one/x", "/agents/two/x", "/agents/no/x"):
                    await (await session.get(gateway.url + route)).read()
            yield gateway


async def exposed(gateway: RunningGateway) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.admin_url}/metrics") as response:
        return await response.text()


def samples(text: str) -> list[tuple[str, dict[str, str], float]]:
    return [
        (one.name, dict(one.labels), one.value)
        for family in text_string_to_metric_families(text)
        for one in family.samples
    ]


def named(text: str) -> set[str]:
    """Return the names of all samples, those included that there are none of yet."""
    families = list(text_string_to_metric_families(text))
    counters = {f"{family.name}_total" for family in families if family.type == "counter"}
    return counters | {name for name, _, _ in samples(text)}


def of_redis() -> set[str]:
    """Return the names of what only gateways with Redis have."""
    probe = StateProbe(MemoryState(Clock()), Clock(), lambda coroutine: coroutine.close())
    shipping = SimpleNamespace(behind=0, shipped=0, trouble=None)
    house: Any = SimpleNamespace(shipper=SimpleNamespace(shipping=shipping))
    found = [*probe.metrics(), *shipping_metrics(house)]
    return {one.name for metric in found for one in metric.samples} | {
        f"{metric.name}_total" for metric in found if metric.type == "counter"
    }


async def test_all_that_was_promised_is_there_under_names_that_last(tmp_path: Path) -> None:
    async with busy(tmp_path) as gateway:
        text = await exposed(gateway)
        found = samples(text)
        names = named(text) | of_redis()
        assert {what for what, name in PROMISED.items() if name not in names} == set()
        for name, labels, _ in found:
            assert re.fullmatch(r"aiogate_[a-z_]+", name), name
            assert not re.search(r"_(ms|milliseconds|minutes|kb|nanousd)(_|$)", name), f"{name}: base units alone"
            assert set(labels) <= LABELS, f"{name}: is {set(labels) - LABELS} bounded? then add it here"
        for family in text_string_to_metric_families(text):
            assert family.documentation.endswith((".", "likewise.")), family.name
            if family.type == "counter":
                assert all(one.name.endswith("_total") for one in family.samples), family.name


async def test_what_has_happened_is_counted(tmp_path: Path) -> None:
    async with busy(tmp_path) as gateway:
        found = {(name, *labels.values()): value for name, labels, value in samples(await exposed(gateway))}
        assert found["aiogate_exchanges_total", "one", "completed", "200"] == 2
        assert found["aiogate_refusals_total", "one", "rate_limited", "rate_limit"] == 1
        assert found["aiogate_refusals_total", "", "unknown_agent", ""] == 1
        assert found["aiogate_limit_decisions_total", "one", "admitted", "rate_limit"] == 2
        assert found["aiogate_limit_decisions_total", "one", "refused", "rate_limit"] == 1
        assert found["aiogate_upstream_attempts_total", "one", "2xx"] == 2
        assert found["aiogate_upstream_attempts_total", "two", "2xx"] == 1
        assert found["aiogate_shadow_denials_total", "one", "no-secrets"] == 1
        assert found["aiogate_cost_center_cost_usd_total", "data"] == pytest.approx(0.02)
        assert found["aiogate_first_byte_seconds_count", "one"] == 2
        assert found["aiogate_plugin_hook_seconds_count", "pre_request", "clumsy"] == 5
        assert found["aiogate_plugin_errors_total", "post_response", "clumsy"] == 5
        assert found["aiogate_open_exchanges",] == 0


def test_labels_stay_bounded_whoever_calls_and_whatever_for() -> None:
    """A hundred thousand callers with paths, models, cost centres and rules of their own."""
    metrics, chance, number, outcomes = Metrics(), random.Random(7), count(), list(Outcome)
    agents = [Agent(id=f"agent-{index}", url="http://127.0.0.1:1") for index in range(AGENTS)]
    exchange = an_exchange(ended=1.0, forwarded=0.5, first_byte=0.5, answered=0.5, cost_nanousd=1)

    def word() -> str:
        return f"x{next(number)}"

    for _ in range(100_000):
        exchange.agent, exchange.outcome = chance.choice(agents), chance.choice(outcomes)
        exchange.full_path = exchange.path = f"/{word()}"
        exchange.principal = Principal(id=word(), department=word(), key_id=word(), cost_center=word())
        exchange.status = chance.randrange(200, 600)
        exchange.usage = Usage(source="measured", model=word(), input_tokens=1, output_tokens=1, reasoning_tokens=1)
        exchange.shadow_rules, exchange.refusal, exchange.quotas, exchange.grant = (word(),), None, (), None
        if exchange.outcome is Outcome.REFUSED:
            exchange.refusal = refusal("policy_denied", word(), rule=word())
        else:
            claim = Claim(word(), word(), Counted.WINDOW, 10, 60.0)
            exchange.quotas = (Quota(claim, 9, 0.0),)
            exchange.grant = Grant(next(number), exchange.quotas)
        metrics.ended(exchange)
    found = [one for metric in metrics.known() for one in metric.samples]
    assert len(found) < 20_000
    by_label: dict[tuple[str, str], set[str]] = {}
    for one in found:
        for label, value in one.labels.items():
            by_label.setdefault((one.name, label), set()).add(value)
    assert {place: len(values) for place, values in by_label.items() if len(values) > AGENTS * 200 + 1} == {}
    counted = sum(one.value for one in found if one.name == "aiogate_exchanges_total")
    charged = sum(one.value for one in found if one.name == "aiogate_cost_center_cost_usd_total")
    assert (counted, round(charged * 1e9)) == (100_000, 100_000)


async def test_what_clients_invent_is_no_label(tmp_path: Path) -> None:
    async with fake_agent() as agent:
        config = {"server": {"anonymous": True}, "agents": {"echo": {"url": agent.url}}}
        async with running_gateway(config, tmp_path) as gateway, aiohttp.ClientSession() as session:
            await (await session.get(f"{gateway.url}/agents/echo/x")).release()
            before = len(samples(await exposed(gateway)))
            for index in range(300):
                path = f"/agents/invented-{index}/{index}" if index % 2 else f"/agents/echo/invented-{index}"
                headers = {"X-API-Key": f"invented-{index}", "User-Agent": f"invented-{index}"}
                await (await session.request(f"INVENTED{index}", gateway.url + path, headers=headers)).release()
            text = await exposed(gateway)
            assert "nvented" not in text.replace("INVENTED", "invented")
            assert len(samples(text)) - before < 80


@pytest.mark.parametrize("file", ["grafana-dashboard.json", "alerts.yaml"])
async def test_what_is_deployed_asks_for_metrics_that_there_are(file: str, tmp_path: Path) -> None:
    async with busy(tmp_path) as gateway:
        names = named(await exposed(gateway)) | of_redis()
    text = (DEPLOY / file).read_text()
    whole = orjson.loads(text) if file.endswith(".json") else yaml.safe_load(text)
    asked = [expression for expression in expressions(whole) if "aiogate" in expression]
    assert len(asked) >= 15
    for expression in asked:
        for name in re.findall(r"\baiogate_[a-z_]+", expression):
            assert name in names, f"{file}: there is no {name} in {expression!r}"
        assert expression.count("(") == expression.count(")"), expression


def expressions(whole: Any) -> list[str]:
    """Return all that a dashboard or rules ask Prometheus."""
    if isinstance(whole, dict):
        own = [whole["expr"]] if isinstance(whole.get("expr"), str) else []
        return own + [one for value in whole.values() for one in expressions(value)]
    return [one for value in whole for one in expressions(value)] if isinstance(whole, list) else []


def test_every_alert_says_what_is_wrong_and_what_to_look_at() -> None:
    rules = [
        rule for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
    ]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert len(rule["annotations"]["summary"]) > 10
        assert len(rule["annotations"]["description"]) > 10
