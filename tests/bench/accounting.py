"""What a session of processes has taken from the machine, as the kernel accounts it.

Knows nothing of who started the processes or why.
"""

import os
import time
from pathlib import Path

import attrs

__all__ = ["Memory", "Spent", "Window", "forget_peak", "memory"]


@attrs.frozen(kw_only=True)
class Spent:
    """What was taken between two moments; ``waited`` is time in which threads were ready and others had the core."""

    cpu_us: float
    waited_us: float
    wall_us: float

    @property
    def busy_percent(self) -> float:
        """Return the share of one core that was used."""
        return 100 * self.cpu_us / self.wall_us

    @property
    def waited_percent(self) -> float:
        """Return the share of the time that was waited for a core: how much neighbours disturbed."""
        return 100 * self.waited_us / self.wall_us


class Window:
    """Opens when it is built."""

    def __init__(self, session: int) -> None:
        self._session = session
        self._at_first = _taken(session)

    def close(self) -> Spent:
        """Return what was spent since the window was opened."""
        cpu_ns, waited_ns, wall_ns = (
            now - before for now, before in zip(_taken(self._session), self._at_first, strict=True)
        )
        return Spent(cpu_us=cpu_ns / 1000, waited_us=waited_ns / 1000, wall_us=wall_ns / 1000)


def _taken(session: int) -> tuple[int, int, int]:
    pids = _members(session)
    cpu_ns = sum(time.clock_gettime_ns(_cpu_clock(pid)) for pid in pids)
    return cpu_ns, sum(_waited_ns(pid) for pid in pids), time.perf_counter_ns()


@attrs.frozen(kw_only=True)
class Memory:
    """What the processes of a session hold: resident, of that their own alone, and the most that was resident."""

    rss_kib: int
    uss_kib: int
    peak_kib: int


def memory(session: int) -> Memory:
    """Return what all processes of a session hold together."""
    pids = _members(session)
    return Memory(
        rss_kib=sum(_field_kib(f"/proc/{pid}/status", "VmRSS:") for pid in pids),
        uss_kib=sum(_field_kib(f"/proc/{pid}/smaps_rollup", "Private_") for pid in pids),
        peak_kib=sum(_field_kib(f"/proc/{pid}/status", "VmHWM:") for pid in pids),
    )


def forget_peak(session: int) -> None:
    """Let the most that was resident be what is resident now (proc(5), clear_refs)."""
    for pid in _members(session):
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def _members(session: int) -> list[int]:
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return [pid for pid in pids if _session_of(pid) == session]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1


def _cpu_clock(pid: int) -> int:
    """Return the id of a process's CPU clock, made as clock_getcpuclockid(3) does: all threads, user and system."""
    return (~pid << 3) | 2


def _waited_ns(pid: int) -> int:
    return sum(
        int(stat.read_text(encoding="ascii").split()[1]) for stat in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )


def _field_kib(path: str, name: str) -> int:
    """Return the sum of the fields whose names begin so; Private_Clean and Private_Dirty are the USS."""
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(name) and not line.startswith("Private_Huge"))
