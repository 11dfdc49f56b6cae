"""The gateway: builds the house, listens, hands each request to a walk, drains.

The one object that ``aiogate serve`` and ``aiogate.testing`` hold.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import BinaryIO, Final

import attrs
import orjson
from aiohttp import http_parser, web
from multidict import CIMultiDict

from aiogate.errors import AiogateError
from aiogate.exchange import Clock, Reply
from aiogate.journal.keeper import Keeper
from aiogate.journal.writer import Journal
from aiogate.pipeline.run import Pipeline
from aiogate.proxy.answer import Answer
from aiogate.proxy.conformance import wrong_with
from aiogate.proxy.inbound import Inbound
from aiogate.proxy.pace import Pace
from aiogate.proxy.target import target_of
from aiogate.proxy.upstream import Upstream
from aiogate.server.access_log import AccessLog
from aiogate.server.admin import admin_app
from aiogate.server.admin.guard import check_listener
from aiogate.server.admin.listener_log import LISTENER_LOG
from aiogate.server.counters import central_of, open_board, open_state
from aiogate.server.crowd import SHUTTING_DOWN, TOO_MANY_EXCHANGES
from aiogate.server.drain import Drain
from aiogate.server.events import Events
from aiogate.server.generation import Generation
from aiogate.server.halts.cutting import cut_all, tell
from aiogate.server.halts.in_force import TOPIC
from aiogate.server.house import House
from aiogate.server.inherited import Inherited
from aiogate.server.metrics import Metrics
from aiogate.server.notify import Notifier
from aiogate.server.open import open_exchange
from aiogate.server.protocol import PublicServer
from aiogate.server.reload import Load, Reloads
from aiogate.server.revoked import cut_what_is_revoked
from aiogate.server.sampling import Sampling
from aiogate.server.shipper import Shipper
from aiogate.server.siblings import Siblings
from aiogate.server.state_probe import StateProbe
from aiogate.server.together import Together
from aiogate.server.walk import Walk
from aiogate.settings.model import Address, Settings

__all__ = ["Gateway"]

_log: Final = logging.getLogger(__name__)
_BACKLOG: Final = 1024
_LINGER_SECONDS: Final = 2.0
_CUT_SECONDS: Final = 2.0


@attrs.define(eq=False, init=False)
class Gateway:
    """One gateway in one process.

    Args:
        settings: the config in force.
        pipeline: its plugins.
        clock: passed to everything that asks for the time.
        stdout: where the access log goes; None: nowhere.
        load: reads the config anew for a reload; None: there is none.
        retired: called when nothing needs a config any more that was in force.
        inherited: sockets to listen on, in the place of those that the config names.
        notifier: tells the supervisor of starts and reloads.
        siblings: the other workers of this machine, if this is one of several.
        number: of the config, where it is not the first one of its gateway.
    """

    generation: Generation
    """What is in force; the whole of it is replaced by a reload, in one step."""
    clock: Clock
    stdout: BinaryIO | None
    load: Load | None
    retired: Callable[[], object] | None
    inherited: Inherited
    notifier: Notifier
    siblings: Siblings
    house: House = attrs.field(init=False)
    reloads: Reloads = attrs.field(init=False)
    together: Together = attrs.field(init=False)
    pace: Pace = attrs.field(init=False)
    drain: Drain = attrs.field(init=False)
    public: Address | None = attrs.field(default=None, init=False)
    admin: Address | None = attrs.field(default=None, init=False)
    _server: PublicServer | None = attrs.field(default=None, init=False)
    _rooms: AsyncExitStack = attrs.field(factory=AsyncExitStack, init=False)
    _runners: list[web.BaseRunner] = attrs.field(factory=list, init=False)

    def __init__(  # noqa: PLR0913 - each is said by its name
        self,
        settings: Settings,
        pipeline: Pipeline,
        *,
        clock: Clock | None = None,
        stdout: BinaryIO | None = None,
        load: Load | None = None,
        retired: Callable[[], object] | None = None,
        inherited: Inherited | None = None,
        notifier: Notifier | None = None,
        siblings: Siblings | None = None,
        number: int = 1,
    ) -> None:
        clock, siblings = clock or Clock(), siblings or Siblings()
        first = Generation(number=number, settings=settings, pipeline=pipeline, clock=clock)
        handed, told = inherited or Inherited(), notifier or Notifier()
        self.__attrs_init__(first, clock, stdout, load, retired, handed, told, siblings)

    @property
    def settings(self) -> Settings:
        """The config in force."""
        return self.generation.settings

    @property
    def pipeline(self) -> Pipeline:
        """The plugins in force."""
        return self.generation.pipeline

    async def start(self) -> None:
        """Open the house and listen; raises what hinders it, with nothing left open."""
        if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
            msg = "aiohttp runs without its C parser, which is laxer than a gateway can be; install a wheel of aiohttp"
            raise AiogateError(msg)
        try:
            await self._start()
        except BaseException:
            await self.stop(grace_seconds=0.0)
            raise

    async def _start(self) -> None:
        house = self.house = House(
            clock=self.clock,
            state=await open_state(self.settings.state, self.clock),
            board=await open_board(self.settings.state, self.settings.journal.dir, self.clock),
            journal=Journal(self.settings.journal, self.clock),
            upstream=Upstream(),
            access_log=AccessLog(self.settings.server.access_log if self.stdout else "off", self.stdout),
            metrics=Metrics(),
            events=Events(self.settings.admin.events, self.clock),
            notifier=self.notifier,
            siblings=self.siblings,
        )
        self.drain = Drain(house)
        self._rooms.push_async_callback(house.state.close)
        self._rooms.push_async_callback(house.board.close)
        self._rooms.callback(cut_what_is_revoked(house))
        house.journal.open()
        self._rooms.callback(house.journal.close)
        keeper = Keeper(self.settings.journal, self.clock, ledger=house.journal.ledger)
        if (central := await asyncio.to_thread(central_of, self.settings.state)) is not None:
            house.shipper = Shipper(self.settings.journal.dir, central, self.clock, house.journal.ledger)
            keeper.may_go, keeper.may_keep = house.shipper.has_all_of, house.shipper.ships
            house.shipper.start()
            self._rooms.push_async_callback(house.shipper.stop)
        keeper.start()
        self._rooms.push_async_callback(asyncio.to_thread, keeper.stop)
        self._rooms.callback(house.access_log.close)
        self._rooms.push_async_callback(house.upstream.ended)
        self._rooms.callback(house.upstream.close)
        await self._open_halts()
        house.metrics.started(lambda: len(house.open_exchanges), house.state, house.journal)
        house.upstream.watch.add(Sampling(self))
        if self.settings.state.url.reveal() != "memory://":
            house.state_probe = StateProbe(house.state, self.clock, house.tasks.spawn)
            house.upstream.watch.add(house.state_probe)
        self.pace = Pace(house.upstream.watch, lambda: self.settings.server)
        self.reloads = Reloads(self, house, self.load, self.retired)
        self.together = Together(self.reloads, self.siblings, lambda: self.generation.number)
        await self.reloads.start()
        inherited, settings = self.inherited, self.settings
        handed = inherited.admin
        operators = settings.admin.listen if handed is None else Address(*handed.getsockname()[:2])
        app = admin_app(self, reachable=check_listener(operators, self.generation))
        runner = web.AppRunner(app, access_log=None, logger=LISTENER_LOG)
        self.admin = await self._listen(runner, settings.admin.listen, inherited.admin)
        self.public = await self._listen(self._public_runner(), settings.server.listen, inherited.public)
        house.listens = str(self.public)
        if runner.server is not None:  # the last: who is there is asked
            await self.siblings.listen(runner.server)
            await self.together.catch_up()

    async def _open_halts(self) -> None:
        """Know what operators have stopped before anybody is let in."""
        house = self.house
        house.halts.cut, house.halts.heard = partial(cut_all, house), partial(tell, house)
        topic = house.board.topic(TOPIC)
        self._rooms.callback(house.halts.close)
        await house.halts.open(topic, self.settings.journal.dir, self.clock, house.tasks.spawn)

    def _public_runner(self) -> web.ServerRunner:
        server = self._server = PublicServer(
            self.handle,
            pace=self.pace,
            most_connections=lambda: self.settings.server.max_connections,
            handler_cancellation=True,
            auto_decompress=False,
            keepalive_timeout=self.settings.server.keepalive_seconds,
            lingering_time=_LINGER_SECONDS,
            access_log=None,
        )
        return web.ServerRunner(server, shutdown_timeout=_CUT_SECONDS)

    async def _listen(self, runner: web.BaseRunner, address: Address, handed: socket.socket | None) -> Address:
        await runner.setup()
        self._runners.append(runner)
        site: web.BaseSite
        if handed is not None:
            site = web.SockSite(runner, handed, backlog=_BACKLOG)
        else:
            site = web.TCPSite(runner, address.host, address.port, backlog=_BACKLOG)
        try:
            await site.start()
        except OSError as error:
            msg = f"cannot listen on {address}: {error.strerror or error}"
            raise AiogateError(msg) from error
        host, port = runner.addresses[0][:2]
        return Address(host, port)

    async def stop(self, grace_seconds: float | None = None) -> None:
        """Drain: take no new exchanges, let the open ones end, cut what is left after ``grace_seconds``; 0: at once."""
        grace = self.settings.server.grace_seconds if grace_seconds is None else grace_seconds
        house: House | None = getattr(self, "house", None)
        reloads: Reloads | None = getattr(self, "reloads", None)
        if house is not None:
            house.stopping = True
            await self.siblings.leave()
            if reloads is not None:
                await reloads.stop()
            delay = self.settings.server.drain_delay_seconds
            await self.drain.run(self._runners, self._server, delay, grace)
        for runner in reversed(self._runners):
            await runner.cleanup()
        self._runners.clear()
        if house is not None:
            # what a kept-alive connection began meanwhile ends before the plugins leave
            await self.drain.join()
        if reloads is not None:
            await reloads.leave()
        await self._rooms.aclose()

    def cut(self) -> None:
        """End the drain's patience: open exchanges are cut now. One that has not begun is not waited for either."""
        if (drain := getattr(self, "drain", None)) is not None:
            drain.hurry()

    def handle(self, inbound: Inbound) -> Awaitable[Answer]:
        """Serve one request of the public listener; what is returned is to be awaited at once."""
        house, generation = self.house, self.generation
        answer = Answer(inbound)
        target = target_of(inbound.target)
        if house.stopping:
            answer.keep_alive = False
        if target.is_probe:
            return self._probe(answer, target.full_path)
        if target.refused is not None:
            if (document := generation.documents.get(target.full_path)) is not None:
                return self._publish(answer, document)
            if target.full_path in generation.pages:
                target = attrs.evolve(target, refused=None)
        cors = ""
        if generation.cross_origin.are_there:
            if (preflight := generation.cross_origin.preflight(inbound, target)) is not None:
                return self._say(answer, *preflight)
            cors = generation.cross_origin.lines(inbound, target)
        body, exchange = open_exchange(inbound, target, generation, self.pace)
        exchange.cors = cors
        refused = target.refused or wrong_with(inbound)
        if house.stopping and house.cutting:
            refused = SHUTTING_DOWN
        elif len(house.open_exchanges) >= generation.settings.server.max_exchanges:
            refused = TOO_MANY_EXCHANGES
        return Walk(exchange, inbound, body, generation, house, answer, refused).run()

    async def _probe(self, answer: Answer, path: str) -> Answer:
        ready = self.ready()
        ok = path == "/livez" or all(ready.values())
        body = orjson.dumps({"status": "ok" if ok else "unavailable"}, option=orjson.OPT_APPEND_NEWLINE)
        headers = CIMultiDict({"Content-Type": "application/json"})
        await answer.send(answer.whole(200 if ok else 503, headers, "Cache-Control: no-store", body))
        return answer

    def _publish(self, answer: Answer, document: Reply) -> Awaitable[Answer]:
        """Answer with what anybody may read; as with probes, there is no exchange."""
        headers = CIMultiDict([("Content-Type", document.content_type), *document.headers])
        return self._say(answer, document.status, headers, document.body)

    @staticmethod
    async def _say(answer: Answer, status: int, headers: CIMultiDict[str], body: bytes) -> Answer:
        await answer.send(answer.whole(status, headers, "X-Content-Type-Options: nosniff", body))
        return answer

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return 0 if self._server is None else len(self._server.connections)

    def ready(self) -> Mapping[str, bool]:
        """Return what has to be in order for new exchanges, by name."""
        return {
            "accepting": not self.house.stopping,
            "journal": self.house.journal.admits,
            "plugins": self.reloads.plugins_run,
        }
