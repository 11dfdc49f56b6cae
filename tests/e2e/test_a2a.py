"""A2A: an agent and a client, both by a2a-sdk's own classes, with the gateway between them."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

pytest.importorskip("a2a", reason="a2a-sdk is not installed: nothing here shows that A2A works through the gateway")

from a2a.client import A2ACardResolver, AgentCardResolutionError, Client, ClientConfig, ClientFactory
from a2a.helpers import get_message_text, get_stream_response_text, new_task_from_user_message, new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part, Role, SendMessageRequest
from starlette.applications import Starlette

from tests.e2e.conftest import CALL_NANOUSD, SECONDS, RunApp, Served

WORDS = ["once", "upon", "a", "time"]


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


def card(address: str) -> AgentCard:
    return AgentCard(
        name="storyteller",
        description="Tells stories, word by word.",
        version="1.0.0",
        supported_interfaces=[
            AgentInterface(url=f"http://{address}/", protocol_binding="JSONRPC", protocol_version="1.0")
        ],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[AgentSkill(id="tell", name="tell", description="Tells a story.", tags=["stories"])],
    )


@pytest.fixture
def agent() -> Storyteller:
    return Storyteller()


@pytest.fixture
async def agent_url(agent: Storyteller, run_app: RunApp) -> AsyncIterator[str]:
    def app(address: str) -> Starlette:
        handler = DefaultRequestHandler(agent, InMemoryTaskStore(), card(address))
        return Starlette(routes=[*create_agent_card_routes(card(address)), *create_jsonrpc_routes(handler, "/")])

    async with run_app(app) as url:
        yield url


@pytest.fixture
async def http(gateway: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {gateway.key}"}) as client:
        yield client


def client_of(gateway: Served, http: httpx.AsyncClient, *, streaming: bool) -> Client:
    """A client that calls where the gateway is: cards are not rewritten, so their user writes that into the card."""
    config = ClientConfig(httpx_client=http, streaming=streaming)
    return ClientFactory(config).create(card(gateway.url.removeprefix("http://") + "/agents/assistant"))


def request(text: str) -> SendMessageRequest:
    return SendMessageRequest(message=new_text_message(text, role=Role.ROLE_USER))


async def test_the_card_arrives_as_the_agent_wrote_it(gateway: Served, agent_url: str, http: httpx.AsyncClient) -> None:
    found = await A2ACardResolver(http, f"{gateway.url}/agents/assistant").get_agent_card()
    assert found == card(agent_url.removeprefix("http://"))
    [record] = gateway.records()
    assert (record["principal"], record["agent"], record["method"]) == ("alice", "assistant", "GET")
    assert (record["path"], record["status"]) == ("/agents/assistant/.well-known/agent-card.json", 200)
    assert record["outcome"] == "completed"


async def test_a_message_is_answered(gateway: Served, agent: Storyteller, http: httpx.AsyncClient) -> None:
    client = client_of(gateway, http, streaming=False)
    [event] = [event async for event in client.send_message(request("alice"))]
    assert get_message_text(event.message) == "hello, alice"
    assert agent.headers["x-user-id"] == "alice"
    assert gateway.key not in str(agent.headers)
    [record] = gateway.records()
    assert (record["principal"], record["agent"], record["method"]) == ("alice", "assistant", "POST")
    assert (record["status"], record["outcome"]) == (200, "completed")
    assert (record["usage"], record["cost_nanousd"]) == ({"source": "flat"}, CALL_NANOUSD)


async def test_the_events_of_a_streamed_answer_arrive_one_by_one(
    gateway: Served, agent: Storyteller, http: httpx.AsyncClient
) -> None:
    client = client_of(gateway, http, streaming=True)
    kinds, words = [], []
    async with asyncio.timeout(SECONDS):
        async for event in client.send_message(request("a story")):
            kinds.append(event.WhichOneof("payload"))
            if kinds[-1] == "artifact_update":
                words.append(get_stream_response_text(event))
            agent.reported.release()
    assert kinds == ["task", *["artifact_update"] * len(WORDS), "status_update"]
    assert words == WORDS
    [record] = gateway.records()
    assert (record["principal"], record["agent"]) == ("alice", "assistant")
    assert (record["status"], record["outcome"]) == (200, "completed")
    assert (record["usage"], record["cost_nanousd"]) == ({"source": "flat"}, CALL_NANOUSD)


async def test_without_a_key_no_card_is_shown(gateway: Served) -> None:
    async with httpx.AsyncClient() as http:
        with pytest.raises(AgentCardResolutionError) as caught:
            await A2ACardResolver(http, f"{gateway.url}/agents/assistant").get_agent_card()
    assert caught.value.status_code == 401
    [record] = gateway.records()
    assert (record["principal"], record["status"], record["outcome"]) == (None, 401, "refused")
