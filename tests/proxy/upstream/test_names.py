"""Names to addresses: asked once, shared, remembered, survived."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from aiogate.proxy.upstream.names import Names, by_loop

GONE = socket.gaierror(socket.EAI_NONAME, "no such name")
DOWN = socket.gaierror(socket.EAI_AGAIN, "the resolver is down")


def infos(*addresses: str) -> list[Any]:
    families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
    return [(family, 0, 0, "", (address, 0)) for family, address in zip(families, addresses, strict=True)]


@attrs.define
class Resolver:
    """Answers what the test says, counts who asks, and waits while it is not open."""

    answer: Sequence[Any] | Exception = attrs.field(factory=lambda: infos("10.0.0.1"))
    asked: list[str] = attrs.field(factory=list)
    now: float = 0.0
    open: asyncio.Event = attrs.field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self.open.set()

    async def __call__(self, host: str) -> Sequence[Any]:
        self.asked.append(host)
        await self.open.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def names(self, **facts: Any) -> Names:
        return Names(self, now=lambda: self.now, **facts)


async def hosts(names: Names, host: str = "agent", port: int = 80) -> list[str]:
    return [info[4][0] for info in await names.addresses(host, port)]


async def test_an_answer_has_the_port_that_was_asked_for_and_names_its_protocol() -> None:
    """asyncio sets TCP_NODELAY on sockets of IPPROTO_TCP alone."""
    names = Resolver(infos("10.0.0.1", "2001:db8::1")).names()
    stream = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    assert await names.addresses("agent", 8001) == [
        (socket.AF_INET, *stream, ("10.0.0.1", 8001)),
        (socket.AF_INET6, *stream, ("2001:db8::1", 8001)),
    ]


async def test_a_name_is_asked_for_again_when_its_time_is_over() -> None:
    resolver = Resolver()
    names = resolver.names(ttl_seconds=30)
    for resolver.now in (0.0, 29.9, 30.0, 59.9):
        await hosts(names)
    assert resolver.asked == ["agent", "agent"]


async def test_those_who_ask_at_once_share_a_question() -> None:
    resolver = Resolver()
    names = resolver.names()
    assert await asyncio.gather(*(hosts(names) for _ in range(20))) == [["10.0.0.1"]] * 20
    assert resolver.asked == ["agent"]


async def test_who_goes_away_takes_no_answer_from_the_others() -> None:
    resolver = Resolver()
    resolver.open.clear()
    names = resolver.names()
    first, second = (asyncio.ensure_future(hosts(names)) for _ in range(2))
    while not resolver.asked:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    resolver.open.set()
    assert await second == ["10.0.0.1"]
    assert (first.cancelled(), resolver.asked) == (True, ["agent"])


@pytest.mark.parametrize("answer", [GONE, DOWN, (), UnicodeError("label too long"), OSError("no descriptor")])
async def test_a_name_that_does_not_resolve_is_asked_for_again_after_a_second(answer: Exception) -> None:
    resolver = Resolver(answer)
    names = resolver.names(negative_seconds=1)
    for resolver.now in (0.0, 0.9):
        with pytest.raises(socket.gaierror):
            await hosts(names)
    assert resolver.asked == ["agent"]
    resolver.answer, resolver.now = infos("10.0.0.1"), 1.0
    assert await hosts(names) == ["10.0.0.1"]


async def test_while_the_resolver_fails_the_last_answer_is_used() -> None:
    resolver = Resolver()
    names = resolver.names(ttl_seconds=30, negative_seconds=1)
    await hosts(names)
    resolver.answer = DOWN
    for resolver.now in (30.0, 30.9, 31.0, 10_000.0):
        assert await hosts(names) == ["10.0.0.1"]
    assert len(resolver.asked) == 4  # at 30.9 it had failed just before


async def test_a_name_that_is_gone_is_gone() -> None:
    resolver = Resolver()
    names = resolver.names(ttl_seconds=30)
    await hosts(names)
    resolver.answer, resolver.now = GONE, 30.0
    with pytest.raises(socket.gaierror):
        await hosts(names)


async def test_while_the_resolver_hangs_the_last_answer_is_used_and_nobody_waits_twice() -> None:
    resolver = Resolver()
    names = resolver.names(ttl_seconds=30, patience_seconds=0.01)
    await hosts(names)
    resolver.open.clear()
    resolver.now = 30.0
    assert await hosts(names) == ["10.0.0.1"]
    patient = names.addresses("agent", 80)
    with pytest.raises(StopIteration):  # it does not wait for anything
        patient.send(None)
    resolver.answer = infos("10.0.0.2")
    resolver.open.set()
    while await hosts(names) != ["10.0.0.2"]:
        await asyncio.sleep(0)
    assert resolver.asked == ["agent", "agent"]


async def test_addresses_take_turns_and_families_keep_their_order() -> None:
    names = Resolver(infos("2001:db8::1", "10.0.0.1", "10.0.0.2", "2001:db8::2")).names()
    assert [await hosts(names) for _ in range(3)] == [
        ["2001:db8::1", "2001:db8::2", "10.0.0.1", "10.0.0.2"],
        ["2001:db8::2", "2001:db8::1", "10.0.0.2", "10.0.0.1"],
        ["2001:db8::1", "2001:db8::2", "10.0.0.1", "10.0.0.2"],
    ]


async def test_of_too_many_names_the_oldest_is_forgotten() -> None:
    resolver = Resolver()
    names = resolver.names(most=2)
    for host in ("a", "b", "c", "b", "a"):
        await hosts(names, host)
    assert resolver.asked == ["a", "b", "c", "a"]


@pytest.mark.parametrize("host", ["10.0.0.1", "::1", "2001:db8::1"])
async def test_an_ip_address_needs_no_resolver(host: str) -> None:
    resolver = Resolver()
    assert await hosts(resolver.names(), host) == [host]
    assert resolver.asked == []


async def test_an_address_with_a_zone_is_for_the_resolver() -> None:
    resolver = Resolver()
    await hosts(resolver.names(), "fe80::1%eth0")
    assert resolver.asked == ["fe80::1%eth0"]


async def test_who_waits_when_the_gateway_stops_is_told() -> None:
    resolver = Resolver()
    resolver.open.clear()
    names = resolver.names()
    waiting = asyncio.ensure_future(hosts(names))
    while not resolver.asked:
        await asyncio.sleep(0)
    names.close()
    with pytest.raises(socket.gaierror):
        await waiting


async def test_the_loop_resolves_names_of_this_machine() -> None:
    assert {info[4][0] for info in await by_loop("localhost")} <= {"127.0.0.1", "::1"}
