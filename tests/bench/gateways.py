"""What is measured: the agent itself, the floor, aiogate and its rivals, each as a process that answers on a port.

Knows how each is started, not what is asked of it.
"""

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import attrs

from tests.bench.answers import MODEL
from tests.bench.ends import Ends
from tests.bench.framing import BenchError
from tests.bench.idle_plugins import idle_plugins
from tests.bench.processes import Child, Cores, files_allowed, free_port, ready, started, status_line
from tests.bench.rivals import INSTALL, RIVALS, binary, command

__all__ = [
    "DIRECT",
    "GATEWAYS",
    "KEY",
    "PLUGGED",
    "UPWARDS",
    "Target",
    "agent_running",
    "config_of",
    "gateway_running",
    "missing",
]

DIRECT = "direct"
GATEWAYS = ("aiogate", "floor", *RIVALS)
UPWARDS = "floor+up"  # the floor that does not read request bodies whole, for large ones
PLUGGED = "aiogate+20"  # aiogate with so many plugins that have nothing to do
KEY = "agk_bench_" + hashlib.sha256(b"bench").hexdigest()

_FLOORS = {"floor": "tests.bench.floor", UPWARDS: "tests.bench.floor_upwards"}
_IDLE_PLUGINS = 20
_AUTHORIZATION = f"Authorization: Bearer {KEY}\r\n"
_CONF = """\
[server]
listen = "127.0.0.1:{port}"
access_log = "json"
max_body = "4GiB"
max_exchanges_per_principal = 100_000

[admin]
listen = "127.0.0.1:{admin_port}"

[journal]
dir = "{journal}"

[pipeline]
plugins = {plugins}

[agents.bench]
url = "http://127.0.0.1:{agent_port}"
required_role = "bench"
rate_limit = "1_000_000_000/minute"
cost_center = "bench"

[[plugins.api_keys.keys]]
id = "bench"
sha256 = "{sha256}"
principal = "alice"
roles = ["bench"]

[[plugins.cost.price]]
model = "{model}"
input_usd_per_million = 2.5
output_usd_per_million = 10
"""


@attrs.frozen(kw_only=True)
class Target:
    """Something that answers the load generator."""

    name: str
    port: int
    child: Child

    @property
    def session(self) -> int:
        """Return the session of its processes, for their accounting."""
        return self.child.process.pid


def missing(name: str) -> str:
    """Return why a gateway cannot be measured here and what to do about it; empty: it can."""
    if name in RIVALS and binary(name) is None:
        return f"{name} is not installed and is left out ({INSTALL[name]})"
    return ""


@contextlib.asynccontextmanager
async def agent_running(cores: Cores, ends: Ends) -> AsyncIterator[Target]:
    """Run the fast agent; it is also the target of whatever is measured without a gateway."""
    port = free_port()
    with started("agent", ends.agent_command(port), cores=cores.load) as child:
        await ready(child, port)
        yield Target(name=DIRECT, port=port, child=child)


@contextlib.asynccontextmanager
async def gateway_running(name: str, agent: Target, cores: Cores) -> AsyncIterator[Target]:
    """Run a gateway in front of the agent, fresh, until the block ends."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="aiogate-bench-", ignore_cleanup_errors=True) as made:
        directory, env = Path(made), dict[str, str]()
        if name in {"aiogate", PLUGGED}:
            plugins = idle_plugins(directory, _IDLE_PLUGINS if name == PLUGGED else 0)
            env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(directory), os.environ.get("PYTHONPATH"))))
            words = _aiogate(directory, port, agent.port, plugins)
        elif name in _FLOORS:
            words = (sys.executable, "-m", _FLOORS[name], str(port), f"http://127.0.0.1:{agent.port}")
        else:
            files = files_allowed()
            words = command(name, directory, port=port, agent_port=agent.port, key=KEY, files=files)
        async with _serving(name, words, port, cores, None if name in _FLOORS else directory, env) as target:
            yield target


@contextlib.asynccontextmanager
async def _serving(
    name: str, words: Sequence[str], port: int, cores: Cores, cwd: Path | None, env: Mapping[str, str]
) -> AsyncIterator[Target]:
    where = {} if cwd is None else {"cwd": cwd}
    with started(name, words, cores=cores.gateway, env=env, **where) as child:
        await ready(child, port, headers=_AUTHORIZATION)
        if name not in _FLOORS:
            await _refuses_a_wrong_key(name, port)
        yield Target(name=name, port=port, child=child)


async def _refuses_a_wrong_key(name: str, port: int) -> None:
    """Raise BenchError when a gateway lets a stranger in: one that does not look at the key has less to do."""
    answer = await status_line(port, "/agents/bench/chat", headers="Authorization: Bearer agk_of_a_stranger\r\n")
    if " 401" not in answer and " 403" not in answer:
        msg = f"{name} answers a wrong key with {answer!r}"
        raise BenchError(msg)


def config_of(directory: Path, port: int, agent_port: int, plugins: Sequence[str]) -> str:
    """Return a config of aiogate with the key of the bench; its journal is in the directory."""
    return _CONF.format(
        port=port,
        admin_port=free_port(),
        agent_port=agent_port,
        journal=directory / "journal",
        plugins=list(plugins),
        sha256=hashlib.sha256(KEY.encode()).hexdigest(),
        model=MODEL,
    )


def _aiogate(directory: Path, port: int, agent_port: int, more_plugins: Sequence[str]) -> Sequence[str]:
    conf = directory / "gateway.toml"
    plugins = ["api_keys", "roles", "limits", "cost", *more_plugins]
    conf.write_text(config_of(directory, port, agent_port, plugins), encoding="utf-8")
    return (str(Path(sys.executable).with_name("aiogate")), "serve", str(conf))
