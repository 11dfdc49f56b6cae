"""Names of hosts to addresses, remembered for a while; for the dialer.

The loop resolves; here is what is remembered, shared and survived. Knows nothing of connections.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

import attrs
from aiohappyeyeballs import AddrInfoType

__all__ = ["Names", "Resolve", "by_loop"]

Resolve = Callable[[str], Awaitable[Sequence[AddrInfoType]]]
"""A host's name to what ``getaddrinfo`` returns, best first, whatever its port; raises ``OSError``."""

_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


async def by_loop(host: str) -> Sequence[AddrInfoType]:
    """Resolve by ``getaddrinfo`` in the loop's threads."""
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


@attrs.define
class _Entry:
    """What is known of a name until a moment: addresses, or the ``EAI_`` code that says why there are none."""

    addresses: Sequence[AddrInfoType]
    until: float
    code: int = 0
    turn: int = 0

    def in_turn(self, port: int) -> list[AddrInfoType]:
        """Return the addresses, each time another one first within its family; the families keep their order."""
        if not self.addresses:
            raise socket.gaierror(self.code, "the name does not resolve")
        turn, self.turn = self.turn, self.turn + 1
        families: dict[int, list[AddrInfoType]] = {}
        for info in self.addresses:
            families.setdefault(info[0], []).append(_with_port(info, port))
        return [info for same in families.values() for info in _rotated(same, turn)]


@attrs.define
class Names:
    """The names of one gateway's agents.

    What a look-up found is used for ``ttl_seconds``, that there is no such name for ``negative_seconds``; concurrent
    look-ups of a name share one. Addresses stay in the resolver's order of families (RFC 6724) and take turns within
    a family, so that several addresses share the load. When the resolver fails, or takes longer than
    ``patience_seconds``, what it said last is used, however old; only "no such name" ends that.

    Args:
        resolve: asked for names; an IP address needs nobody.
        now: float seconds that only grow.
        ttl_seconds: ``getaddrinfo`` does not tell for how long an answer is good.
        negative_seconds: also between two questions to a resolver that fails.
        patience_seconds: how long to wait for a new answer while there is an old one.
        most: names remembered; of more, the one looked up longest ago is forgotten.
    """

    _resolve: Resolve = by_loop
    _now: Callable[[], float] = attrs.field(default=time.monotonic, kw_only=True)
    _ttl_seconds: float = attrs.field(default=30.0, kw_only=True)
    _negative_seconds: float = attrs.field(default=1.0, kw_only=True)
    _patience_seconds: float = attrs.field(default=1.0, kw_only=True)
    _most: int = attrs.field(default=1024, kw_only=True)
    _entries: dict[str, _Entry] = attrs.field(factory=dict, init=False)
    _lookups: dict[str, asyncio.Task[_Entry]] = attrs.field(factory=dict, init=False)

    async def addresses(self, host: str, port: int) -> list[AddrInfoType]:
        """Return where to connect to, best first, never empty; raises ``socket.gaierror``."""
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        entry = self._entries.get(host)
        if entry is None or entry.until <= self._now():
            entry = await self._renewed(host, entry)
        return entry.in_turn(port)

    def close(self) -> None:
        """Ask no more; who still waits for an answer gets ``socket.gaierror``."""
        for lookup in self._lookups.values():
            lookup.cancel()

    async def _renewed(self, host: str, old: _Entry | None) -> _Entry:
        lookup = self._lookups.get(host)
        if lookup is None:
            lookup = self._lookups[host] = asyncio.get_running_loop().create_task(self._look_up(host))
            lookup.add_done_callback(lambda _: self._lookups.pop(host))
        fallback = old if old is not None and old.addresses else None
        # unlike await, this leaves the look-up to the others when the one who waits is cancelled
        await asyncio.wait([lookup], timeout=self._patience_seconds if fallback else None)
        if lookup.done() and not lookup.cancelled():
            return lookup.result()
        if fallback is None:
            raise socket.gaierror(socket.EAI_AGAIN, "the look-up was given up")
        fallback.until = self._now() + self._ttl_seconds  # nobody else waits; the answer replaces it when it comes
        return fallback

    async def _look_up(self, host: str) -> _Entry:
        entry = await self._asked(host)
        self._entries.pop(host, None)
        self._entries[host] = entry
        while len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]
        return entry

    async def _asked(self, host: str) -> _Entry:
        try:
            addresses = tuple(await self._resolve(host))
        except (OSError, UnicodeError) as error:  # a label of 64 letters is a UnicodeError of the idna codec
            return self._without_answer(host, error)
        if not addresses:
            return self._without_answer(host, socket.gaierror(socket.EAI_NONAME, "no address"))
        return _Entry(addresses, self._now() + self._ttl_seconds)

    def _without_answer(self, host: str, error: Exception) -> _Entry:
        until = self._now() + self._negative_seconds
        code = error.errno if isinstance(error, socket.gaierror) and error.errno is not None else socket.EAI_FAIL
        old = self._entries.get(host)
        if old is not None and old.addresses and code not in _NO_SUCH_NAME:
            return attrs.evolve(old, until=until)
        return _Entry((), until, code=code)


def _literal(host: str, port: int) -> AddrInfoType | None:
    """Return an IP address; one with a zone is left to the resolver, which knows the interfaces."""
    with suppress(ValueError):
        address = ip_address(host)
        if address.version == 4:  # noqa: PLR2004 - of IP
            return _info(socket.AF_INET, (host, port))
        if "%" not in host:
            return _info(socket.AF_INET6, (host, port, 0, 0))
    return None


def _with_port(info: AddrInfoType, port: int) -> AddrInfoType:
    address = info[4]
    return _info(info[0], (address[0], port, *address[2:]))


def _info(family: int, address: tuple[object, ...]) -> AddrInfoType:
    # asyncio sets TCP_NODELAY only where the protocol is named
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)


def _rotated(infos: Sequence[AddrInfoType], turn: int) -> Iterable[AddrInfoType]:
    first = turn % len(infos)
    return (*infos[first:], *infos[:first])
