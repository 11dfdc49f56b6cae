"""How many workers a config asks for, and whether they can count together; for ``load.py``."""

import os
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from aiogate.agent import Secret

__all__ = ["AUTO", "MOST_WORKERS", "as_many_as_fit", "wrong_with_workers"]

AUTO: Final = 0
"""Stands for ``auto``."""
MOST_WORKERS: Final = 256
_CGROUP: Final = Path("/sys/fs/cgroup/cpu.max")
_MEMORY: Final = "memory://"


def as_many_as_fit(url: Secret, quota: Path = _CGROUP) -> int:
    """Return what ``auto`` is: a worker for each processor that this process may use; 1 where each counts alone."""
    if url.reveal() == _MEMORY:
        return 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # a container's share; "max" is no number
        most, period = quota.read_text().split()
        usable = min(usable, int(most) // int(period))
    return max(1, min(usable, MOST_WORKERS))


def wrong_with_workers(workers: int, url: Secret) -> Iterator[str]:
    """Yield why so many workers cannot serve together."""
    if workers > 1 and url.reveal() == _MEMORY:
        yield (
            f"{workers} workers with [state] url = {_MEMORY!r} would each count on its own, so that limits and budgets "
            f"would let through up to {workers} times as much; give them a Redis (redis://...), or run one worker"
        )
    if workers > 1 and find_spec("gunicorn") is None:
        yield f"{workers} workers need gunicorn, which is not installed: pip install 'aiogate[workers]'"
