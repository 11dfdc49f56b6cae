"""Fixtures for every room: blocking calls in the loop fail a test, as a chunk that waits would fail a user."""

import os
from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    with blockbuster_ctx("aiogate") as guard:
        for function in guard.functions.values():
            # a config is read before anything is served; the journal's one write(2) is synchronous by design
            function.can_block_in("aiogate/testing/__init__.py", {"running_gateway", "configure", "records"})
            function.can_block_in("aiogate/journal/writer.py", {"open", "append", "close"})
            function.can_block_in("aiogate/server/access_log.py", {"close"})
        yield guard


@pytest.fixture(autouse=bool(os.environ.get("AIOGATE_TEST_PUBLIC_API")))
def aiohttp_by_its_public_names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve as with a version of aiohttp that nobody has tried yet."""
    monkeypatch.setattr("aiogate.server.protocol.TESTED", "no version")
