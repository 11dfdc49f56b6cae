"""A disk that is really full: 503 with its own code, or served without records where that is allowed; never silence."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tomli_w

from aiogate.journal.audit import audit
from aiogate.journal.reader import records
from aiogate.testing import fake_agent
from tests.e2e.test_reload import Served, serving

SIZE_BYTES = 1024 * 1024
SPARE_BYTES = 6 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte in memory, and nothing else on it."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def config(url: str, journal: Path, **facts: Any) -> dict[str, Any]:
    return {
        "server": {"listen": "127.0.0.1:0", "access_log": "off", "anonymous": True},
        "admin": {"listen": "127.0.0.1:0"},
        "journal": {"dir": str(journal), **facts},
        "agents": {"echo": {"url": url}},
    }


def fill(disk: Path, spare: int = SPARE_BYTES) -> Path:
    """Leave room for a few records, or for none."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
    filler = disk / "filler"
    filler.write_bytes(b"x" * max(0, free - spare))
    return filler


async def journaled(journal: Path) -> list[dict[str, Any]]:
    assert (await asyncio.to_thread(audit, journal)).findings == []
    return await asyncio.to_thread(lambda: list(records(journal)))


async def call(served: Served) -> tuple[int, str]:
    async with served.client.get(f"{served.url}/agents/echo/x") as response:
        said = await response.json(content_type=None)
        return response.status, said.get("code", "")


async def metric(served: Served, name: str) -> float:
    async with served.client.get(f"{served.admin}/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


async def test_a_full_disk_is_a_503_of_its_own_until_there_is_room_again(disk: Path, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    async with fake_agent() as agent:
        path.write_text(tomli_w.dumps(config(agent.url, disk / "journal")))
        async with serving(path) as served:
            assert await call(served) == (200, "")
            filler = await asyncio.to_thread(fill, disk)
            answers = [await call(served) for _ in range(60)]
            assert answers[0] == (200, "")
            assert answers[-1] == (503, "journal_unavailable")
            assert set(answers) == {(200, ""), (503, "journal_unavailable")}
            async with served.client.get(f"{served.url}/readyz") as response:
                assert response.status == 503
            assert await metric(served, "aiogate_journal_healthy") == 0
            seen = len(agent.seen)
            assert (await call(served))[0] == 503
            assert len(agent.seen) == seen  # nothing was sent to an agent
            filler.unlink()
            await call(served)  # its own record is the probe
            assert await call(served) == (200, "")
        found = [record for record in await journaled(disk / "journal") if record["status"] == 200]
        assert len(found) == 2 + answers.count((200, ""))


async def test_what_may_be_served_without_a_record_is_counted_and_said(disk: Path, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    async with fake_agent() as agent:
        path.write_text(tomli_w.dumps(config(agent.url, disk / "journal", on_journal_error="allow")))
        async with serving(path) as served:
            filler = await asyncio.to_thread(fill, disk)
            assert {await call(served) for _ in range(60)} == {(200, "")}
            lost = await metric(served, "aiogate_journal_records_lost_total")
            assert lost > 0
            assert await metric(served, "aiogate_journal_errors_total") >= lost
            filler.unlink()
            assert await call(served) == (200, "")
            assert await metric(served, "aiogate_journal_healthy") == 1
        assert "No space left on device; 1 exchanges have been served without a record" in served.log
        assert len(await journaled(disk / "journal")) == 61 - lost


async def test_a_directory_that_cannot_be_made_hinders_only_who_refuses(tmp_path: Path) -> None:
    path, place = tmp_path / "gateway.toml", tmp_path / "file"
    place.touch()
    async with fake_agent() as agent:
        path.write_text(tomli_w.dumps(config(agent.url, place, on_journal_error="allow")))
        async with serving(path) as served:
            assert await call(served) == (200, "")
            place.unlink()
            assert await call(served) == (200, "")
        assert "File exists; 1 exchanges have been served without a record" in served.log
        assert len(await journaled(place)) == 1


async def test_a_stream_under_way_when_the_disk_fills_up_is_not_ended_as_if_it_were_whole(
    disk: Path, tmp_path: Path
) -> None:
    path = tmp_path / "gateway.toml"

    async def streams(request: Any) -> aiohttp.web.StreamResponse:
        response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        if "full" in request.raw_path:
            await asyncio.to_thread(fill, disk, 0)
        await response.write(b"data: 2\n\n")
        return response

    async with fake_agent(streams) as agent:
        path.write_text(tomli_w.dumps(config(agent.url, disk / "journal")))
        async with serving(path) as served:
            for _ in range(13):  # up to the end of the page that the segment has already
                async with served.client.get(f"{served.url}/agents/echo/x") as response:
                    await response.read()
            broken = 0
            for _ in range(20):
                try:
                    async with served.client.get(f"{served.url}/agents/echo/full") as response:
                        if response.status == 200:
                            await response.read()
                except aiohttp.ClientPayloadError:
                    broken += 1
            assert broken == 1
