"""The listener on aiohttp: what it needs of aiohttp's private names is there, and what it does without them."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web_protocol
from aiohttp.streams import StreamReader

from aiogate.server.protocol import TESTED, PublicServer, _Public, _Quick
from aiogate.testing import fake_agent, running_gateway
from tests.configs import anonymous
from tests.proxy.test_fidelity import connect

SECONDS = 10

OF_THE_HANDLER = {
    "_buffer_paused",
    "_close",
    "_current_request",
    "_force_close",
    "_handler_waiter",
    "_keepalive",
    "_keepalive_handle",
    "_keepalive_timeout",
    "_lingering_time",
    "_manager",
    "_messages",
    "_msg_queue_resume_size",
    "_next_keepalive_close_time",
    "_parser",
    "_request_in_progress",
    "_task_handler",
    "_upgraded",
    "_waiter",
}


def test_this_version_of_aiohttp_is_one_that_was_tried() -> None:
    assert aiohttp.__version__.startswith(TESTED)


async def test_the_private_names_that_the_quick_protocol_uses_are_there() -> None:
    async def nobody(_inbound: object) -> None:
        """Serve nothing."""

    protocol = PublicServer(nobody, quick=True)()  # type: ignore[arg-type]
    assert type(protocol) is _Quick
    assert {name for name in OF_THE_HANDLER if not hasattr(protocol, name)} == set()
    assert callable(protocol._process_keepalive)
    assert callable(protocol._resume_reading_if_drained)
    assert hasattr(web_protocol, "_ErrInfo")
    content = StreamReader(protocol, 2**16, loop=asyncio.get_running_loop())
    assert {"_buffer", "_buffer_offset", "_eof", "_exception"} <= set(dir(content))


@pytest.mark.parametrize("version, kind", [("3.14.9", _Quick), ("3.15.0", _Public), ("4.0.0", _Public)])
async def test_another_version_of_aiohttp_is_served_by_its_public_names(
    version: str, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(_inbound: object) -> None:
        """Serve nothing."""

    monkeypatch.setattr(aiohttp, "__version__", version)
    monkeypatch.setattr("aiogate.server.protocol.TESTED", "3.14.")
    assert type(PublicServer(nobody)()) is kind  # type: ignore[arg-type]


@pytest.mark.parametrize("quick", [True, False])
async def test_either_protocol_serves_one_request_after_the_other(
    quick: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiogate.server.protocol.TESTED", "" if quick else "no version")
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with asyncio.timeout(SECONDS):
            reader, writer = await connect(gateway.url)
            writer.write(b"POST /agents/echo/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi" * 3)
            for _ in range(3):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
                assert b'"body":"hi"' in (await reader.readexactly(int(length.split(b":")[1]))).replace(b" ", b"")
            writer.close()
        assert len(gateway.records()) == 3


@pytest.mark.parametrize("quick", [True, False])
async def test_what_is_no_http_gets_a_problem_and_the_connection_is_closed(
    quick: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiogate.server.protocol.TESTED", "" if quick else "no version")
    async with fake_agent() as agent, running_gateway(anonymous(agent.url), tmp_path) as gateway:
        async with asyncio.timeout(SECONDS):
            reader, writer = await connect(gateway.url)
            writer.write(b"this is no request\r\n\r\n")
            answer = await reader.read()
            writer.close()
    assert answer.split(b" ", 2)[1] == b"400"
    assert b'"code":"bad_request"' in answer
    assert b"this is no request" not in answer
