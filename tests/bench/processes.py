"""The child processes of a run: started on a core, awaited until ready, ended.

Knows nothing of what the children do; ends only what it has started.
"""

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import attrs

from tests.bench.framing import BenchError, Message

__all__ = ["Child", "Cores", "files_allowed", "free_port", "ready", "started", "status_line"]

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_CHECKOUT = Path(__file__).parents[2]
_READY_SECONDS = 15.0
_END_SECONDS = 5.0
_STDERR_BYTES = 4000


@attrs.frozen(kw_only=True)
class Cores:
    """Which cores the gateway under test has alone, and which agent and load generator share."""

    gateway: frozenset[int]
    load: frozenset[int]

    @classmethod
    def of_this_machine(cls) -> "Cores":
        """Give the last core to the gateway; on one core everything shares it."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(gateway=frozenset(usable[-1:]), load=frozenset(usable[:-1] or usable))

    @property
    def apart(self) -> bool:
        """Tell whether the gateway is alone on its core."""
        return self.gateway.isdisjoint(self.load)


@attrs.frozen(kw_only=True)
class Child:
    """A process that the bench has started, leader of its own session."""

    name: str
    process: subprocess.Popen[bytes]
    stderr: IO[bytes]

    def last_words(self) -> str:
        """Return the end of what the child has written to stderr, and its exit status if it has ended."""
        size = self.stderr.seek(0, os.SEEK_END)
        self.stderr.seek(max(0, size - _STDERR_BYTES))
        status = self.process.poll()
        ended = "still running" if status is None else f"exit status {status}"
        return f"--- {self.name}, {ended}, stderr:\n{self.stderr.read().decode(errors='replace').strip() or '(empty)'}"

    def end(self) -> None:
        """Ask the child to end, then make it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_END_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def started(
    name: str,
    command: Sequence[str],
    *,
    cores: frozenset[int],
    cwd: Path = _CHECKOUT,
    env: Mapping[str, str] | None = None,
) -> Iterator[Child]:
    """Run a command on these cores while the block lasts; its stderr is added to a BenchError that leaves the block."""
    own = os.sched_getaffinity(0)
    with tempfile.TemporaryFile() as stderr:
        os.sched_setaffinity(0, cores)  # inherited, so that no thread of the child ever runs elsewhere
        try:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
                preexec_fn=_go_with_the_bench,  # noqa: PLW1509 - the bench has no threads
            )
        except OSError as error:
            msg = f"{name} cannot be started: {error}"
            raise BenchError(msg) from error
        finally:
            os.sched_setaffinity(0, own)
        child = Child(name=name, process=process, stderr=stderr)
        try:
            yield child
        except BenchError as error:
            error.add_note(child.last_words())  # of every child: agent and gateways tell two halves of one story
            raise
        finally:
            child.end()


def _go_with_the_bench() -> None:
    """Let the kernel end this process when the bench is killed: an agent left behind would disturb all later runs."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def files_allowed() -> int:
    """Raise the limit on open files as far as it goes, for this process and its children; return the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def free_port() -> int:
    """Return a port of loopback that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def ready(child: Child, port: int, *, headers: str = "") -> None:
    """Wait until ``GET /readyz``, with header lines if given, is answered with 200."""
    deadline = time.monotonic() + _READY_SECONDS
    answer = "no answer"
    while time.monotonic() < deadline:
        if child.process.poll() is not None:
            msg = f"{child.name} ended before it was ready"
            raise BenchError(msg)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                answer = await status_line(port, "/readyz", headers=headers)
        if " 200" in answer:
            return
        await asyncio.sleep(0.02)
    msg = f"{child.name} is not ready after {_READY_SECONDS:g} s: GET /readyz gives {answer!r}"
    raise BenchError(msg)


async def status_line(port: int, path: str, *, headers: str = "") -> str:
    """Return how one ``GET`` is answered, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n".encode())
        answer = Message()
        while (data := await reader.read(65536)) and not answer.feed(data):
            pass
        return answer.head.partition(b"\r\n")[0].decode("latin-1")
    finally:
        writer.close()
