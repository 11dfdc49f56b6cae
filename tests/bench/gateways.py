"""What is measured: the agent itself, the floor and aiogate, each as a process that answers on a port.

Knows how each is started, not what is asked of it.
"""

import contextlib
import hashlib
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import attrs

from tests.bench.agent import MODEL
from tests.bench.processes import Child, Cores, free_port, ready, started

__all__ = ["DIRECT", "GATEWAYS", "KEY", "Target", "agent_running", "gateway_running"]

DIRECT = "direct"
GATEWAYS = ("floor", "aiogate")
KEY = "agk_bench_" + hashlib.sha256(b"bench").hexdigest()

_CONF = """\
[server]
listen = "127.0.0.1:{port}"
access_log = "json"

[admin]
listen = "127.0.0.1:{admin_port}"

[journal]
dir = "{journal}"

[pipeline]
plugins = ["api_keys", "roles", "limits", "cost"]

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


@contextlib.asynccontextmanager
async def agent_running(cores: Cores) -> AsyncIterator[Target]:
    """Run the fast agent; it is also the target of whatever is measured without a gateway."""
    port = free_port()
    with started("agent", (sys.executable, "-m", "tests.bench.agent", str(port)), cores=cores.load) as child:
        await ready(child, port)
        yield Target(name=DIRECT, port=port, child=child)


@contextlib.asynccontextmanager
async def gateway_running(name: str, agent: Target, cores: Cores) -> AsyncIterator[Target]:
    """Run a gateway in front of the agent, fresh, until the block ends."""
    port = free_port()
    process = _aiogate if name == "aiogate" else _floor
    with process(port, agent.port, cores) as child:
        await ready(child, port)
        yield Target(name=name, port=port, child=child)


@contextlib.contextmanager
def _floor(port: int, agent_port: int, cores: Cores) -> Iterator[Child]:
    command = (sys.executable, "-m", "tests.bench.floor", str(port), f"http://127.0.0.1:{agent_port}")
    with started("floor", command, cores=cores.gateway) as child:
        yield child


@contextlib.contextmanager
def _aiogate(port: int, agent_port: int, cores: Cores) -> Iterator[Child]:
    with tempfile.TemporaryDirectory(prefix="aiogate-bench-") as directory:
        conf = Path(directory, "gateway.toml")
        text = _CONF.format(
            port=port,
            admin_port=free_port(),
            agent_port=agent_port,
            journal=Path(directory, "journal"),
            sha256=hashlib.sha256(KEY.encode()).hexdigest(),
            model=MODEL,
        )
        conf.write_text(text, encoding="utf-8")
        command = (str(Path(sys.executable).with_name("aiogate")), "serve", str(conf))
        with started("aiogate", command, cores=cores.gateway, cwd=Path(directory)) as child:
            yield child
