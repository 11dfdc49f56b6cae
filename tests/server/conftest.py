from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.server.several import NAMES, Workers


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[Workers]:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    found = Workers(tmp_path / "gateway.toml", folder)
    found.configure()
    for name in NAMES:
        await found.start(name)
    yield found
    for gateway in found.gateways.values():
        await gateway.stop(grace_seconds=0.0)
