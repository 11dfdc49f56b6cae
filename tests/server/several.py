"""Several gateways in one process, each a sibling of the others: what workers are, without a process for each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import tomli_w

from aiogate import Gateway as RunningGateway
from aiogate import hookimpl
from aiogate.pipeline.discover import InstalledPlugins
from aiogate.pipeline.load import load
from aiogate.server.gateway import Gateway
from aiogate.server.siblings import Siblings

NAMES = ("1", "2", "3")


@attrs.frozen(kw_only=True)
class MoodConfig:
    word: str = "well"


class Mood:
    """Starts unless it is told not to; of the second worker that builds it when it is told so."""

    Config = MoodConfig

    def __init__(self, config: MoodConfig) -> None:
        self.word = config.word

    @hookimpl
    def lifespan(self, gateway: RunningGateway) -> Any:
        return self._life(gateway.plugins)

    @asynccontextmanager
    async def _life(self, _plugins: object) -> AsyncIterator[None]:
        if self.word == "ill":
            msg = "feels ill"
            raise RuntimeError(msg)
        yield


@attrs.define
class Workers:
    """Several gateways in one process, each a sibling of the others, on one config file."""

    path: Path
    folder: Path
    gateways: dict[str, Gateway] = attrs.field(factory=dict)

    def configure(self, word: str = "well", **more: Any) -> None:
        self.path.write_text(
            tomli_w.dumps(
                {
                    "server": {"listen": "127.0.0.1:0", "access_log": "off", "anonymous": True},
                    "admin": {"listen": "127.0.0.1:0"},
                    "journal": {"dir": "journal"},
                    "pipeline": {"plugins": ["mood"]},
                    "plugins": {"mood": {"word": word}},
                    "agents": {"echo": {"url": "http://127.0.0.1:9"}},
                    **more,
                }
            )
        )

    async def start(self, name: str) -> Gateway:
        def read() -> Any:
            return load(self.path, {}, InstalledPlugins({"mood": Mood}))

        loaded = await asyncio.to_thread(read)
        gateway = self.gateways[name] = Gateway(*loaded, load=read, siblings=Siblings(self.folder, name))
        await gateway.start()
        return gateway

    def numbers(self) -> set[int]:
        return {gateway.generation.number for gateway in self.gateways.values()}

    def words(self) -> set[str]:
        return {gateway.pipeline.plugins["mood"].word for gateway in self.gateways.values()}  # type: ignore[attr-defined] # a Mood
