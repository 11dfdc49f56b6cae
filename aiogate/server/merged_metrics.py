"""Metrics of several workers as one exposition, whole also over workers that are no more.

Merged from what each worker says when somebody asks, and not through prometheus-client's files that all processes map:
those cost every exchange, and gauges in them outlive their process. What a worker has counted is written down each
second, before it is told to anybody and when it leaves; the supervisor adds up what the dead have left. So no counter
ever falls; of one that is killed what it counted in its last second is missing, and was never told.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from aiogate.server.siblings import Siblings

__all__ = [
    "COUNTED",
    "GREATEST",
    "LEAST",
    "SUMMED",
    "Counted",
    "Left",
    "exposed",
    "merged",
    "plain_metrics",
    "whole_exposition",
]

COUNTED: Final = ".counted"
"""Ends the name of the file with what a worker has counted."""
SUMMED: Final = frozenset(
    {
        "aiogate_connections",
        "aiogate_endpoint_pending",
        "aiogate_open_exchanges",
        "aiogate_open_grants",
        "aiogate_tasks",
    }
)
"""Gauges of which each worker has its own part."""
LEAST: Final = frozenset(
    {
        "aiogate_config_generation",
        "aiogate_config_last_reload_successful",
        "aiogate_config_last_reload_success_timestamp_seconds",
        "aiogate_endpoint_well",
        "aiogate_journal_healthy",
    }
)
"""Gauges that are as bad as they are in the worst worker."""
GREATEST: Final = frozenset(
    {
        "aiogate_breaker_openings",  # counted once for all: breakers are shared
        "aiogate_breaker_state",
        "aiogate_budget_held",
        "aiogate_budget_limit",
        "aiogate_budget_share",
        "aiogate_budget_spent",
        "aiogate_budget_warned",
        "aiogate_halts",
        "aiogate_journal_unsynced_seconds",
        "aiogate_build_info",
        "aiogate_state_degraded",
        "aiogate_state_gateways",
    }
)
"""What is the same for all workers, or known to some of them; and whatever is named nowhere here."""
_SUMS: Final = frozenset({"counter", "histogram", "summary"})
_DEAD: Final = "dead"

Family = Mapping[str, Any]
"""``name``, ``type``, ``help`` and ``samples``: name, labels and value of each."""


def plain_metrics(metrics: Iterable[Metric]) -> list[Family]:
    """Return metrics as JSON has them."""
    return [
        {
            "name": metric.name,
            "type": metric.type,
            "help": metric.documentation,
            "samples": [[sample.name, sample.labels, sample.value] for sample in metric.samples],
        }
        for metric in metrics
    ]


def merged(several: Sequence[Sequence[Family]], dead: Sequence[Sequence[Family]] = ()) -> list[Family]:
    """Return what several workers say as one; of the ``dead`` only what was counted."""
    families: dict[str, dict[str, Any]] = {}
    for one in several:
        for family in one:
            _add(families, family, _rule(family))
    for one in dead:
        for family in filter(_is_summed, one):
            _add(families, family, _sum)
    return [
        {**family, "samples": [[name, dict(labels), value] for (name, labels), value in family["samples"].items()]}
        for family in families.values()
    ]


def exposed(families: Iterable[Family]) -> bytes:
    """Return families as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(_Families(families))
    return generate_latest(registry)


class Counted:
    """Where a worker writes down what it has counted; nowhere when it is alone."""

    def __init__(self, siblings: Siblings) -> None:
        """Keep where that is."""
        self._path = None if siblings.folder is None else siblings.folder / f"{siblings.name}{COUNTED}"
        self._lock = asyncio.Lock()

    async def write(self, families: Iterable[Family]) -> None:
        """Write it down, whole or not at all; what is asked to be written later is written later."""
        if self._path is not None:
            async with self._lock:
                await asyncio.to_thread(_write, self._path, list(filter(_is_summed, families)))


async def whole_exposition(siblings: Siblings, mine: Sequence[Family]) -> bytes:
    """Return what all workers say, as Prometheus reads it; ``mine`` is this one's."""
    left = Left(siblings.folder or Path())
    counted = await asyncio.to_thread(left.counted)  # before they are asked: who dies meanwhile has written it down
    answers = await siblings.ask("/metrics")
    alive = {name: answer for name, answer in answers.items() if answer is not None}
    dead = await asyncio.to_thread(left.without, counted, {siblings.name, *alive})
    return exposed(merged([mine, *alive.values()], dead))


class Left:
    """What workers that are no more have counted: files in the directory of the workers. All of it blocks."""

    def __init__(self, folder: Path) -> None:
        """Keep where they are."""
        self._folder = folder

    def bury(self, name: str) -> None:
        """Add what a worker has left to that of the other dead; for the supervisor, which alone does so."""
        path = self._folder / f"{name}{COUNTED}"
        families = _read(path)
        if families is not None:
            names, dead = self._dead()
            _write(self._folder / f"{_DEAD}.json", {"names": [*names, name], "families": merged([families, dead])})
        path.unlink(missing_ok=True)

    def counted(self) -> dict[str, list[Family]]:
        """Return what all workers have written down that are not buried, by name; to be asked before they are."""
        found = {path.stem: _read(path) for path in self._folder.glob(f"*{COUNTED}")}
        return {name: families for name, families in found.items() if families is not None}

    def without(self, counted: Mapping[str, list[Family]], alive: Iterable[str]) -> list[list[Family]]:
        """Return what the dead have counted: those who are buried, and those of ``counted`` who have not answered."""
        names, dead = self._dead()
        return [dead, *(families for name, families in counted.items() if name not in {*alive, *names})]

    def _dead(self) -> tuple[list[str], list[Family]]:
        found = _read(self._folder / f"{_DEAD}.json")
        return ([], []) if found is None else (found["names"], found["families"])


class _Families(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics, for prometheus-client."""
        for family in self._families:
            metric = Metric(family["name"], family["help"], family["type"])
            for name, labels, value in family["samples"]:
                metric.add_sample(name, labels, value)
            yield metric


Key = tuple[str, tuple[tuple[str, str], ...]]


def _add(families: dict[str, dict[str, Any]], family: Family, rule: Callable[[float, float], float]) -> None:
    known = families.setdefault(family["name"], {**family, "samples": {}})
    samples: dict[Key, float] = known["samples"]
    for name, labels, value in family["samples"]:
        key = name, tuple(labels.items())
        samples[key] = rule(samples[key], value) if key in samples else value


def _is_summed(family: Family) -> bool:
    return family["type"] in _SUMS and family["name"] not in GREATEST


def _rule(family: Family) -> Callable[[float, float], float]:
    if _is_summed(family) or family["name"] in SUMMED:
        return _sum
    return min if family["name"] in LEAST else max


def _sum(one: float, other: float) -> float:
    return one + other


def _write(path: Path, said: object) -> None:
    under_way = path.with_suffix(".part")
    under_way.write_bytes(orjson.dumps(said))
    under_way.replace(path)


def _read(path: Path) -> Any:  # noqa: ANN401 - JSON
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
