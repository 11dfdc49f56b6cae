"""The gateway of the soak, a process with every limit switched on, and what it says of itself.

Knows nothing of load.
"""

import contextlib
import hashlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import attrs
import orjson
import tomli_w

from tests.bench.framing import BenchError
from tests.bench.processes import Child, free_port, ready, started

__all__ = ["KEY", "Gateway", "running_gateway"]

KEY: Final = "agk_soak_" + hashlib.sha256(b"soak").hexdigest()
_IMPATIENT: Final = {"connect_seconds": 1, "first_byte_seconds": 1, "idle_seconds": 1, "write_seconds": 1}


@attrs.define(kw_only=True)
class Gateway:
    """One that runs. ``url`` is where clients call, ``admin_url`` where operators look.

    ``said`` is what it has written to stderr, once it has ended.
    """

    url: str
    admin_url: str
    child: Child
    journal: Path
    said: str = ""

    def rss_kib(self) -> int:
        """Return what is resident of it now."""
        status = Path(f"/proc/{self.child.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))

    async def figures(self, session: aiohttp.ClientSession) -> Counter[str]:
        """Return its metrics by name, summed over their labels."""
        async with session.get(f"{self.admin_url}/metrics") as response:
            text = await response.text()
        figures = Counter[str]()
        for line in text.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                figures[name.partition("{")[0]] += float(value)  # type: ignore[assignment] # they are whole numbers
        return figures

    def request_ids(self) -> Iterator[str]:
        """Yield the request ids of the journal, oldest first."""
        for segment in sorted(self.journal.glob("*.jsonl")):
            with segment.open("rb") as lines:
                for line in lines:
                    record = orjson.loads(line)
                    if "request_id" in record:
                        yield record["request_id"]


def _config(directory: Path, port: int, admin_port: int, good: str, bad: Mapping[str, str]) -> dict[str, Any]:
    key = {"id": "soak", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "principal": "soak", "roles": ["soak"]}
    limits = {"required_role": "soak", "rate_limit": "10_000_000/minute", "concurrency": 100_000}
    return {
        "server": {"listen": f"127.0.0.1:{port}", "access_log": "json", "max_exchanges_per_principal": 100_000},
        "admin": {"listen": f"127.0.0.1:{admin_port}"},
        "journal": {"dir": str(directory / "journal")},
        "pipeline": {"plugins": ["api_keys", "roles", "limits", "cost"]},
        "agents": {
            "good": {"url": good, **limits},
            **{name: {"url": url, **limits, **_IMPATIENT} for name, url in bad.items()},
        },
        "plugins": {
            "api_keys": {"keys": [key]},
            "cost": {"price": [{"model": "soak-1", "input_usd_per_million": 1, "output_usd_per_million": 2}]},
        },
    }


@contextlib.asynccontextmanager
async def running_gateway(
    directory: Path, cores: frozenset[int], good: str, bad: Mapping[str, str]
) -> AsyncIterator[Gateway]:
    """Run ``aiogate serve``; at the end it is asked to stop, and has to leave in good order."""
    port, admin_port = free_port(), free_port()
    conf = directory / "gateway.toml"
    conf.write_text(tomli_w.dumps(_config(directory, port, admin_port, good, bad)))
    command = [sys.executable, "-c", "from aiogate.cli import main; main()", "serve", str(conf)]
    with started("aiogate", command, cores=cores) as child:
        await ready(child, port)
        urls = {"url": f"http://127.0.0.1:{port}", "admin_url": f"http://127.0.0.1:{admin_port}"}
        gateway = Gateway(child=child, journal=directory / "journal", **urls)
        yield gateway
        child.end()
        child.stderr.seek(0)
        gateway.said = child.stderr.read().decode(errors="replace")
        if child.process.returncode:
            msg = f"aiogate ended with {child.process.returncode}"
            raise BenchError(msg)
