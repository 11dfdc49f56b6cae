"""A2A: an agent and a client, both by a2a-sdk's own classes, with the gateway between them; both generations.

The client knows the address of the agent's card on the gateway, and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

pytest.importorskip("a2a", reason="a2a-sdk is not installed: nothing here shows that A2A works through the gateway")

from a2a.client import A2ACardResolver, AgentCardResolutionError, Client, ClientConfig, ClientFactory
from a2a.helpers import get_message_text, get_stream_response_text, new_task_from_user_message, new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryPushNotificationConfigStore, InMemoryTaskStore, TaskUpdater
from a2a.types import (
    AgentCapabilities,
    AgentCard,
    AgentInterface,
    AgentSkill,
    GetExtendedAgentCardRequest,
    GetTaskRequest,
    ListTaskPushNotificationConfigsRequest,
    Part,
    Role,
    SendMessageRequest,
    SubscribeToTaskRequest,
    TaskPushNotificationConfig,
)
from starlette.applications import Starlette

from tests.e2e.conftest import CALL_NANOUSD, SECONDS, RunApp, Served, config, serving

WORDS = ["once", "upon", "a", "time"]
WAYS = [("JSONRPC", "1.0"), ("JSONRPC", "0.3"), ("HTTP+JSON", "1.0"), ("HTTP+JSON", "0.3")]
"""Binding and generation."""


class Storyteller(AgentExecutor):
    """Greets; asked for a story, tells each word only after the test has reported that the event before is there."""

    def __init__(self) -> None:
        self.reported = asyncio.Semaphore(0)
        self.headers: dict[str, str] = {}

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        self.headers = context.call_context.state["headers"]
        if context.get_user_input() == "a story":
            await self.tell(context, event_queue)
        else:
            await event_queue.enqueue_event(new_text_message(f"hello, {context.get_user_input()}"))

    async def tell(self, context: RequestContext, event_queue: EventQueue) -> None:
        task = new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        for word in WORDS:
            await self.reported.acquire()
            await updater.add_artifact([Part(text=word)])
        await self.reported.acquire()
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError


def card(address: str, way: tuple[str, str]) -> AgentCard:
    binding, version = way
    return AgentCard(
        name="storyteller",
        description="Tells stories, word by word.",
        version="1.0.0",
        documentation_url=f"http://{address}/docs",
        supported_interfaces=[
            AgentInterface(url="http://127.0.0.1:9/", protocol_binding=binding, protocol_version=version),
            AgentInterface(url=f"http://{address}/", protocol_binding=binding, protocol_version=version),
        ],
        capabilities=AgentCapabilities(streaming=True, push_notifications=True, extended_agent_card=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="tell", name="tell", description="Tells a story.", tags=["stories"])],
    )


@pytest.fixture
def agent() -> Storyteller:
    return Storyteller()


@pytest.fixture(params=WAYS, ids="-".join)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


def application(agent: Storyteller, address: str, way: tuple[str, str]) -> Starlette:
    """The agent as an ASGI application, whose card names it by one binding and generation."""
    mine, push = card(address, way), InMemoryPushNotificationConfigStore()
    handler = DefaultRequestHandler(agent, InMemoryTaskStore(), mine, push_config_store=push, extended_agent_card=mine)
    routes = [
        *create_agent_card_routes(mine),
        *create_jsonrpc_routes(handler, "/", enable_v0_3_compat=True),
        *create_rest_routes(handler, enable_v0_3_compat=True),
    ]
    return Starlette(routes=routes)


@pytest.fixture
async def agent_url(agent: Storyteller, run_app: RunApp, way: tuple[str, str]) -> AsyncIterator[str]:
    async with run_app(lambda address: application(agent, address, way)) as url:
        yield url


@pytest.fixture
async def gateway(agent_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    wanted = config(agent_url)
    for agent in wanted["agents"].values():
        agent["protocol"] = "a2a"
    async with serving(wanted, tmp_path) as served:
        yield served


@pytest.fixture
async def http(gateway: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {gateway.key}"}) as client:
        yield client


async def client_of(gateway: Served, http: httpx.AsyncClient, *, streaming: bool = True) -> Client:
    """A client that goes where the card says which the gateway serves."""
    found = await A2ACardResolver(http, f"{gateway.url}/agents/assistant").get_agent_card()
    supported = ["JSONRPC", "HTTP+JSON"]
    settings = ClientConfig(httpx_client=http, streaming=streaming, supported_protocol_bindings=supported)
    return ClientFactory(settings).create(found)


def request(text: str) -> SendMessageRequest:
    return SendMessageRequest(message=new_text_message(text, role=Role.ROLE_USER))


async def test_the_card_leads_to_the_gateway_alone(
    gateway: Served, agent_url: str, http: httpx.AsyncClient, way: tuple[str, str]
) -> None:
    found = await A2ACardResolver(http, f"{gateway.url}/agents/assistant").get_agent_card()
    mine = card(agent_url.removeprefix("http://"), way)
    assert [each.url for each in found.supported_interfaces] == [f"{gateway.url}/agents/assistant/"]
    for each in (found, mine):
        del each.supported_interfaces[:]
    assert found == mine
    [record] = gateway.records()
    assert (record["principal"], record["agent"], record["method"]) == ("alice", "assistant", "GET")
    assert (record["path"], record["status"]) == ("/agents/assistant/.well-known/agent-card.json", 200)
    assert record["outcome"] == "completed"


async def test_a_message_is_answered(gateway: Served, agent: Storyteller, http: httpx.AsyncClient) -> None:
    client = await client_of(gateway, http, streaming=False)
    [event] = [event async for event in client.send_message(request("alice"))]
    assert get_message_text(event.message) == "hello, alice"
    assert agent.headers["x-user-id"] == "alice"
    assert gateway.key not in str(agent.headers)
    record = gateway.records()[-1]
    assert (record["principal"], record["agent"], record["method"]) == ("alice", "assistant", "POST")
    assert (record["status"], record["outcome"]) == (200, "completed")
    assert record["call"] == {"method": "SendMessage"}
    assert (record["usage"], record["cost_nanousd"]) == ({"source": "flat"}, CALL_NANOUSD)


async def test_the_events_of_a_streamed_answer_arrive_one_by_one(
    gateway: Served, agent: Storyteller, http: httpx.AsyncClient, way: tuple[str, str]
) -> None:
    client = await client_of(gateway, http)
    kinds, words = [], []
    async with asyncio.timeout(SECONDS):
        async for event in client.send_message(request("a story")):
            kinds.append(event.WhichOneof("payload"))
            if kinds[-1] == "artifact_update":
                words.append(get_stream_response_text(event))
            agent.reported.release()
    assert kinds == ["task", *["artifact_update"] * len(WORDS), "status_update"]
    assert words == WORDS
    if way[1] == "1.0":
        assert agent.headers["a2a-version"] == "1.0"
    record = gateway.records()[-1]
    assert (record["principal"], record["agent"]) == ("alice", "assistant")
    assert (record["status"], record["outcome"]) == (200, "completed")
    assert record["call"] == {"method": "SendStreamingMessage"}
    assert (record["usage"], record["cost_nanousd"]) == ({"source": "flat"}, CALL_NANOUSD)


async def test_a_task_is_found_again_watched_again_and_told_of(
    gateway: Served, agent: Storyteller, http: httpx.AsyncClient, way: tuple[str, str]
) -> None:
    client = await client_of(gateway, http)
    async with asyncio.timeout(SECONDS):
        async for event in client.send_message(request("a story")):
            task_id = event.task.id
            break  # the client leaves, and the task goes on
        assert (await client.get_task(GetTaskRequest(id=task_id))).id == task_id
        wanted = TaskPushNotificationConfig(id="p", task_id=task_id, url="https://hook.example/x", token="t")
        made = await client.create_task_push_notification_config(wanted)
        assert (made.task_id, made.url) == (task_id, wanted.url)
        listed = ListTaskPushNotificationConfigsRequest(task_id=task_id)
        if way != ("HTTP+JSON", "0.3"):  # the SDK's own client and server of these do not agree about it
            found = await client.list_task_push_notification_configs(listed)
            assert [each.url for each in found.configs] == [wanted.url]
        agent.reported.release()
        async for _ in client.subscribe(SubscribeToTaskRequest(id=task_id)):
            agent.reported.release()
    called = [record["call"]["method"] for record in gateway.records()[1:]]
    expected = {"SendStreamingMessage", "GetTask", "CreateTaskPushNotificationConfig", "SubscribeToTask"}
    assert expected <= set(called)


async def test_the_extended_card_leads_to_the_gateway_too(gateway: Served, http: httpx.AsyncClient) -> None:
    client = await client_of(gateway, http)
    extended = await client.get_extended_agent_card(GetExtendedAgentCardRequest())
    assert {each.url for each in extended.supported_interfaces} == {f"{gateway.url}/agents/assistant/"}


async def test_a_call_that_fails_is_journaled_as_one(
    gateway: Served, http: httpx.AsyncClient, way: tuple[str, str]
) -> None:
    client = await client_of(gateway, http)
    with pytest.raises(Exception, match="not found"):
        await client.get_task(GetTaskRequest(id="nobody's"))
    record = gateway.records()[-1]
    if way[0] == "JSONRPC":
        assert (record["status"], record["call"]) == (200, {"method": "GetTask", "failed": "-32001"})
    else:
        assert (record["status"], record["call"]) == (404, {"method": "GetTask"})


@pytest.mark.parametrize("way", WAYS[:1], ids="-".join)
async def test_without_a_key_no_card_is_shown(gateway: Served) -> None:
    async with httpx.AsyncClient() as http:
        with pytest.raises(AgentCardResolutionError) as caught:
            await A2ACardResolver(http, f"{gateway.url}/agents/assistant").get_agent_card()
    assert caught.value.status_code == 401
    [record] = gateway.records()
    assert (record["principal"], record["status"], record["outcome"]) == (None, 401, "refused")
