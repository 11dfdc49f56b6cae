"""Connections to agents: made, refused with a sentence, and never left behind, on asyncio's loop and on uvloop."""

import asyncio
import socket
from pathlib import Path
from typing import Any

from aiogate.proxy.upstream.dial import Dialer
from aiogate.proxy.upstream.endpoint import Endpoint
from aiogate.proxy.upstream.names import Names
from tests.certificates import Authority
from tests.proxy.upstream.dialing import (
    Client,
    at,
    connected,
    descriptors,
    ended,
    free_port,
    hanging,
    listening,
    mute,
    on_both_loops,
    refusal,
    to,
    until_closed,
)


@on_both_loops
async def test_small_writes_leave_at_once() -> None:
    """TCP_NODELAY is asyncio's and uvloop's doing, for sockets that name their protocol."""
    async with listening() as agent:
        for host in ("127.0.0.1", "agent"):
            client = await connected(at("127.0.0.1"), to(f"http://{host}:{agent.port}"))
            sock = client.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            await ended(client)


@on_both_loops
async def test_a_unix_socket_is_connected_to(tmp_path: Path) -> None:
    path = f"{tmp_path}/agent.sock"
    async with listening(path) as agent:
        client = await connected(Dialer(), to(f"unix:{path}:/base"))
        client.transport.write(b"hello")
        assert await (await agent.made.get()).heard == b"hello"
        await ended(client)


@on_both_loops
async def test_an_ipv6_address_is_connected_to() -> None:
    async with listening("::1") as agent:
        await ended(await connected(Dialer(), to(f"http://[::1]:{agent.port}")))


@on_both_loops
async def test_when_an_address_refuses_the_next_one_is_taken() -> None:
    async with listening("127.0.0.2") as agent:
        client = await connected(at("127.0.0.1", "127.0.0.2"), to(f"http://agent:{agent.port}"))
        assert client.transport.get_extra_info("peername")[0] == "127.0.0.2"
        await ended(client)


@on_both_loops
async def test_when_an_address_hangs_the_next_one_is_tried_beside_it() -> None:
    with hanging("127.0.0.1") as port:  # first: on this address any port may be taken, on the other none is
        async with listening("127.0.0.2", port) as agent:
            before = descriptors()
            client = await connected(at("127.0.0.1", "127.0.0.2"), to(f"http://agent:{agent.port}"))
            assert client.transport.get_extra_info("peername")[0] == "127.0.0.2"
            await ended(client)
            await until_closed(before)


@on_both_loops
async def test_when_one_family_does_not_work_the_other_does() -> None:
    async with listening("127.0.0.1") as agent:
        client = await connected(at("::1", "127.0.0.1"), to(f"http://agent:{agent.port}"))
        assert client.transport.get_extra_info("peername")[0] == "127.0.0.1"
        await ended(client)


@on_both_loops
async def test_a_port_that_nobody_listens_on_refuses() -> None:
    for dialer in (at("127.0.0.1"), at("127.0.0.1", "127.0.0.2")):
        assert await refusal(dialer, to(f"http://agent:{free_port()}")) == "the connection was refused"


@on_both_loops
async def test_a_unix_socket_that_is_not_there_or_not_listening_is_told_apart(tmp_path: Path) -> None:
    path = f"{tmp_path}/agent.sock"
    assert await refusal(Dialer(), to(f"unix:{path}")) == "its socket does not exist"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        assert await refusal(Dialer(), to(f"unix:{path}")) == "the connection was refused"


@on_both_loops
async def test_a_name_that_does_not_resolve_is_said_to() -> None:
    assert await refusal(at(), to("http://agent")) == "its name does not resolve"


async def test_a_resolver_that_is_down_is_no_verdict_about_the_name() -> None:
    async def resolve(_host: str) -> list[Any]:
        raise socket.gaierror(socket.EAI_AGAIN, "secret-host")

    assert await refusal(Dialer(Names(resolve)), to("http://agent")) == "its name does not resolve, for now"


@on_both_loops
async def test_time_that_runs_out_is_said_with_what_was_under_way() -> None:
    async def resolve(_host: str) -> list[Any]:
        return await asyncio.get_running_loop().create_future()

    dialer = Dialer(Names(resolve))
    assert await refusal(dialer, to("http://agent"), 0.01) == "within 0.01 s: its name was not resolved"
    with hanging() as port:
        why = await refusal(Dialer(), to(f"http://127.0.0.1:{port}"), 0.01)
        assert why == "within 0.01 s: nothing accepted the connection"
    with mute() as port:
        dialer = Dialer()
        dialer.prepare([to("https://127.0.0.1")])
        why = await refusal(dialer, to(f"https://127.0.0.1:{port}"), 0.5)  # time to connect on a busy machine
        assert why == "within 0.5 s: the TLS handshake did not end"


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def cancel_after(count: int, dialer: Dialer, endpoint: Endpoint) -> bool:
    """Cancel a call after so many turns of the loop; tell whether it was still under way."""
    task = asyncio.ensure_future(connected(dialer, endpoint))
    await turns(count)
    task.cancel()
    [result] = await asyncio.gather(task, return_exceptions=True)
    if isinstance(result, Client):
        await ended(result)
        return False
    assert isinstance(result, asyncio.CancelledError)
    return True


@on_both_loops
async def test_whenever_a_call_is_cancelled_no_socket_stays_open(tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    async with listening(ssl=ca.issue("agent.example").server()) as safe, listening() as plain:
        secure = to(f"https://agent.example:{safe.port}", ca_file=ca.file)
        for endpoint in (secure, to(f"http://agent:{plain.port}")):
            for addresses in (["127.0.0.1"], ["127.0.0.2", "127.0.0.1"]):
                dialer = at(*addresses)
                dialer.prepare([endpoint])
                await ended(await connected(dialer, endpoint))
                await turns(20)
                before, count = descriptors(), 0
                while await cancel_after(count, dialer, endpoint):
                    count += 1
                assert count > 2
                await until_closed(before)


@on_both_loops
async def test_a_call_that_is_cancelled_while_addresses_hang_leaves_no_socket_open() -> None:
    with hanging("127.0.0.1") as port, hanging("127.0.0.2", port):
        before = descriptors()
        for addresses in (["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]):
            assert await cancel_after(10, at(*addresses), to(f"http://agent:{port}"))
        await until_closed(before)


@on_both_loops
async def test_no_sentence_tells_where_an_agent_is(tmp_path: Path) -> None:
    wheres = (f"http://internal.example:{free_port()}", f"unix:{tmp_path}/internal.sock", "https://internal.example:1")
    for url in wheres:
        why = await refusal(at("127.0.0.1"), to(url, ca_file=None))
        assert "internal" not in why
        assert "127.0.0.1" not in why
