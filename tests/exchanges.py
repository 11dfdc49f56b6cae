"""Exchanges that no client sent, for tests of rooms that need one."""

from typing import Any

from multidict import CIMultiDict

from aiogate import Agent, Clock, Exchange


class NoBody:
    """The body of a request that has none."""

    async def read(self, max_bytes: int) -> bytes:
        del max_bytes
        return b""


def an_agent(agent_id: str = "support", **facts: Any) -> Agent:
    return Agent(id=agent_id, url="http://127.0.0.1:1", **facts)


def an_exchange(**facts: Any) -> Exchange:
    defaults: dict[str, Any] = {
        "id": "0" * 31 + "1",
        "clock": Clock(),
        "method": "GET",
        "full_path": "/agents/support/x",
        "path": "/x",
        "query": "",
        "target": "support",
        "scheme": "http",
        "client_address": "127.0.0.1",
        "request_headers": CIMultiDict(),
        "content_length": 0,
        "candidates": [an_agent()],
        "request_body": NoBody(),
        "generation": 1,
        "started": 0.0,
        "started_wall": 0.0,
    }
    return Exchange(**{**defaults, **facts})
