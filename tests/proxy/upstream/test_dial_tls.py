"""Connections to agents by TLS: whom they trust, what they show, and what they say of a certificate."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aiogate.proxy.upstream.dial import Dialer
from tests.certificates import Authority, Identity
from tests.proxy.upstream.dialing import (
    at,
    connected,
    descriptors,
    ended,
    listening,
    on_both_loops,
    refusal,
    to,
    until_closed,
)

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_OFF = datetime(2999, 1, 1, tzinfo=UTC)


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
