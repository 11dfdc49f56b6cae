"""What a request calls: by every generation and binding of A2A, by both eras of MCP, and only where that is clear."""

from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from aiogate.calls import CALL_BYTES, METHODS, Call, call_of


def rpc(method: str, **params: Any) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})


def a2a(body: bytes = b"", *, verb: str = "POST", path: str = "/") -> Call:
    return call_of("a2a", verb, path, CIMultiDict[str](), body)


def mcp(body: bytes | None, verb: str = "POST", **headers: str) -> Call:
    return call_of(
        "mcp", verb, "/mcp", CIMultiDict({name.replace("_", "-"): said for name, said in headers.items()}), body
    )


@pytest.mark.parametrize("old, new", METHODS.items())
def test_a_method_has_one_name_in_both_generations(old: str, new: str) -> None:
    assert a2a(rpc(old)) == a2a(rpc(new)) == Call(protocol="a2a", method=new, id=7)


@pytest.mark.parametrize(
    "verb, path, method",
    [
        ("POST", "/message:send", "SendMessage"),
        ("POST", "/v1/message%3Astream", "SendStreamingMessage"),
        ("POST", "/tenant/tasks/7:cancel", "CancelTask"),
        ("POST", "/Tasks/7:Cancel/", "CancelTask"),
        ("GET", "/v1/tasks/7:subscribe", "SubscribeToTask"),
        ("GET", "/tasks/7", "GetTask"),
        ("HEAD", "/tasks", "ListTasks"),
        ("POST", "/tasks/7/pushNotificationConfigs", "CreateTaskPushNotificationConfig"),
        ("GET", "/tasks/7/pushNotificationConfigs", "ListTaskPushNotificationConfigs"),
        ("GET", "/tasks/7/pushNotificationConfigs/a", "GetTaskPushNotificationConfig"),
        ("DELETE", "/tasks/7/pushNotificationConfigs/a", "DeleteTaskPushNotificationConfig"),
        ("GET", "/.well-known/agent-card.json", "AgentCard"),
        ("GET", "/.well-known/agent.json", "AgentCard"),
        ("GET", "/extendedAgentCard", "GetExtendedAgentCard"),
        ("GET", "/v1/card", "GetExtendedAgentCard"),
        ("GET", "/health", ""),
    ],
)
def test_the_paths_of_the_http_binding_are_methods_too(verb: str, path: str, method: str) -> None:
    assert a2a(verb=verb, path=path).method == method


def test_a_tool_is_found_in_the_body() -> None:
    assert mcp(rpc("tools/call", name="add", arguments={})) == Call(
        protocol="mcp", method="tools/call", tool="add", id=7
    )
    assert mcp(rpc("prompts/get", name="add")) == Call(protocol="mcp", method="prompts/get", id=7)
    assert mcp(b"", verb="GET") == mcp(b"", verb="DELETE") == Call(protocol="mcp")
    assert mcp(orjson.dumps({"jsonrpc": "2.0", "id": 7, "result": {}})) == Call(protocol="mcp", id=7)


def test_headers_that_agree_with_the_body_are_fine() -> None:
    body = rpc("tools/call", name="ä")
    assert mcp(body, Mcp_Method="tools/call", Mcp_Name="=?base64?w6Q=?=").tool == "ä"


def test_the_headers_tell_of_a_call_that_is_too_long_to_be_read() -> None:
    assert mcp(None, Mcp_Method="tools/call", Mcp_Name="add") == Call(protocol="mcp", method="tools/call", tool="add")
    assert mcp(None).unclear


@pytest.mark.parametrize(
    "body, headers",
    [
        (b"[" + rpc("tools/list") + b"," + rpc("tools/call", name="x") + b"]", {}),
        (b'{"method":"tools/list","method":"tools/call","params":{"name":"x"}}', {}),
        (b'{"method":"tools/call","params":{"name":"y","n\\u0061me":"x"}}', {}),
        (b'{"method":"tools/list","Method":"tools/call","params":{"name":"x"}}', {}),
        ('{"method":"tools/call","param\u017f":{"name":"x"}}'.encode(), {}),
        (b'{"method":"tools/call","params":{"Name":"x"}}', {}),
        (b"{", {}),
        (b'"tools/call"', {}),
        (b"[" * 100_000, {}),
        (rpc("tools/call", name="x"), {"Mcp_Method": "tools/list"}),
        (rpc("tools/call", name="x"), {"Mcp_Name": "y"}),
        (rpc("tools/call", name="x" * 257), {}),
        (rpc("tools/call", name="x", arguments={"y": "y" * CALL_BYTES}), {}),
    ],
)
def test_what_could_be_taken_for_two_calls_is_none(body: bytes, headers: dict[str, str]) -> None:
    call = mcp(body, **headers)
    assert call.unclear
    assert (call.method, call.tool) == ("", "")
