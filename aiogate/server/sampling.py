"""Has the hooks of the plugins in force timed, some calls in each second; by the coarse timer of all connections."""

from typing import Final, Protocol

from aiogate.proxy.upstream import Watched
from aiogate.server.generation import Generation

__all__ = ["Sampling"]

_PERIOD_SECONDS: Final = 1.0


class _InForce(Protocol):
    generation: Generation


class Sampling:
    """Looks at whatever config is in force."""

    __slots__ = ("_gateway", "waits_in")

    def __init__(self, gateway: _InForce) -> None:
        self._gateway = gateway
        self.waits_in: set[Watched] | None = None

    def check(self, now: float) -> float:
        """Time some of the next calls; return when to do so again."""
        self._gateway.generation.pipeline.sample()
        return now + _PERIOD_SECONDS
