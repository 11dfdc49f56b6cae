"""What a collector gets, over a real socket, from a real gateway."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from aiogate import AiogateError
from aiogate.testing import FakeAgent, RunningGateway, fake_agent, running_gateway

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OPENAI = {"model": "gpt-4o", "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


@attrs.define
class Collector:
    """Takes what is exported; ``metrics`` is by name, of each data point its attributes and its sum."""

    url: str = ""
    spans: list[Span] = attrs.field(factory=list)
    metrics: dict[str, list[tuple[dict[str, Any], float]]] = attrs.field(factory=dict)
    services: set[str] = attrs.field(factory=set)

    def named(self, name: str) -> Span:
        (span,) = [span for span in self.spans if span.name == name]
        return span


def plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    found = Collector()

    async def traces(request: web.Request) -> web.Response:
        for each in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            found.services.add(plain(each.resource.attributes)["service.name"])
            for scope in each.scope_spans:
                found.spans.extend(scope.spans)
        return web.Response(content_type="application/x-protobuf")

    async def metrics(request: web.Request) -> web.Response:
        for each in ExportMetricsServiceRequest.FromString(await request.read()).resource_metrics:
            for scope in each.scope_metrics:
                for metric in scope.metrics:
                    points = getattr(metric, metric.WhichOneof("data")).data_points
                    sums = [
                        (plain(point.attributes), getattr(point, "sum", 0) or point_value(point)) for point in points
                    ]
                    found.metrics[metric.name] = sums
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.add_routes([web.post("/v1/traces", traces), web.post("/v1/metrics", metrics)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
    yield found
    await runner.cleanup()


@contextmanager
def dead_port() -> Iterator[int]:
    """Yield a port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def point_value(point: Any) -> float:
    return getattr(point, point.WhichOneof("value")) if point.DESCRIPTOR.name == "NumberDataPoint" else 0.0


async def answer(request: web.Request) -> web.StreamResponse:
    if request.path.endswith("/broken"):
        return web.Response(status=503)
    if not request.path.endswith("/stream"):
        return web.json_response(OPENAI)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: {}\n\n")
    await asyncio.sleep(0.05)
    await response.write(b"data: [DONE]\n\n")
    return response


@asynccontextmanager
async def exporting(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[RunningGateway, FakeAgent]]:
    async with fake_agent(answer) as agent:
        config = {
            "server": {"anonymous": True},
            "pipeline": {"plugins": ["cost", "otel"]},
            "plugins": {"otel": settings},
            "agents": {"chat": {"url": agent.url, "description": "talks"}},
        }
        async with running_gateway(config, tmp_path) as gateway:
            yield gateway, agent


async def post(gateway: RunningGateway, path: str, **headers: str) -> str:
    async with aiohttp.ClientSession() as client, client.post(gateway.url + path, headers=headers) as response:
        await response.read()
        return response.headers["X-Request-Id"]


async def test_a_call_is_two_spans_in_the_clients_trace(collector: Collector, tmp_path: Path) -> None:
    async with exporting(tmp_path, providers={"chat": "openai"}) as (gateway, agent):
        request_id = await post(gateway, "/agents/chat/v1/chat/completions", traceparent=CALLER)
    server, client = collector.named("POST /agents/chat"), collector.named("chat gpt-4o")
    assert collector.services == {"aiogate"}
    assert {server.trace_id.hex(), client.trace_id.hex()} == {CALLER[3:35]}
    assert server.parent_span_id.hex() == CALLER[36:52]
    assert client.parent_span_id == server.span_id
    assert agent.seen[0].headers["traceparent"] == f"00-{CALLER[3:35]}-{client.span_id.hex()}-01"
    assert (server.kind, client.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    said = plain(server.attributes)
    assert said["http.response.status_code"] == 200
    assert said["http.route"] == "/agents/chat"
    assert said["user.id"] == "anonymous"
    assert (said["aiogate.request_id"], said["aiogate.outcome"]) == (request_id, "completed")
    assert said["aiogate.cost_usd"] > 0
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.agent.id": "chat",
        "gen_ai.agent.description": "talks",
        "gen_ai.response.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
    }.items() <= plain(client.attributes).items()
    assert [event.name for event in client.events] == ["first byte"]
    assert server.start_time_unix_nano <= client.start_time_unix_nano <= client.events[0].time_unix_nano
    assert client.events[0].time_unix_nano <= client.end_time_unix_nano <= server.end_time_unix_nano
    assert abs(server.start_time_unix_nano / 1e9 - time.time()) < 60


