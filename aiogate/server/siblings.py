"""How the workers of one machine reach each other's admin API, so that any of them can answer for all.

Each listens on a Unix socket of its own in a directory that only its user can enter (0700): the admin routes and
nothing else. A handler that speaks for all does it so::

    mine = view(gateway_of(request))
    if from_a_sibling(request):      # who asks puts the answers together
        return json(mine)
    return json(merge([mine, *await siblings.gather(request.path_qs)]))

Where there is one process there are no siblings, nothing is asked and ``gather`` returns nothing. Knows nothing of what
the answers mean.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import attrs
import orjson
from aiohttp import web

__all__ = ["SOCKET", "Siblings", "from_a_sibling"]

SOCKET: Final = ".sock"
_GONE: Final = object()
_log: Final = logging.getLogger(__name__)
_SECONDS: Final = 3.0
"""How long whoever answers for all waits for one of them; who is slower is left out."""
_LOOK_SECONDS: Final = 1.0
"""Between two looks for siblings that have been started meanwhile; for merged streams."""
_MOST_WAITING: Final = 1_000
"""Events that may wait for the reader of a merged stream; while there are so many no sibling is read."""


def from_a_sibling(request: web.BaseRequest) -> bool:
    """Tell whether another worker of this machine asks, who wants to know of this one alone and may ask anything."""
    transport = request.transport
    return transport is not None and isinstance(transport.get_extra_info("sockname"), str)  # a path: a Unix socket


@attrs.define
class Siblings:
    """The other workers of this machine, as one of them sees them.

    Args:
        folder: where their sockets are; None: there are no other workers.
        name: of this one; a number, lower ones are older.
        supervisor: the process that started them all and hears what comes of reloads.
    """

    folder: Path | None = None
    name: str = "1"
    supervisor: int | None = None
    _server: asyncio.Server | None = attrs.field(default=None, init=False)

    @property
    def socket(self) -> Path | None:
        """Where this worker listens for the others; None: there are none."""
        return None if self.folder is None else self.folder / f"{self.name}{SOCKET}"

    async def listen(self, protocols: Callable[[], asyncio.Protocol]) -> None:
        """Be a sibling from now on: serve the others by such protocols."""
        if self.socket is not None:
            opened = await asyncio.to_thread(_bound, self.socket)
            self._server = await asyncio.get_running_loop().create_unix_server(protocols, sock=opened)

    async def leave(self) -> None:
        """Be none any more: this one is about to stop."""
        if self._server is not None and self.socket is not None:
            self._server.close()
            await asyncio.to_thread(self.socket.unlink, missing_ok=True)

    async def is_eldest(self) -> bool:
        """Tell whether no other worker has been here for longer: what one of them does for all is this one's to do."""
        return all(int(self.name) <= int(name) for name in await self.names())

    async def names(self) -> list[str]:
        """Return the names of the other workers, the oldest first."""
        if self.folder is None:
            return []
        found = await asyncio.to_thread(list, self.folder.glob(f"*{SOCKET}"))
        return sorted((path.stem for path in found if path.stem != self.name), key=int)

    async def gather(self, path: str, method: str = "GET", said: object = None) -> list[Any]:
        """Return what the others answer to a request, parsed; who does not answer in time is left out."""
        return [answer for answer in (await self.ask(path, method, said)).values() if answer is not None]

    async def ask(
        self, path: str, method: str = "GET", said: object = None, seconds: float = _SECONDS
    ) -> dict[str, Any]:
        """Return what each of the others answers, by name; None where one does not answer in time, or not in JSON.

        One that has died is none of them any more.

        Args:
            path: with what stands behind its question mark.
            method: of HTTP.
            said: goes with it as JSON; None: nothing does.
            seconds: how long to wait.
        """
        names = await self.names()
        answers = await asyncio.gather(*(self._asked(name, path, method, said, seconds) for name in names))
        return {name: answer for name, answer in zip(names, answers, strict=True) if answer is not _GONE}

    async def events(self, path: str, headers: Mapping[str, str] | None = None) -> AsyncGenerator[tuple[str, bytes]]:
        """Yield the events of the others' event streams as they come, each whole and with its worker's name.

        Siblings that come later are heard from then on; one that leaves is heard no more. Ends when it is closed.
        """
        heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(_MOST_WAITING)
        listening: dict[str, asyncio.Task[None]] = {}

        async def listen(name: str) -> None:
            async with aclosing(self._events_of(name, path, headers)) as events:
                async for event in events:
                    await heard.put((name, event))

        try:
            while True:
                for name in await self.names():
                    if name not in listening or listening[name].done():
                        listening[name] = asyncio.get_running_loop().create_task(listen(name))
                end = asyncio.get_running_loop().time() + _LOOK_SECONDS
                while (left := end - asyncio.get_running_loop().time()) > 0:
                    try:
                        event = await asyncio.wait_for(heard.get(), left)
                    except TimeoutError:
                        break
                    yield event
        finally:
            for task in listening.values():
                task.cancel()
            await asyncio.gather(*listening.values(), return_exceptions=True)

    async def _events_of(self, name: str, path: str, headers: Mapping[str, str] | None) -> AsyncGenerator[bytes]:
        with suppress(aiohttp.ClientError, OSError):
            async with self._called(name, None) as session, session.get(f"http://worker{path}", headers=headers) as got:
                rest = b""
                async for piece in got.content.iter_any():
                    *events, rest = (rest + piece).split(b"\n\n")
                    for event in events:
                        yield event + b"\n\n"

    async def _asked(self, name: str, path: str, method: str, said: object, seconds: float) -> Any:  # noqa: ANN401 - JSON
        body = None if said is None else orjson.dumps(said)
        try:
            async with (
                self._called(name, seconds) as session,
                session.request(method, f"http://worker{path}", data=body) as answer,
            ):
                return orjson.loads(await answer.read())
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            _log.info("worker %s has gone: %s", name, repr(error))
            return _GONE
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            _log.info("worker %s does not answer %s: %s", name, path, repr(error))
            return None

    @asynccontextmanager
    async def _called(self, name: str, seconds: float | None) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.UnixConnector(str((self.folder or Path()) / f"{name}{SOCKET}"))
        timeout = aiohttp.ClientTimeout(total=seconds, connect=_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            yield session


def _bound(path: Path) -> socket.socket:
    """Return a socket there; who asks before it listens is refused, and asks again."""
    path.unlink(missing_ok=True)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.setblocking(False)
    opened.bind(str(path))
    return opened
