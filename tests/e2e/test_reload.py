"""``aiogate serve`` as a process that is given another config: by SIGHUP, by ``aiogate reload``, by its files."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import orjson
import pytest

from aiogate.testing import fake_agent
from tests.server.test_reload import Held

SECONDS = 15
COMMAND = [sys.executable, "-c", "from aiogate.cli import main; main()"]
BASE = (
    '[server]\nlisten = "127.0.0.1:0"\nanonymous = true\n[admin]\nlisten = "127.0.0.1:0"\n[journal]\ndir = "journal"\n'
)


@attrs.define
class Served:
    """A gateway in a process of its own."""

    process: asyncio.subprocess.Process
    url: str
    admin: str
    log: str = ""
    client: aiohttp.ClientSession = attrs.field(init=False)

    async def verbose(self) -> dict[str, Any]:
        async with self.client.get(f"{self.admin}/readyz?verbose") as response:
            return await response.json()

    async def until(self, generation: int, *agents: str) -> None:
        """Return once a generation, or a later one, is in force with these agents."""
        async with asyncio.timeout(SECONDS):
            while True:
                said = await self.verbose()
                if said["generation"] >= generation and said["agents"] == list(agents):
                    return

    async def until_refused(self, path: str) -> None:
        """Return once the last reload has failed for a problem at this path."""
        async with asyncio.timeout(SECONDS):
            while path not in [one["path"] for one in (await self.verbose())["last_reload"]["problems"]]:
                pass


def agents(url: str, *names: str) -> str:
    return "".join(f'[agents.{name}]\nurl = "{url}"\n' for name in names)


@asynccontextmanager
async def serving(path: Path, *options: str) -> AsyncIterator[Served]:
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*COMMAND, "serve", str(path), *options, stdout=nowhere, stderr=pipe)
    assert process.stderr is not None
    said = b""
    try:
        async with asyncio.timeout(SECONDS):
            found: dict[bytes, str] = {}
            while len(found) < 2:
                line = await process.stderr.readline()
                assert line, said.decode()
                said += line
                match line.split():
                    case [(b"clients" | b"operators") as who, address, *_]:
                        found[who] = address.decode().removesuffix("/agents/{id}/...").removesuffix("/metrics")
            served = Served(process, found[b"clients"], found[b"operators"])
        async with aiohttp.ClientSession() as served.client:
            log = asyncio.create_task(process.stderr.read())  # a full pipe would hold the gateway up
            yield served
        process.terminate()
        async with asyncio.timeout(SECONDS):
            rest = await log
            await process.wait()
        assert process.returncode == 0, rest.decode()
        served.log = rest.decode()
        assert "Traceback" not in served.log, served.log
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_sighup_puts_the_file_in_force_and_open_streams_go_on(tmp_path: Path) -> None:
    path, held = tmp_path / "gateway.toml", Held()
    async with fake_agent(held) as agent:
        path.write_text(BASE + agents(agent.url, "one"))
        async with serving(path) as gateway:
            async with gateway.client.get(f"{gateway.url}/agents/one/held") as stream:
                await held.started.wait()
                path.write_text(BASE + agents(agent.url, "two"))
                gateway.process.send_signal(signal.SIGHUP)
                await gateway.until(2, "two")
                held.go_on.set()
                assert (await stream.read()).endswith(b"data: last\n\n")
            path.write_text(BASE + "[agents.two]\nurl = 1\n")
            gateway.process.send_signal(signal.SIGHUP)
            await gateway.until_refused("agents.two.url")
            await gateway.until(2, "two")
    [segment] = (tmp_path / "journal").glob("*.jsonl")
    [record] = map(orjson.loads, segment.read_bytes().splitlines())
    assert (record["outcome"], record["generation"]) == ("completed", 1)


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def by_rename(path: Path, text: str) -> None:
    """As an editor does, and everybody should."""
    beside = path.with_name(f".{path.name}.swp")
    beside.write_text(text)
    beside.replace(path)


def by_configmap(path: Path, text: str) -> None:
    """As a kubelet does: ``gateway.toml -> ..data/gateway.toml``, ``..data -> ..N``, and another ``..data``."""
    data = path.with_name("..data")
    number = int(data.readlink().name.removeprefix("..")) + 1 if data.is_symlink() else 1
    version = path.with_name(f"..{number}")
    version.mkdir()
    (version / path.name).write_text(text)
    link = path.with_name("..data_tmp")
    link.symlink_to(version.name)
    link.replace(data)
    if not path.is_symlink():
        path.symlink_to(Path("..data") / path.name)


@pytest.mark.parametrize("write", [in_place, by_rename, by_configmap])
async def test_a_file_that_changes_is_read_again(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "conf" / "gateway.toml"
    path.parent.mkdir()
    async with fake_agent() as agent:
        write(path, BASE + agents(agent.url, "one"))
        async with serving(path, "--watch") as gateway:
            write(path, BASE + agents(agent.url, "one", "two"))
            await gateway.until(2, "one", "two")
            write(path, BASE + "[agents.one]\n")
            await gateway.until_refused("agents.one.url")
            await gateway.until(2, "one", "two")
            write(path, BASE + agents(agent.url, "three"))
            await gateway.until(3, "three")
        # a line for every event would be an event itself where the log is in the same directory
        assert "watchfiles" not in gateway.log


async def test_an_included_file_that_changes_or_appears_is_read_again(tmp_path: Path) -> None:
    path, folder = tmp_path / "gateway.toml", tmp_path / "agents"
    folder.mkdir()
    async with fake_agent() as agent:
        path.write_text('include = ["agents/*.toml"]\n' + BASE)
        (folder / "a.toml").write_text(agents(agent.url, "one"))
        async with serving(path, "--watch") as gateway:
            await gateway.until(1, "one")
            (folder / "b.toml").write_text(agents(agent.url, "two"))
            await gateway.until(2, "one", "two")
            by_rename(folder / "a.toml", agents(agent.url, "other"))
            await gateway.until(3, "other", "two")
            (folder / "b.toml").unlink()
            await gateway.until(4, "other")


async def test_included_files_may_be_a_configmap_of_their_own(tmp_path: Path) -> None:
    path, folder = tmp_path / "gateway.toml", tmp_path / "agents"
    folder.mkdir()
    async with fake_agent() as agent:
        path.write_text('include = ["agents/*.toml"]\n' + BASE)
        by_configmap(folder / "a.toml", agents(agent.url, "one"))
        async with serving(path, "--watch") as gateway:
            await gateway.until(1, "one")
            by_configmap(folder / "a.toml", agents(agent.url, "two"))
            await gateway.until(2, "two")


async def test_operators_reload_and_look_by_command(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    async with fake_agent() as agent:
        path.write_text(BASE + agents(agent.url, "one"))
        async with serving(path) as gateway:
            path.write_text(BASE.replace("anonymous", "x = 1\nanonymous") + agents(agent.url, "one"))
            code, _, stderr = await run("reload", "--admin", gateway.admin)
            [first, problem] = stderr.splitlines()
            assert (code, first) == (78, "aiogate: 1 problem; nothing has changed, generation 1 stays in force")
            assert problem.startswith("  server.x: unknown key; ")
            assert problem.endswith(" (line 3)")
            path.write_text(BASE.replace("127.0.0.1:0", "127.0.0.1:1", 1) + agents(agent.url, "one", "two"))
            code, stdout, stderr = await run("reload", "--admin", gateway.admin.removeprefix("http://"))
            assert (code, stdout) == (0, "generation 2 is in force\n")
            assert stderr.startswith("aiogate: warning: server.listen: stays 127.0.0.1:0 ")
            code, stdout, _ = await run("status", "--admin", gateway.admin)
            assert code == 0
            assert "  generation  2, 0 open exchanges\n" in stdout
            assert "    two                  well\n" in stdout
            code, stdout, _ = await run("status", "--admin", gateway.admin, "--json")
            assert orjson.loads(stdout)["generation"] == 2


async def run(*args: str) -> tuple[int | None, str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*COMMAND, *args, stdout=pipe, stderr=pipe)
    stdout, stderr = await process.communicate()
    return process.returncode, stdout.decode(), stderr.decode()