async def test_a_trace_that_begins_here_has_the_requests_id(collector: Collector, tmp_path: Path) -> None:
    async with exporting(tmp_path) as (gateway, agent):
        request_id = await post(gateway, "/agents/chat/ask")
    client = collector.named("invoke_agent gpt-4o")
    assert client.trace_id.hex() == request_id
    assert agent.seen[0].headers["traceparent"] == f"00-{request_id}-{client.span_id.hex()}-01"


async def test_a_streams_span_ends_when_the_stream_does(collector: Collector, tmp_path: Path) -> None:
    async with exporting(tmp_path) as (gateway, _):
        await post(gateway, "/agents/chat/stream")
    for span in (collector.named("POST /agents/chat"), collector.named("invoke_agent chat")):
        assert span.end_time_unix_nano - span.start_time_unix_nano >= 50_000_000
    ((said, seconds),) = collector.metrics["gen_ai.client.operation.time_to_first_chunk"]
    assert said["gen_ai.agent.id"] == "chat"
    assert seconds > 0


async def test_failures_and_refusals_say_what_they_were(collector: Collector, tmp_path: Path) -> None:
    async with exporting(tmp_path, names_callers=False) as (gateway, _):
        await post(gateway, "/agents/chat/broken")
        await post(gateway, "/agents/nobody")
    failed, asked, refused = (collector.named(n) for n in ("POST /agents/chat", "invoke_agent chat", "POST /agents"))
    assert plain(failed.attributes)["error.type"] == plain(asked.attributes)["error.type"] == "503"
    assert failed.status.code == asked.status.code == 2
    assert plain(refused.attributes)["aiogate.refusal.code"] == "unknown_agent"
    assert refused.status.code == 0  # the client's mistake is no failure of the server
    assert "user.id" not in plain(failed.attributes)


async def test_metrics_are_by_agent_and_model_and_never_by_caller(collector: Collector, tmp_path: Path) -> None:
    async with exporting(tmp_path) as (gateway, _):
        for number in range(3):
            await post(gateway, f"/agents/chat/{number}")
    tokens = {said["gen_ai.token.type"]: count for said, count in collector.metrics["gen_ai.client.token.usage"]}
    assert tokens == {"input": 21, "output": 9}
    for name in ("http.server.request.duration", "gen_ai.client.operation.duration", "aiogate.cost"):
        ((said, total),) = collector.metrics[name]
        assert total > 0
        assert not any("user" in key or "path" in key for key in said)


@pytest.mark.parametrize(("variable", "spans"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
async def test_what_nobody_wants_is_not_exported(
    variable: str, spans: str, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, spans)
    async with exporting(tmp_path) as (gateway, _):
        await post(gateway, "/agents/chat/ask")
    assert collector.spans == []
    assert bool(collector.metrics) == (variable != "OTEL_SDK_DISABLED")


async def test_a_collector_that_is_away_keeps_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dead_port() as port:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        async with exporting(tmp_path, flush_seconds=0.2) as (gateway, _):
            await post(gateway, "/agents/chat/ask")
            began = time.monotonic()
        assert time.monotonic() - began < 5


async def test_an_exporter_that_there_is_not_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(AiogateError, match="otlp, console or none"):
        async with exporting(tmp_path):
            pass
