"""Connections to agents: made, refused with a sentence, and never left behind, on asyncio's loop and on uvloop."""

import asyncio
import functools
import inspect
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import uvloop

from aiogate import Agent
from aiogate.errors import UpstreamError
from aiogate.proxy.upstream.dial import Dialer
from aiogate.proxy.upstream.endpoint import Endpoint, endpoint_for
from aiogate.proxy.upstream.names import Names
from tests.certificates import Authority, Identity

SECONDS = 10.0
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_OFF = datetime(2999, 1, 1, tzinfo=UTC)

Test = Callable[..., Awaitable[None]]


def on_both_loops(test: Test) -> Callable[..., None]:
    """Run a test on the loop of tests and on the one of the gateway."""

    def run(new_loop: Callable[[], asyncio.AbstractEventLoop], **fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(asyncio.wait_for(test(**fixtures), 2 * SECONDS))

    functools.update_wrapper(run, test)
    asked = inspect.signature(test).parameters.values()
    first = inspect.Parameter("new_loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([first, *asked])  # type: ignore[attr-defined] # what pytest reads
    del run.__wrapped__  # type: ignore[attr-defined] # pytest would find the coroutine behind it
    loops = pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")
    return pytest.mark.parametrize("new_loop", loops)(run)


class Client(asyncio.Protocol):
    """What the dialer connects."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Served(asyncio.Protocol):
    """An agent's side of a connection."""

    def __init__(self, made: "asyncio.Queue[Served]") -> None:
        self.made = made
        self.heard = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.made.put_nowait(self)

    def data_received(self, data: bytes) -> None:
        self.heard.set_result(data)


@attrs.define
class Listener:
    """An agent that listens; ``made`` are the connections that it has accepted, with their TLS."""

    port: int
    made: "asyncio.Queue[Served]"


@asynccontextmanager
async def listening(address: str = "127.0.0.1", port: int = 0, **facts: Any) -> AsyncIterator[Listener]:
    made: asyncio.Queue[Served] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    if address.startswith("/"):
        server = await loop.create_unix_server(lambda: Served(made), address)
    else:
        server = await loop.create_server(lambda: Served(made), address, port, **facts)
    try:
        name = server.sockets[0].getsockname()
        yield Listener(0 if address.startswith("/") else name[1], made)
    finally:
        server.close()


@contextmanager
def hanging(address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Yield a port whose queue is full: it neither accepts nor refuses."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind((address, port))
        listener.listen(0)
        first.connect(listener.getsockname())
        second.setblocking(False)
        second.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@contextmanager
def mute() -> Iterator[int]:
    """Yield a port that accepts and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def at(*addresses: str) -> Dialer:
    """Return a dialer for which every name has these addresses."""

    async def resolve(_host: str) -> list[Any]:
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(family, 0, 0, "", (address, 0)) for family, address in zip(families, addresses, strict=True)]

    return Dialer(Names(resolve, now=lambda: 0.0))


def to(url: str, **facts: Any) -> Endpoint:
    return endpoint_for(Agent(id="support", url=url, **facts))


async def connected(dialer: Dialer, endpoint: Endpoint) -> Client:
    return await dialer.connect(endpoint, Client, SECONDS, name="support")


async def refusal(dialer: Dialer, endpoint: Endpoint, seconds: float = SECONDS) -> str:
    with pytest.raises(UpstreamError) as raised:
        await dialer.connect(endpoint, Client, seconds, name="support")
    assert raised.value.code == "agent_unreachable"
    assert raised.value.detail.startswith("agent 'support' cannot be reached")
    return raised.value.detail.removeprefix("agent 'support' cannot be reached").removeprefix(": ").strip()


async def ended(client: Client) -> None:
    client.transport.abort()
    await client.lost


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def until_closed(before: int) -> None:
    async with asyncio.timeout(SECONDS):
        while descriptors() > before:
            await asyncio.sleep(0)


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
    async with listening("127.0.0.2") as agent:
        with hanging("127.0.0.1", agent.port):
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
        why = await refusal(dialer, to(f"https://127.0.0.1:{port}"), 0.01)
        assert why == "within 0.01 s: the TLS handshake did not end"


@on_both_loops
async def test_tls_is_verified_by_the_agents_own_authority(tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    async with listening(ssl=ca.issue("agent.example").server()) as agent:
        endpoint = to(f"https://agent.example:{agent.port}", ca_file=ca.file)
        client = await connected(at("127.0.0.1"), endpoint)
        spoken = client.transport.get_extra_info("ssl_object")
        assert spoken.selected_alpn_protocol() == "http/1.1"
        await ended(client)


@on_both_loops
async def test_an_ip_address_may_be_in_a_certificate(tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    async with listening(ssl=ca.issue("127.0.0.1").server()) as agent:
        await ended(await connected(Dialer(), to(f"https://127.0.0.1:{agent.port}", ca_file=ca.file)))


@on_both_loops
async def test_a_certificate_may_name_somebody_that_the_config_names(tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    asked: list[str | None] = []
    context = ca.issue("agent.example").server()
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    async with listening(ssl=context) as agent:
        endpoint = to(f"https://127.0.0.1:{agent.port}", ca_file=ca.file, server_name="agent.example")
        await ended(await connected(Dialer(), endpoint))
    assert asked == ["agent.example"]


def trusted_but(**facts: Any) -> Callable[[Authority], Identity]:
    return lambda ca: ca.issue("agent.example", **facts)


@pytest.mark.parametrize(
    "identity, why",
    [
        (trusted_but(not_after=LONG_AGO), "it has expired"),
        (trusted_but(not_before=FAR_OFF, not_after=FAR_OFF), "it is not valid yet"),
        (lambda ca: ca.issue("somebody.example"), "it is for another name"),
        (lambda ca: Authority(ca.folder, "other").issue("agent.example"), "its issuer is not trusted"),
        (lambda ca: Authority(ca.folder, "other").self_signed(), "it is self-signed"),
    ],
    ids=["expired", "early", "name", "issuer", "self-signed"],
)
@on_both_loops
async def test_a_certificate_that_does_not_verify_is_refused(
    tmp_path: Path, identity: Callable[[Authority], Identity], why: str
) -> None:
    ca = Authority(tmp_path)
    async with listening(ssl=identity(ca).server()) as agent:
        before = descriptors()
        endpoint = to(f"https://agent.example:{agent.port}", ca_file=ca.file)
        assert await refusal(at("127.0.0.1"), endpoint) == f"its TLS certificate is not valid: {why}"
        await until_closed(before)


@on_both_loops
async def test_the_systems_authorities_do_not_know_a_private_one(tmp_path: Path) -> None:
    async with listening(ssl=Authority(tmp_path).issue("agent.example").server()) as agent:
        why = await refusal(at("127.0.0.1"), to(f"https://agent.example:{agent.port}"))
        assert why == "its TLS certificate is not valid: its issuer is not trusted"


@pytest.mark.parametrize("in_one_file", [True, False])
@on_both_loops
async def test_an_agent_that_asks_for_a_certificate_gets_ours(tmp_path: Path, *, in_one_file: bool) -> None:
    ca, clients = Authority(tmp_path), Authority(tmp_path, "clients")
    ours = clients.issue("gateway.example")
    files = {"client_certificate": ours.both} if in_one_file else {"client_certificate": ours.certificate}
    files |= {} if in_one_file else {"client_key": ours.key}
    async with listening(ssl=ca.issue("127.0.0.1").server(clients=clients.file)) as agent:
        client = await connected(Dialer(), to(f"https://127.0.0.1:{agent.port}", ca_file=ca.file, **files))
        seen = (await agent.made.get()).transport.get_extra_info("peercert")
        assert ("DNS", "gateway.example") in seen["subjectAltName"]
        await ended(client)


@on_both_loops
async def test_an_agent_that_misses_our_certificate_ends_the_handshake(tmp_path: Path) -> None:
    """In TLS 1.3 it says so after the handshake, when the connection is already a request's."""
    ca = Authority(tmp_path)
    context = ca.issue("127.0.0.1").server(clients=ca.file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with listening(ssl=context) as agent:
        why = await refusal(Dialer(), to(f"https://127.0.0.1:{agent.port}", ca_file=ca.file))
        assert why.startswith("the TLS handshake failed: ")


@on_both_loops
async def test_an_agent_that_does_not_speak_tls_is_refused() -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert (await refusal(Dialer(), to(f"https://127.0.0.1:{port}"))).startswith("the TLS handshake failed: ")
    server.close()


@on_both_loops
async def test_certificate_files_that_went_away_are_not_taken_for_the_agents_fault(tmp_path: Path) -> None:
    endpoint = to("https://127.0.0.1", ca_file=tmp_path / "gone.pem")
    assert await refusal(Dialer(), endpoint) == "its certificate files cannot be used; aiogate check says why"


async def test_what_is_prepared_is_not_read_again(tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    file = ca.file
    async with listening(ssl=ca.issue("127.0.0.1").server()) as agent:
        dialer, endpoint = Dialer(), to(f"https://127.0.0.1:{agent.port}", ca_file=file)
        dialer.prepare([endpoint, to("http://agent")])
        file.unlink()
        await ended(await connected(dialer, endpoint))


async def test_what_is_not_prepared_is_read_once(tmp_path: Path) -> None:
    ca = Authority(tmp_path)
    file = ca.file
    async with listening(ssl=ca.issue("127.0.0.1").server()) as agent:
        dialer, endpoint = Dialer(), to(f"https://127.0.0.1:{agent.port}", ca_file=file)
        await ended(await connected(dialer, endpoint))
        file.unlink()
        await ended(await connected(dialer, endpoint))


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
